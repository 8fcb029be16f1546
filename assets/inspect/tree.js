// Folding views of JSON and XML. Branches are built when they open, so size costs nothing before.
import { button, h } from "./dom.js";
import { count, plural } from "./format.js";

const PIECE = 200; /* children that are shown at once */
const LONG = 4000; /* characters of one string */
const OPEN_ROWS = 400; /* about so many rows stand open at the beginning */

function leafText(raw) {
	if (raw.length <= LONG)
		return [document.createTextNode(raw)];
	const more = button({ text: `… ${count(raw.length - LONG)} more`, class: "button small", click: () => {
		more.replaceWith(document.createTextNode(raw.slice(LONG)));
	} });
	return [document.createTextNode(raw.slice(0, LONG)), more];
}

/* Children in pieces; make(i) -> element. */
function fillKids(box, n, make, from = 0) {
	const stop = Math.min(n, from + PIECE);

	for (let i = from; i < stop; i++)
		box.append(make(i));
	if (stop < n) {
		const more = button({ text: `Show more (${count(n - stop)} left)`, class: "button small tree-more",
			click: () => {
				more.remove();
				fillKids(box, n, make, stop);
			} });
		box.append(more);
	}
}

/* A branch: head, children, foot. The head alone with a count when it is closed. */
function branch(head, summary, foot, open, fill) {
	const box = h("div", { class: "kids" });
	const el = h("details", { class: "fold", open },
		h("summary", { tabindex: "-1" }, head, h("span", { class: "folded", text: summary })), box,
		h("span", { class: "foot" }, foot));
	let filled = false;
	const once = () => {
		if (filled || !el.open)
			return;
		filled = true;
		fill(box);
	};

	el.addEventListener("toggle", once);
	once();
	return el;
}

function jsonNode(node, key, last, budget) {
	const name = key === null ? null : [h("span", { class: "j-key" }, leafText(key)), ": "];
	const comma = last ? "" : ",";

	budget.left--;
	if (!node.vals || !node.vals.length) {
		const raw = node.vals ? (node.keys ? "{}" : "[]") : null;

		return h("div", { class: "leaf" }, name,
			h("span", { class: raw ? "j-punct" : "j-" + node.kind }, raw || leafText(node.raw)), comma);
	}
	const [a, z] = node.keys ? "{}" : "[]";
	const n = node.vals.length;
	const what = node.keys ? plural(n, "key") : plural(n, "item");
	const open = budget.left > 0;
	return branch([name, h("span", { class: "j-punct", text: a })], ` ${what} ${z}${comma}`,
		[h("span", { class: "j-punct", text: z }), comma], open,
		box => fillKids(box, n, i =>
			jsonNode(node.vals[i], node.keys ? node.keys[i] : null, i === n - 1, budget)));
}

function xmlTag(node, tail) {
	return [h("span", { class: "j-punct", text: "<" }), h("span", { class: "j-key", text: node.name }),
		h("span", { class: "j-string", text: node.attrs }), h("span", { class: "j-punct", text: tail })];
}

function xmlNode(node, budget) {
	budget.left--;
	if (node.kind !== "element")
		return h("div", { class: "leaf" + (node.kind === "text" ? "" : " j-note") }, leafText(node.raw));
	if (!node.kids.length)
		return h("div", { class: "leaf" }, xmlTag(node, "/>"));
	const close = [h("span", { class: "j-punct", text: "</" }), h("span", { class: "j-key", text: node.name }),
		h("span", { class: "j-punct", text: ">" })];
	if (node.kids.length === 1 && node.kids[0].kind === "text")
		return h("div", { class: "leaf" }, xmlTag(node, ">"), leafText(node.kids[0].raw), close);
	return branch(xmlTag(node, ">"), ` ${plural(node.kids.length, "child", "children")}`, close, budget.left > 0,
		box => fillKids(box, node.kids.length, i => xmlNode(node.kids[i], budget)));
}

/* One stop for Tab; arrows walk over the branches and open or close them. */
function treeKeys(event) {
	const here = event.target.closest("summary");

	if (!here || event.ctrlKey || event.metaKey || event.altKey)
		return;
	const all = [...event.currentTarget.querySelectorAll("summary")].filter(s => s.checkVisibility());
	const at = all.indexOf(here);
	const fold = here.parentElement;
	let to = null;

	if (event.key === "ArrowDown" || event.key === "j")
		to = all[at + 1];
	else if (event.key === "ArrowUp" || event.key === "k")
		to = all[at - 1];
	else if (event.key === "ArrowRight" && !fold.open)
		fold.open = true;
	else if (event.key === "ArrowRight")
		to = all[at + 1];
	else if (event.key === "ArrowLeft" && fold.open)
		fold.open = false;
	else if (event.key === "ArrowLeft")
		to = fold.parentElement.closest("details") && fold.parentElement.closest("details").firstElementChild;
	else
		return;
	if (to) {
		here.tabIndex = -1;
		to.tabIndex = 0;
		to.focus();
	}
	event.preventDefault();
	event.stopPropagation();
}

function tree(label, kids) {
	const el = h("div", { class: "tree mono", "aria-label": label, role: "group", on: { keydown: treeKeys } }, kids);
	const first = el.querySelector("summary");

	if (first)
		first.tabIndex = 0;
	return el;
}

export const jsonTree = node => tree("JSON", [jsonNode(node, null, true, { left: OPEN_ROWS })]);

export function xmlTree(nodes) {
	const budget = { left: OPEN_ROWS };
	return tree("XML", nodes.map(node => xmlNode(node, budget)));
}

/* Opens or closes everything that is there; what a closed branch holds is built level by level. */
export function foldAll(el, open) {
	let budget = 3000;

	if (!open) {
		for (const fold of el.querySelectorAll("details details"))
			fold.open = false;
		return;
	}
	const walk = fold => {
		if (budget-- <= 0)
			return;
		fold.open = true;
		fold.dispatchEvent(new Event("toggle"));
		for (const kid of fold.querySelectorAll(":scope > .kids > details"))
			walk(kid);
	};
	for (const fold of el.querySelectorAll(":scope > details"))
		walk(fold);
}
