// XML into a tree, enough to show it indented and to say where it is broken. Nothing is resolved or loaded.
import { PlaceError } from "./json.js";

const MOST_DEPTH = 400;
const NAME = "[A-Za-z_:\\u0080-\\uffff][-\\w:.\\u0080-\\uffff]*";
const TAG = new RegExp(`<(${NAME})((?:\\s+${NAME}\\s*=\\s*(?:"[^"<]*"|'[^'<]*'))*)\\s*(/?)>`, "y");
const END = new RegExp(`</(${NAME})\\s*>`, "y");
const OTHER = [["<!--", "-->", "comment"], ["<![CDATA[", "]]>", "cdata"], ["<?", "?>", "pi"]];

/* Index behind a <!DOCTYPE ...>, whose own brackets and quotes may hold ">". */
function doctypeEnd(text, at) {
	let inner = 0;

	for (let i = at; i < text.length; i++) {
		const c = text[i];

		if (c === '"' || c === "'") {
			i = text.indexOf(c, i + 1);
			if (i < 0)
				break;
		} else if (c === "[") {
			inner++;
		} else if (c === "]") {
			inner--;
		} else if (c === ">" && inner <= 0) {
			return i + 1;
		}
	}
	throw new PlaceError("a DOCTYPE without an end", at);
}

/* The piece of markup at this place: {end, node?, open?, close?}. */
function markup(text, at) {
	for (const [begin, end, kind] of OTHER) {
		if (!text.startsWith(begin, at))
			continue;
		const stop = text.indexOf(end, at + begin.length);

		if (stop < 0)
			throw new PlaceError(`${begin} without ${end}`, at);
		return { end: stop + end.length, node: { kind, raw: text.slice(at, stop + end.length) } };
	}
	if (/^<!doctype/i.test(text.slice(at, at + 9))) {
		const end = doctypeEnd(text, at);
		return { end, node: { kind: "pi", raw: text.slice(at, end) } };
	}
	END.lastIndex = TAG.lastIndex = at;
	let m = END.exec(text);
	if (m)
		return { end: END.lastIndex, close: m[1] };
	m = TAG.exec(text);
	if (!m)
		throw new PlaceError("a tag that is not well-formed", at);
	const node = { kind: "element", name: m[1], attrs: m[2], kids: [] };
	return { end: TAG.lastIndex, node, open: !m[3] };
}

/* -> nodes at the top: {kind: "element", name, attrs, kids}, {kind: "text"|"comment"|"cdata"|"pi", raw}. */
export function parseXml(text) {
	const top = { kids: [] };
	const stack = [top];
	let at = text.charCodeAt(0) === 0xfeff ? 1 : 0;

	while (at < text.length) {
		const here = stack[stack.length - 1];
		const next = text.indexOf("<", at);
		const stop = next < 0 ? text.length : next;
		const raw = text.slice(at, stop);

		if (raw.trim()) {
			if (here === top)
				throw new PlaceError("text outside of the root element", at + raw.search(/\S/));
			here.kids.push({ kind: "text", raw: raw.trim() });
		}
		if (next < 0)
			break;
		const got = markup(text, next);
		if (got.close !== undefined) {
			if (here === top || here.name !== got.close)
				throw new PlaceError(`</${got.close}> ends nothing that is open` +
					(here === top ? "" : ` (<${here.name}> is)`), next);
			stack.pop();
		} else {
			here.kids.push(got.node);
			if (got.open)
				stack.push(got.node);
			if (stack.length > MOST_DEPTH)
				throw new PlaceError("nested too deep to show", next);
		}
		at = got.end;
	}
	if (stack.length > 1)
		throw new PlaceError(`<${stack[stack.length - 1].name}> is never closed`, text.length);
	if (!top.kids.some(node => node.kind === "element"))
		throw new PlaceError("no element", text.length);
	return top.kids;
}

export function printXml(nodes, indent = "") {
	return nodes.map(node => {
		if (node.kind !== "element")
			return indent + node.raw;
		const open = `<${node.name}${node.attrs}`;
		if (!node.kids.length)
			return `${indent}${open}/>`;
		if (node.kids.length === 1 && node.kids[0].kind === "text")
			return `${indent}${open}>${node.kids[0].raw}</${node.name}>`;
		return `${indent}${open}>\n${printXml(node.kids, indent + "  ")}\n${indent}</${node.name}>`;
	}).join("\n");
}
