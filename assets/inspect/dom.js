// Elements, icons, menus and messages. Nothing here takes HTML: text goes in as text nodes only.

const PROPS = new Set(["value", "checked", "disabled", "hidden", "open", "type", "rows", "title"]);

function setProps(el, props) {
	for (const [key, value] of Object.entries(props)) {
		if (value === null || value === undefined || value === false)
			continue;
		if (key === "class")
			el.className = value;
		else if (key === "text")
			el.textContent = value;
		else if (key === "on")
			for (const [name, what] of Object.entries(value))
				el.addEventListener(name, what);
		else if (PROPS.has(key))
			el[key] = value;
		else
			el.setAttribute(key, value === true ? "" : value);
	}
}

function addKids(el, kids) {
	for (const kid of kids.flat(3)) {
		if (kid === null || kid === undefined || kid === false)
			continue;
		el.append(kid instanceof Node ? kid : document.createTextNode(String(kid)));
	}
	return el;
}

export function h(tag, props, ...kids) {
	const el = document.createElement(tag);

	if (props)
		setProps(el, props);
	return addKids(el, kids);
}

export function svg(tag, attrs, ...kids) {
	const el = document.createElementNS("http://www.w3.org/2000/svg", tag);

	for (const [key, value] of Object.entries(attrs || {}))
		el.setAttribute(key, value);
	return addKids(el, kids);
}

/* Of one character in el, whose font has the same width for all. */
export function charWidth(el) {
	const pen = document.createElement("canvas").getContext("2d");

	pen.font = getComputedStyle(el).font;
	return pen.measureText("0".repeat(100)).width / 100;
}

export const $ = id => document.getElementById(id);

export function setText(el, text) {
	if (el.textContent !== text)
		el.textContent = text;
}

const ICONS = {
	copy: "M5.5 5.5v-3h8v8h-3M2.5 5.5h8v8h-8z",
	check: "M2.5 8.5l3.5 3.5 7.5-8",
	replay: "M13 8a5 5 0 1 1-1.6-3.7M13.2 1.8v3h-3",
	edit: "M2.5 13.5l.8-3.2 7.6-7.6 2.4 2.4-7.6 7.6zM9.5 4.1l2.4 2.4",
	repeat: "M3 7V5.2c0-.7.5-1.2 1.2-1.2H13M11 2l2 2-2 2M13 9v1.8c0 .7-.5 1.2-1.2 1.2H3M5 14l-2-2 2-2",
	pin: "M6 2h4l-.4 4.2 2.4 2V10H4V8.2l2.4-2zM8 10v4.5",
	mark: "M3.5 14.5v-12h8.5l-2 3.2 2 3.3H3.5",
	note: "M2.5 2.5h11v8h-6l-3 3v-3h-2z",
	trash: "M2.5 4h11M6 4V2.5h4V4M4 4l.6 9.5h6.8L12 4M6.8 6.5v5M9.2 6.5v5",
	close: "M3.5 3.5l9 9M12.5 3.5l-9 9",
	back: "M9.5 3L4.5 8l5 5",
	down: "M4 6l4 4 4-4",
	save: "M8 2v8M4.5 6.8L8 10.3l3.5-3.5M2.5 13.5h11",
	wrap: "M2.5 3.5h11M2.5 8h8.8a2 2 0 0 1 0 4.2H8M9.5 10.3l-2 1.9 2 1.8",
	open: "M9 2.5h4.5V7M13.2 2.8L7.5 8.5M11.5 9v4.5h-9v-9H7",
	compare: "M2.5 4.5h9M9 2l2.5 2.5L9 7M13.5 11.5h-9M7 9l-2.5 2.5L7 14",
};

export function icon(name) {
	return svg("svg", { class: "icon", viewBox: "0 0 16 16", "aria-hidden": "true" },
		svg("path", { d: ICONS[name] }));
}

/* A button: {icon, text, label, key, class, on}. A button without text has an accessible name from label. */
export function button(what) {
	const title = what.key ? `${what.label || what.text} (${what.key})` : what.label || null;

	return h("button", {
		type: "button", class: what.class || (what.text ? "button" : "icon-button"), title,
		"aria-label": what.text ? null : what.label, disabled: what.disabled,
		"aria-haspopup": what.menu ? "menu" : null, "aria-pressed": what.pressed,
		on: { click: what.click },
	}, what.icon ? icon(what.icon) : null, what.text ? h("span", { text: what.text }) : null,
	what.menu ? icon("down") : null);
}

export function toast(text, action) {
	const box = h("div", { class: "toast" }, h("span", { text }));

	if (action)
		box.append(button({ text: action.text, class: "button small", click: () => {
			box.remove();
			action.click();
		} }));
	const all = document.getElementById("toasts");
	while (all.children.length > 2)
		all.firstChild.remove();
	all.append(box);
	setTimeout(() => box.remove(), action ? 8000 : 3500);
}

export async function copyText(text, what) {
	try {
		if (!navigator.clipboard)
			throw new Error("no clipboard");
		await navigator.clipboard.writeText(text);
	} catch (err) {
		/* Pages from another machine without TLS have no clipboard; the old command still works. */
		const area = h("textarea", { class: "off-screen", value: text });

		(document.querySelector("dialog[open]") || document.body).append(area);
		area.select();
		const ok = document.execCommand("copy");
		area.remove();
		if (!ok) {
			toast("The browser did not allow copying");
			return;
		}
	}
	toast(`Copied ${what}`);
}

/* A copy button that shows for a moment that it worked. */
export function copyButton(label, text, what) {
	const el = button({ icon: "copy", label, click: async () => {
		await copyText(typeof text === "function" ? await text() : text, what || "");
		el.replaceChildren(icon("check"));
		setTimeout(() => el.replaceChildren(icon("copy")), 1200);
	} });

	return el;
}

let openMenu = null;

export function closeMenu(refocus) {
	if (!openMenu)
		return false;
	const { box, anchor } = openMenu;

	openMenu = null;
	box.remove();
	anchor.setAttribute("aria-expanded", "false");
	if (refocus)
		anchor.focus();
	return true;
}

function menuKey(event) {
	const items = [...event.currentTarget.querySelectorAll("[role=menuitem]")];
	const at = items.indexOf(document.activeElement);
	const moves = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1 };

	if (event.key === "Escape" || event.key === "Tab") {
		closeMenu(true);
	} else if (event.key in moves) {
		items[(moves[event.key] + items.length) % items.length].focus();
	} else {
		const to = items.find(i => i.dataset.key === event.key);

		if (to)
			to.click();
	}
	if (event.key !== "Enter" && event.key !== " ")
		event.preventDefault();
	event.stopPropagation();
}

/* items: {text, key, hint, class, click}. Opens below the anchor; arrows, letters, Escape work. */
export function menu(anchor, items) {
	if (openMenu && openMenu.anchor === anchor) {
		closeMenu(true);
		return;
	}
	closeMenu(false);
	const box = h("div", { class: "menu", role: "menu", on: { keydown: menuKey } },
		items.map(item => h("button", {
			type: "button", role: "menuitem", class: "menu-item " + (item.class || ""), tabindex: "-1",
			"data-key": item.key, on: { click: () => {
				closeMenu(true);
				item.click();
			} },
		}, h("span", { text: item.text }), item.key ? h("kbd", { text: item.key }) : null)));
	const at = anchor.getBoundingClientRect();

	document.body.append(box);
	const left = Math.max(4, Math.min(at.left, innerWidth - box.offsetWidth - 4));
	const below = at.bottom + 4;
	const top = below + box.offsetHeight > innerHeight ? at.top - box.offsetHeight - 4 : below;
	box.style.left = `${left}px`;
	box.style.top = `${Math.max(4, top)}px`;
	anchor.setAttribute("aria-expanded", "true");
	openMenu = { box, anchor };
	box.firstChild.focus();
}

document.addEventListener("pointerdown", event => {
	if (openMenu && !openMenu.box.contains(event.target) && !openMenu.anchor.contains(event.target))
		closeMenu(false);
});

/* A modal window. body: elements; returns the dialog, which is gone when it closes. */
export function modal(title, className, ...body) {
	const back = document.activeElement;
	const close = button({ icon: "close", label: "Close", click: () => box.close() });
	const head = h("header", { class: "modal-head" }, h("h2", { text: title }), close);
	const box = h("dialog", { class: "modal " + className, "aria-label": title },
		head, h("div", { class: "modal-body" }, body));

	box.addEventListener("close", () => {
		box.remove();
		if (back && back.isConnected)
			back.focus();
	});
	box.addEventListener("pointerdown", event => {
		if (event.target === box && !box.querySelector("form"))
			box.close(); /* what somebody writes is not thrown away by a click beside it */
	});
	document.body.append(box);
	box.showModal();
	return box;
}

export function ask(title, text, yes) {
	return new Promise(resolve => {
		const ok = button({ text: yes, class: "button primary", click: () => {
			resolve(true);
			box.close();
		} });
		const no = button({ text: "Cancel", click: () => box.close() });
		const box = modal(title, "small", h("p", { text }), h("div", { class: "modal-foot" }, no, ok));

		box.addEventListener("close", () => resolve(false));
		ok.focus();
	});
}

/* Any object remembered from one visit to the next; a browser that keeps nothing is fine. */
export const memory = {
	get(key, otherwise) {
		try {
			const text = localStorage.getItem("pgrok." + key);
			return text === null ? otherwise : JSON.parse(text);
		} catch (err) {
			return otherwise;
		}
	},
	set(key, value) {
		try {
			localStorage.setItem("pgrok." + key, JSON.stringify(value));
		} catch (err) {
			/* not kept */
		}
	},
};
