// The keyboard: one map of keys, from which the help window is made too.
import { closeMenu, h, modal } from "./dom.js";

const SECTIONS = [
	["List", [
		["j k ↓ ↑", "next, previous request"], ["PageDown PageUp", "a page further"], ["g G Home End", "newest, oldest"],
		["Enter", "open it, read on in the detail"], ["Esc", "back to the list, close"], ["/", "filter"],
		["Shift+C", "clear the list"], ["h", "save what is shown as HAR"],
	]],
	["Request", [
		["1 … 7", "tabs"], ["[ ] ← →", "tab before, tab after"], ["s", "request's or answer's body"], ["w", "wrap long lines"],
		["r", "replay"], ["e", "edit and replay"], ["x", "replay several times"], ["c", "copy as cURL"],
		["y", "copy as …"], ["p", "pin"], ["m", "mark"], ["n", "note"], ["d", "delete"],
	]],
	["Window", [["i", "status of the session"], ["?", "this map"], ["Tab", "from part to part"], ["Ctrl+Enter", "send (in the editor)"]]],
];

export function showKeys() {
	const keys = text => text.split(" ").map(key => (key === "…" ? " … " : h("kbd", { text: key })));

	modal("Keyboard", "wide keys", h("div", { class: "key-columns" }, SECTIONS.map(([title, rows]) =>
		h("section", null, h("h3", { text: title }), h("dl", null, rows.map(([key, text]) =>
			[h("dt", null, keys(key)), h("dd", { text })]))))));
}

const typing = el => el.matches && el.matches("input, textarea, select, [contenteditable]");

/*
 * actions: list of {keys, run(event), detail: only with a request open}. Bare keys only; in a field they
 * are text.
 */
export function bindKeys(actions, detailOpen) {
	const map = new Map();

	for (const action of actions)
		for (const key of action.keys)
			map.set(key, action);
	document.addEventListener("keydown", event => {
		if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey)
			return;
		if (document.querySelector("dialog[open]"))
			return;
		const action = map.get(event.key);

		if (!action || (typing(event.target) && event.key !== "Escape"))
			return;
		if (action.detail && !detailOpen())
			return;
		if (event.key === "Enter" && !event.target.matches("#list, body"))
			return; /* a button's own */
		if (event.key === "Escape" && closeMenu(true)) {
			event.preventDefault();
			return;
		}
		if (action.run(event) !== false)
			event.preventDefault();
	});
}
