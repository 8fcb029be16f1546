// A body: which views fit it, and those views. Long ones are loaded and shown in pieces.
import { bytes, asText, formPairs, headerValue, parseType, plural } from "./format.js";
import { button, copyText, h, icon, memory, toast } from "./dom.js";
import { lineAndColumn, parseJson, printJson } from "./json.js";
import { foldAll, jsonTree, xmlTree } from "./tree.js";
import { parseXml, printXml } from "./xml.js";
import { parseMultipart } from "./multipart.js";
import { api } from "./api.js";

const FIRST = 256 << 10; /* what is loaded before anything is known */
const WHOLE = 4 << 20; /* views that need all of it take so much */
const TEXT_PIECE = 64 << 10;
const HEX_PIECE = 8 << 10;
const IMAGES = new Set(["image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "image/bmp",
	"image/x-icon", "image/vnd.microsoft.icon", "image/svg+xml"]);

/* Bytes of a captured body, from the server. */
export class BodySource {
	constructor(id, side, decode) {
		this.id = id;
		this.side = side;
		this.decode = decode;
		this.facts = null;
		this.head = new Uint8Array(0);
	}

	async begin() {
		const got = await api.body(this.id, this.side, { decode: this.decode, limit: FIRST });

		this.facts = got;
		this.head = got.bytes;
		return this;
	}

	get total() {
		return this.facts.total;
	}

	async get(offset, limit) {
		const stop = Math.min(offset + limit, this.total);

		if (stop <= this.head.length)
			return this.head.subarray(offset, stop);
		return (await api.body(this.id, this.side, { decode: this.decode, offset, limit: stop - offset })).bytes;
	}

	async all(limit) {
		if (this.total > this.head.length && this.head.length < limit)
			this.head = await this.get(0, Math.min(limit, this.total));
		return this.head;
	}
}

/* The same for bytes that are here already: a part, a frame. */
export class BytesSource {
	constructor(data) {
		this.head = data;
		this.total = data.length;
		this.facts = { truncated: false, error: "", decoded: "", size: data.length, kept: data.length };
	}

	async get(offset, limit) {
		return this.head.subarray(offset, offset + limit);
	}

	async all() {
		return this.head;
	}
}

const sniffed = text => {
	const start = text.trimStart().slice(0, 64);

	if (/^[{[]/.test(start))
		return "json";
	return /^<\?xml/i.test(start) ? "xml" : "text";
};

/* Names of the views that fit, best first. */
export function viewsFor(type, head) {
	const { type: t, params } = parseType(type);
	const text = asText(head.length > 4096 ? head.subarray(0, 4096 - 3) : head) !== null ||
		asText(head.subarray(0, 4000)) !== null;

	if (IMAGES.has(t))
		return t === "image/svg+xml" ? ["image", "xml", "text", "hex"] : ["image", "hex"];
	if (t === "multipart/form-data" || (t.startsWith("multipart/") && params.boundary))
		return ["parts", "text", "hex"];
	if (t === "application/x-www-form-urlencoded")
		return ["form", "text", "hex"];
	if (/^application\/(.*\+)?json$|^text\/json$/.test(t))
		return ["json", "text", "hex"];
	if (/^(application|text)\/(.*\+)?xml$/.test(t))
		return ["xml", "text", "hex"];
	if (!text && !t.startsWith("text/"))
		return ["hex", "text"];
	const guess = t.startsWith("text/") && t !== "text/plain" ? "text" :
		sniffed(new TextDecoder().decode(head.subarray(0, 256)));
	return guess === "text" ? ["text", "hex"] : [guess, "text", "hex"];
}

const LABELS = { json: "JSON", xml: "XML", form: "Form", parts: "Parts", image: "Image", text: "Text", hex: "Hex" };

function decoder(type) {
	const { charset } = parseType(type).params;

	try {
		return new TextDecoder(charset || "utf-8");
	} catch (err) {
		return new TextDecoder("utf-8");
	}
}

/*
 * A box that grows piece by piece: the next one when its end comes into sight, or by the button.
 * next() -> {nodes, left}.
 */
function pieces(box, next, unit) {
	const more = button({ text: "Show more", class: "button small more", click: () => load() });
	let busy = false;
	const watch = new IntersectionObserver(seen => {
		if (seen.some(s => s.isIntersecting))
			load();
	}, { rootMargin: "600px" });
	const load = async () => {
		if (busy)
			return;
		busy = true;
		try {
			const { nodes, left } = await next();

			more.before(...nodes);
			more.lastChild.textContent = `Show more (${unit(left)} left)`;
			if (left <= 0) {
				watch.disconnect();
				more.remove();
			} else {
				watch.unobserve(more);
				watch.observe(more);
			}
		} catch (err) {
			more.lastChild.textContent = `Try again: ${err.message}`;
			watch.disconnect();
		}
		busy = false;
	};

	box.append(more);
	return load();
}

async function textView(source, type) {
	const box = h("pre", { class: "text mono", tabindex: "0", "aria-label": "Text" });
	const read = decoder(type);
	let at = 0;

	await pieces(box, async () => {
		const data = await source.get(at, TEXT_PIECE);

		at += data.length;
		const left = data.length ? source.total - at : 0;
		return { nodes: [document.createTextNode(read.decode(data, { stream: left > 0 }))], left };
	}, bytes);
	return box;
}

export function hexLines(data, offset) {
	const lines = [];

	for (let i = 0; i < data.length; i += 16) {
		let hex = "";
		let chars = "";

		for (let k = 0; k < 16; k++) {
			const b = data[i + k];

			hex += (b === undefined ? "  " : b.toString(16).padStart(2, "0")) + (k === 7 ? "  " : " ");
			chars += b === undefined ? "" : b >= 32 && b < 127 ? String.fromCharCode(b) : "·";
		}
		lines.push(`${(offset + i).toString(16).padStart(8, "0")}  ${hex} ${chars}\n`);
	}
	return lines.join("");
}

async function hexView(source) {
	const box = h("pre", { class: "hex mono", tabindex: "0", "aria-label": "Bytes" });
	let at = 0;

	await pieces(box, async () => {
		const data = await source.get(at, HEX_PIECE);
		const text = hexLines(data, at);

		at += data.length;
		return { nodes: [document.createTextNode(text)], left: data.length ? source.total - at : 0 };
	}, bytes);
	return box;
}

/* The text with the broken place marked, and what is wrong there. */
function errorView(what, err, text) {
	const [line, column] = lineAndColumn(text, err.at);
	const from = Math.max(0, err.at - 20000);
	const mark = h("mark", { class: "error-mark", text: text.slice(err.at, err.at + 1).replace(/^[\r\n]?$/, "⏎") });
	const box = h("div", null,
		h("p", { class: "notice error" }, h("b", { text: `Not valid ${what}: ` }),
			`${err.message}, line ${line}, column ${column}. `,
			button({ text: "Show the place", class: "button small",
				click: () => mark.scrollIntoView({ block: "center" }) })),
		h("pre", { class: "text mono", tabindex: "0" }, from ? "…" : "", text.slice(from, err.at), mark,
			text.slice(err.at + 1, err.at + 20000), err.at + 20000 < text.length ? "…" : ""));

	return box;
}

async function parsedView(source, type, what, parse, show) {
	if (source.total > WHOLE)
		return h("div", null, h("p", { class: "notice",
			text: `${bytes(source.total)} are too much to fold: shown as text.` }), await textView(source, type));
	const text = decoder(type).decode(await source.all(WHOLE));

	try {
		return show(parse(text));
	} catch (err) {
		if (err.at === undefined)
			throw err;
		return errorView(what, err, text);
	}
}

function pairTable(pairs) {
	return h("div", { class: "scroll-x" }, h("table", { class: "pairs mono" }, h("tbody", null,
		pairs.map(([name, value]) => h("tr", null, h("th", { scope: "row", text: name }), h("td", { text: value }))))));
}

async function formView(source) {
	const pairs = formPairs(new TextDecoder().decode(await source.all(WHOLE)));

	return pairs.length ? pairTable(pairs) : h("p", { class: "muted", text: "No fields." });
}

async function imageView(source, type) {
	const data = await source.all(16 << 20);
	const url = URL.createObjectURL(new Blob([data], { type: parseType(type).type }));
	const size = h("span", { class: "muted" });
	const img = h("img", { class: "picture", src: url, alt: "The body as an image" });

	img.addEventListener("load", () => {
		size.textContent = `${img.naturalWidth} × ${img.naturalHeight}`;
		URL.revokeObjectURL(url);
	});
	img.addEventListener("error", () => {
		size.textContent = "These bytes are not an image that the browser can show.";
		URL.revokeObjectURL(url);
		img.remove();
	});
	return h("figure", { class: "figure" }, img, h("figcaption", null, size));
}

async function partsView(source, type) {
	const parts = parseMultipart(await source.all(WHOLE), parseType(type).params.boundary || "");

	if (!parts.length)
		return h("div", null, h("p", { class: "notice error", text: "No parts with the boundary of the type." }),
			await textView(source, type));
	const shown = await Promise.all(parts.map(async part => {
		const inner = headerValue(part.headers, "content-type");
		const box = h("div", { class: "part-body" });

		if (part.data.length)
			box.append((await payload(new BytesSource(part.data), inner || "text/plain")).el);
		return h("section", { class: "part" },
			h("h4", null, h("b", { text: part.name || "(no name)" }),
				part.file ? h("span", { class: "mono", text: part.file }) : null,
				h("span", { class: "muted", text: [inner, bytes(part.data.length)].filter(Boolean).join(" · ") })),
			box);
	}));
	return h("div", null, h("p", { class: "muted", text: plural(parts.length, "part") }), shown);
}

const VIEWS = {
	json: (s, t) => parsedView(s, t, "JSON", parseJson, jsonTree),
	xml: (s, t) => parsedView(s, t, "XML", parseXml, xmlTree),
	form: formView, parts: partsView, image: imageView, text: textView, hex: hexView,
};

/* The best view of a source, without tools. */
export async function payload(source, type, view) {
	const views = viewsFor(type, source.head);
	const name = views.includes(view) ? view : views[0];

	return { el: await VIEWS[name](source, type), name, views };
}

/* What "copy" puts in the clipboard: pretty where that is what is shown. */
async function copyBody(source, type, name) {
	const text = asText(await source.all(WHOLE));

	if (text === null) {
		toast("These bytes are not text: save them instead");
		return;
	}
	let out = text;
	try {
		if (name === "json")
			out = printJson(parseJson(text));
		else if (name === "xml")
			out = printXml(parseXml(text));
	} catch (err) {
		/* broken: as it is */
	}
	await copyText(out, source.total > WHOLE ? `the first ${bytes(WHOLE)}` : "the body");
}

function notices(source, meta) {
	const f = source.facts;
	const out = [];

	if (f.error)
		out.push(h("p", { class: "notice error", text: `Decoding stopped: ${f.error}. What came out before is shown.` }));
	if (f.truncated)
		out.push(h("p", { class: "notice",
			text: `Only ${bytes(f.kept)} of ${bytes(f.size)} were kept (inspect_max_body).` }));
	if (meta && !meta.complete && !meta.truncated)
		out.push(h("p", { class: "notice", text: "Not complete yet, or cut." }));
	return out;
}

function sizeText(source, meta) {
	const f = source.facts;

	if (f.decoded)
		return `${bytes(meta.size)} ${f.decoded}, ${bytes(source.total)} decoded`;
	return meta.coding ? `${bytes(meta.size)} ${meta.coding}` : bytes(meta.size);
}

/*
 * A body with its tools. what: {id, side, meta (body of the transaction), type}. Remembers view, decoding
 * and wrapping in keep, an object that lives longer than this box.
 */
export async function bodyBox(what, keep) {
	const { id, side, meta } = what;
	const box = h("div", { class: "body-box" });
	const redo = async () => {
		try {
			box.replaceChildren(...await parts());
		} catch (err) {
			box.replaceChildren(h("p", { class: "notice error", text: `The body can't be shown: ${err.message}` }));
		}
	};
	const parts = async () => {
		const decode = meta.coding !== "" && keep.decode !== false;
		const source = await new BodySource(id, side, decode).begin();
		const shown = meta.coding && !decode ? await payload(source, "application/octet-stream", keep[side]) :
			await payload(source, what.type, keep[side]);
		const views = shown.views.map(name => button({ text: LABELS[name], class: "seg",
			pressed: String(name === shown.name), click: () => {
				keep[side] = name;
				redo();
			} }));

		const port = h("div", { class: "payload" + (memory.get("wrap", true) ? " wrap" : "") }, shown.el);
		const tools = h("div", { class: "body-tools" },
			h("div", { class: "segs", role: "group", "aria-label": "View" }, views),
			meta.coding ? button({ text: decode ? "decoded" : "as sent", class: "button small",
				label: decode ? "Show it as it was sent" : `Undo ${meta.coding}`, pressed: String(decode), click: () => {
					keep.decode = !decode;
					redo();
				} }) : null,
			["json", "xml"].includes(shown.name) && port.querySelector(".tree") ? [
				button({ text: "Fold", class: "button small fold-button", click: () => foldAll(port.querySelector(".tree"), false) }),
				button({ text: "Unfold", class: "button small fold-button", click: () => foldAll(port.querySelector(".tree"), true) }),
			] : null,
			h("span", { class: "muted num size-text", text: sizeText(source, meta) }),
			button({ icon: "wrap", label: "Wrap long lines", key: "w", pressed: String(memory.get("wrap", true)),
				class: "icon-button wrap-button", click: event => {
					const on = port.classList.toggle("wrap");
					memory.set("wrap", on);
					event.currentTarget.setAttribute("aria-pressed", on);
				} }),
			button({ icon: "copy", label: "Copy the body", click: () => copyBody(source, what.type, shown.name) }),
			h("a", { class: "icon-button", href: api.bodyUrl(id, side, decode), download: "", "aria-label": "Save the body",
				title: "Save the body" }, icon("save")));
		return [tools, ...notices(source, meta), port];
	};

	await redo();
	return box;
}

export { pairTable };
