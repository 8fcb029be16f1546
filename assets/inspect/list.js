// The list: newest first, any number of rows, and what is being read never moves by itself.
import { $, charWidth, h, icon, setText } from "./dom.js";
import { ago, bytes, clock, count, duration, plural, shorten, shortType, statusKind, statusText } from "./format.js";
import { VirtualList } from "./vlist.js";

const NARROW = matchMedia("(max-width: 699px)");
const rowHeight = () => (NARROW.matches ? 54 : 26);

function cell(name, ...kids) {
	return h("span", { class: "c-" + name, role: "gridcell" }, kids);
}

function makeRow() {
	const row = h("div", { class: "row", role: "row" },
		cell("status", h("i", { class: "dot" }), h("b", { class: "code" })),
		cell("method"),
		cell("path", h("span", { class: "tags" }), h("span", { class: "p-text" })),
		cell("type"), cell("dur"), cell("size"), cell("when"), cell("tunnel"));

	row.parts = {
		dot: row.querySelector(".dot"), code: row.querySelector(".code"),
		tags: row.querySelector(".tags"), text: row.querySelector(".p-text"),
	};
	for (const name of ["method", "path", "type", "dur", "size", "when", "tunnel"])
		row.parts[name] = row.querySelector(".c-" + name);
	return row;
}

function tagsOf(entry) {
	const tags = [];

	if (entry.kind === "websocket" || entry.kind === "sse")
		tags.push(["tag", entry.kind === "sse" ? "SSE" : "WS"]);
	if (entry.origin)
		tags.push(["tag", entry.edited ? "edited" : "replay"]);
	if (entry.note)
		tags.push(["note", ""]);
	if (entry.pinned)
		tags.push(["pin", ""]);
	return tags;
}

/* As setText(), for the many cells of many rows: what was set last is known without asking the element. */
function put(el, text) {
	if (el.shown === text)
		return;
	el.shown = text;
	if (el.firstChild)
		el.firstChild.data = text;
	else
		el.textContent = text;
}

function fillTags(el, entry) {
	const tags = tagsOf(entry);
	const key = tags.map(tag => tag.join(":")).join(" ");

	if (el.dataset.key === key)
		return;
	el.dataset.key = key;
	el.replaceChildren(...tags.map(([kind, text]) =>
		(text ? h("span", { class: "tag", text }) : icon(kind))));
}

function sizeText(entry) {
	if (entry.kind === "websocket")
		return `${count(entry.frames)} msg`;
	return entry.status ? bytes(entry.resp_size) : "";
}

function describe(entry, kind) {
	const parts = [statusText(entry), kind, entry.method, entry.host + entry.path, duration(entry.duration_ms)];

	if (entry.pinned)
		parts.push("pinned");
	if (entry.mark)
		parts.push("marked " + entry.mark);
	return parts.join(", ");
}

export class List {
	/* on.open(id, focus): a row was chosen. now(): the server's clock in ms. */
	constructor(store, on) {
		this.store = store;
		this.on = on;
		this.port = $("list");
		this.pill = $("pill");
		this.selected = null;
		this.seenSeq = 0; /* the newest that was in sight at the top */
		this.hovered = false;
		this.pushed = false; /* held by the pointer alone: goes back to the top when it leaves */
		this.rows = new VirtualList(this.port, {
			rowHeight: rowHeight(), make: makeRow,
			fill: (row, entry, index) => this.fill(row, entry, index),
			key: entry => entry.id,
			length: () => store.view.length,
			at: index => store.at(index),
			indexOf: id => store.indexOf(id),
			scrolled: own => this.scrolled(own),
		});
		store.onChange((changed, why) => this.update(why));
		NARROW.addEventListener("change", () => this.rows.setRowHeight(rowHeight()));
		this.pathPx = 0;
		this.charPx = 7.2;
		this.tagsPx = new Map();
		new ResizeObserver(() => this.fitPath()).observe(this.port);
		this.listen();
		setInterval(() => this.tick(), 1000);
	}

	listen() {
		this.port.addEventListener("click", event => {
			const row = event.target.closest(".row");

			if (row)
				this.on.open(row.dataset.id, false);
		});
		this.port.addEventListener("pointerenter", event => {
			this.hovered = event.pointerType === "mouse";
		});
		this.port.addEventListener("pointerleave", () => {
			this.hovered = false;
			if (this.pushed)
				this.toTop();
		});
		this.pill.addEventListener("click", () => this.toTop());
	}

	/* How much of a path fits: the column's width, in rows of two lines what the status leaves. */
	fitPath() {
		const px = document.querySelector(".head-row .c-path").clientWidth || this.port.clientWidth - 84;

		if (px === this.pathPx)
			return;
		this.pathPx = px;
		this.charPx = charWidth(this.port);
		this.tagsPx.clear();
		this.rows.draw(true);
	}

	/* Rows with the same tags leave the same room. */
	pathChars(tags) {
		const key = tags.dataset.key;

		if (key && !this.tagsPx.has(key))
			this.tagsPx.set(key, tags.offsetWidth + 6);
		return Math.floor((this.pathPx - (key ? this.tagsPx.get(key) : 0)) / this.charPx);
	}

	fill(row, entry, index) {
		const p = row.parts;
		const [kind, word] = statusKind(entry);
		const chosen = entry.id === this.selected;

		row.dataset.id = entry.id;
		row.id = "row-" + entry.id;
		row.className = `row ${kind}${chosen ? " chosen" : ""}${entry.mark ? " marked mark-" + entry.mark : ""}`;
		row.setAttribute("aria-selected", chosen);
		row.setAttribute("aria-rowindex", index + 1);
		row.setAttribute("aria-label", describe(entry, word));
		put(p.code, statusText(entry));
		put(p.method, entry.method);
		fillTags(p.tags, entry);
		put(p.text, shorten(entry.path, this.pathChars(p.tags)));
		put(p.type, shortType(entry.resp_type));
		put(p.dur, entry.state === "open" && !entry.status ? "" : duration(entry.duration_ms));
		put(p.size, sizeText(entry));
		put(p.tunnel, entry.tunnel_name);
		this.fillWhen(p.when, entry);
		if (p.path.dataset.path !== entry.path) {
			p.path.dataset.path = entry.path;
			p.path.title = entry.path;
		}
	}

	fillWhen(el, entry) {
		put(el, ago(this.on.now() - entry.start_ms));
		if (el.dataset.at !== entry.start) {
			el.dataset.at = entry.start;
			el.title = clock(entry.start_ms);
		}
	}

	tick() {
		for (const row of this.rows.rows.values()) {
			const entry = this.store.get(row.el.dataset.id);

			if (entry)
				this.fillWhen(row.el.parts.when, entry);
		}
	}

	atTop() {
		return this.port.scrollTop < this.rows.rowHeight / 2;
	}

	update(why) {
		const hold = why !== "filter" && (!this.atTop() || (this.hovered && this.seenSeq > 0));
		const wasTop = this.atTop();

		if (why === "filter")
			this.rows.scrollTo(0);
		this.rows.refresh(hold);
		this.port.setAttribute("aria-rowcount", this.store.view.length);
		if (hold && wasTop && !this.atTop())
			this.pushed = true;
		this.fillPill();
		this.on.shown();
	}

	scrolled(own) {
		if (!own)
			this.pushed = false;
		this.fillPill();
	}

	/* How many rows stand above what was seen at the top. */
	unseen() {
		const view = this.store.view;
		let n = 0;

		while (n < view.length && view[view.length - 1 - n].entry.seq > this.seenSeq)
			n++;
		return n;
	}

	fillPill() {
		const view = this.store.view;

		if (this.atTop()) {
			this.pushed = false;
			if (view.length)
				this.seenSeq = Math.max(this.seenSeq, view[view.length - 1].entry.seq);
			this.pill.hidden = true;
			return;
		}
		const n = this.unseen();
		this.pill.hidden = n === 0;
		setText(this.pill, `↑ ${count(n)} new`);
		this.pill.setAttribute("aria-label", `${plural(n, "new request")}, go to the newest`);
	}

	toTop() {
		this.pushed = false;
		this.rows.scrollTo(0);
		this.fillPill();
	}

	select(id) {
		this.selected = id;
		if (id)
			this.port.setAttribute("aria-activedescendant", "row-" + id);
		else
			this.port.removeAttribute("aria-activedescendant");
		this.rows.draw(true);
	}

	reveal(id) {
		const index = this.store.indexOf(id);

		if (index >= 0)
			this.rows.reveal(index);
	}

	/* The id so many rows further down; from nothing chosen, the first in sight. */
	step(by) {
		const n = this.store.view.length;
		const at = this.selected ? this.store.indexOf(this.selected) : -1;

		if (!n)
			return null;
		if (at < 0 && Math.abs(by) < 1e6)
			return this.store.at(Math.min(n - 1, Math.ceil(this.port.scrollTop / this.rows.rowHeight))).id;
		return this.store.at(Math.max(0, Math.min(n - 1, Math.max(0, at) + by))).id;
	}
}
