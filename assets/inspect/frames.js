// WebSocket messages and server-sent events, as they come.
import { button, copyText, h, setText } from "./dom.js";
import { bytes, count, durationNs, fromBase64, plural } from "./format.js";
import { BytesSource, payload } from "./body.js";
import { VirtualList } from "./vlist.js";
import { api } from "./api.js";

const PAGE = 1000;

function brief(frame) {
	if (frame.type === "close")
		return [frame.code || "", frame.reason].filter(Boolean).join(" ");
	if (frame.text !== undefined)
		return frame.text.slice(0, 300).replace(/\s+/g, " ");
	return frame.data ? `${bytes(frame.kept)} of bytes` : "";
}

function frameBytes(frame) {
	return frame.text !== undefined ? new TextEncoder().encode(frame.text) : fromBase64(frame.data || "");
}

function makeRow() {
	const row = h("div", { class: "frow mono", role: "option" }, h("span", { class: "f-dir" }),
		h("span", { class: "f-at" }), h("span", { class: "f-type" }), h("span", { class: "f-text" }),
		h("span", { class: "f-size" }));
	return row;
}

export class FramesTab {
	constructor() {
		this.port = h("div", { class: "frames", role: "listbox", tabindex: "0", "aria-label": "Frames" });
		this.note = h("span", { class: "muted num frames-note" });
		this.search = h("input", { type: "search", class: "small-input", placeholder: "Filter the frames",
			"aria-label": "Filter the frames", on: { input: () => this.refilter() } });
		this.follow = button({ text: "Follow", class: "seg", label: "Stay at the newest", pressed: "true",
			click: () => this.setFollow(!this.following) });
		this.one = h("div", { class: "frame-one", hidden: true });
		this.el = h("div", { class: "tab-page frames-page" },
			h("div", { class: "body-tools" }, this.search, this.follow, this.note), this.port, this.one);
		this.following = true;
		this.frames = [];
		this.view = [];
		this.list = new VirtualList(this.port, {
			rowHeight: 24, make: makeRow, fill: (el, frame) => this.fill(el, frame), key: frame => String(frame.n),
			length: () => this.view.length, at: i => this.view[i],
			indexOf: key => this.view.findIndex(frame => String(frame.n) === key),
			scrolled: own => {
				if (!own)
					this.setFollow(this.atEnd());
			},
		});
		this.port.addEventListener("click", event => {
			const row = event.target.closest(".frow");
			if (row)
				this.choose(Number(row.dataset.n));
		});
		this.port.addEventListener("keydown", event => this.key(event));
	}

	async show(entry) {
		this.id = entry.id;
		this.frames = [];
		this.chosen = null;
		this.one.hidden = true;
		this.following = true;
		this.dropped = 0;
		const id = entry.id;
		try {
			for (let after; ;) {
				const got = await api.frames(id, after, PAGE);
				if (this.id !== id)
					return;
				this.dropped = got.dropped;
				for (const frame of got.frames)
					this.take(frame);
				this.refilter();
				if (!got.more || !got.frames.length)
					break;
				after = got.frames[got.frames.length - 1].n;
			}
		} catch (err) {
			setText(this.note, err.message);
		}
	}

	/* In order of n; one that grew replaces itself. */
	take(frame) {
		let i = this.frames.length;

		while (i > 0 && this.frames[i - 1].n > frame.n)
			i--;
		if (i > 0 && this.frames[i - 1].n === frame.n)
			this.frames[i - 1] = frame;
		else
			this.frames.splice(i, 0, frame);
	}

	/* From the live connection. */
	add(list) {
		for (const frame of list)
			this.take(frame);
		this.refilter();
		if (this.chosen !== null && list.some(frame => frame.n === this.chosen))
			this.choose(this.chosen, true);
	}

	refilter() {
		const want = this.search.value.toLowerCase();

		this.view = want ? this.frames.filter(frame =>
			`${frame.type} ${frame.event || ""} ${brief(frame)} ${frame.text || ""}`.toLowerCase().includes(want)) :
			this.frames;
		this.list.refresh(!this.following);
		if (this.following)
			this.list.scrollTo(Infinity);
		setText(this.note, (want ? `${count(this.view.length)} of ` : "") + plural(this.frames.length, "frame") +
			(this.dropped ? `, ${count(this.dropped)} older ones were let go` : ""));
	}

	atEnd() {
		return this.port.scrollTop + this.port.clientHeight > this.view.length * 24 - 12;
	}

	setFollow(on) {
		this.following = on;
		this.follow.setAttribute("aria-pressed", on);
		if (on)
			this.list.scrollTo(Infinity);
	}

	fill(el, frame) {
		const [dir, at, type, text, size] = el.children;
		const out = frame.from === "server";

		el.dataset.n = frame.n;
		el.id = "frame-" + frame.n;
		el.className = `frow mono ${out ? "out" : "in"} t-${frame.type}${frame.n === this.chosen ? " chosen" : ""}`;
		el.setAttribute("aria-selected", frame.n === this.chosen);
		setText(dir, out ? "↓" : "↑");
		dir.setAttribute("aria-label", out ? "from the service" : "from the visitor");
		setText(at, "+" + durationNs(frame.at_ns));
		setText(type, frame.type === "event" ? frame.event || "message" : frame.type);
		setText(text, brief(frame));
		setText(size, bytes(frame.size));
	}

	async choose(n, again) {
		const frame = this.frames.find(f => f.n === n);

		if (!frame)
			return;
		this.chosen = n;
		this.port.setAttribute("aria-activedescendant", "frame-" + n);
		this.list.draw(true);
		const data = frameBytes(frame);
		const shown = data.length ? (await payload(new BytesSource(data), "text/plain")).el :
			h("p", { class: "muted", text: "Empty." });
		if (this.chosen !== n)
			return;
		const facts = [`#${frame.n}`, frame.type, bytes(frame.size), frame.fragments > 1 ? `${frame.fragments} fragments` : "",
			frame.compressed ? "compressed" : "", frame.encoded ? "not decoded" : "", frame.kept < frame.size ? `${bytes(frame.kept)} kept` : "",
			frame.id ? `id ${frame.id}` : "", frame.retry ? `retry ${frame.retry} ms` : "",
			frame.code ? `code ${frame.code}` : "", frame.reason || ""].filter(Boolean);
		this.one.hidden = false;
		this.one.replaceChildren(h("div", { class: "body-tools" }, h("span", { class: "num", text: facts.join(" · ") }),
			button({ icon: "copy", label: "Copy this frame", click: () =>
				copyText(frame.text !== undefined ? frame.text : frame.data || "", "the frame") }),
			button({ icon: "close", label: "Close this frame", click: () => this.unchoose() })),
		h("div", { class: "payload wrap" }, shown));
		if (!again)
			this.list.reveal(this.view.indexOf(frame));
	}

	unchoose() {
		this.chosen = null;
		this.one.hidden = true;
		this.list.draw(true);
		this.port.focus();
	}

	key(event) {
		const at = this.view.findIndex(frame => frame.n === this.chosen);
		const moves = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1, PageDown: this.list.pageRows(), PageUp: -this.list.pageRows(),
			Home: -Infinity, End: Infinity };

		if (event.key === "Escape" && this.chosen !== null) {
			this.unchoose();
		} else if (event.key in moves && this.view.length) {
			const to = at < 0 ? this.view.length - 1 :
				Math.max(0, Math.min(this.view.length - 1, at + moves[event.key]));
			this.setFollow(to === this.view.length - 1);
			this.choose(this.view[to].n);
		} else {
			return;
		}
		event.preventDefault();
		event.stopPropagation();
	}
}
