// The Compare tab: the replays of a request as a table, and one answer against another.
import { button, h, setText } from "./dom.js";
import { asText, bytes, clock, count, duration, plural, statusKind, statusText } from "./format.js";
import { diffHeaders, diffLines, diffView } from "./diff.js";
import { parseJson, printJson } from "./json.js";
import { parseXml, printXml } from "./xml.js";
import { api } from "./api.js";

const MOST_BYTES = 1 << 20;

/* The first of a family: what this one and its brothers replay. */
export function rootOf(store, entry) {
	const seen = new Set();
	let at = entry;

	while (at.origin && store.get(at.origin) && !seen.has(at.id)) {
		seen.add(at.id);
		at = store.get(at.origin);
	}
	return at;
}

export function replaysOf(store, root) {
	const ids = new Set([root.id]);
	const out = [];

	for (const { entry } of store.all)
		if (entry.origin && ids.has(entry.origin)) {
			ids.add(entry.id);
			out.push(entry);
		}
	return out;
}

/* What this one is best compared with: what it replays, else the one before to the same place. */
function candidates(store, entry) {
	const root = rootOf(store, entry);
	const family = root === entry ? replaysOf(store, root).reverse() : [root, ...replaysOf(store, root).reverse()];
	const place = e => `${e.method} ${e.host}${e.path.split("?")[0]}`;
	const same = [];

	for (let i = store.all.length - 1; i >= 0 && same.length < 15; i--) {
		const e = store.all[i].entry;
		if (e.seq < entry.seq && !e.origin && place(e) === place(entry))
			same.push(e);
	}
	const seen = new Set([entry.id]);
	return [...family, ...same].filter(e => !seen.has(e.id) && seen.add(e.id)).slice(0, 30);
}

function pretty(text) {
	for (const turn of [t => printJson(parseJson(t)), t => printXml(parseXml(t))])
		try {
			return turn(text);
		} catch (err) {
			/* something else */
		}
	return text;
}

async function bodyFor(tx, side) {
	const part = tx[side];

	if (!part || !part.body.size)
		return { text: "", total: 0, data: new Uint8Array(0), cut: false };
	const got = await api.body(tx.id, side, { decode: true, limit: MOST_BYTES });
	const text = asText(got.bytes);
	return { text: text === null ? null : pretty(text), total: got.total, data: got.bytes,
		cut: got.truncated || got.total > got.bytes.length };
}

const equal = (a, b) => a.length === b.length && a.every((x, i) => x === b[i]);

function headerDiff(a, b) {
	const rows = diffHeaders(a ? a.header_list : [], b ? b.header_list : []);

	if (!rows.length)
		return h("p", { class: "muted", text: "Headers: the same." });
	const side = (sign, name, value) => (value === undefined ? null :
		h("div", { class: "d-line " + (sign === "-" ? "removed" : "added") },
			h("span", { class: "d-sign", "aria-label": sign === "-" ? "removed" : "added", text: sign }),
			h("span", { class: "d-text" }, h("b", { text: name + ": " }), value)));
	return h("div", { class: "diff mono", role: "group", "aria-label": "Headers that differ" },
		rows.map(row => [side("-", row.name, row.a), side("+", row.name, row.b)]));
}

async function bodyDiff(txA, txB, side) {
	const [a, b] = await Promise.all([bodyFor(txA, side), bodyFor(txB, side)]);
	const cut = a.cut || b.cut ? ` The first ${bytes(Math.max(a.data.length, b.data.length))} are compared.` : "";

	if (equal(a.data, b.data) && !a.cut && !b.cut)
		return h("p", { class: "muted", text: a.total ? "Body: the same, byte for byte." : "Body: none on both sides." });
	if (a.text === null || b.text === null)
		return h("p", { class: "notice",
			text: `The bodies differ and are not text: ${bytes(a.total)} and ${bytes(b.total)}.` });
	if (a.text === b.text)
		return h("p", { class: "muted", text: `Body: the same but for white space.${cut}` });
	return h("div", null, cut ? h("p", { class: "notice", text: cut.trim() }) : null,
		diffView(diffLines(a.text, b.text)));
}

/* Its start line: the request's method and path, or the answer's status. */
function firstLine(tx, side) {
	const part = tx[side];

	if (!part)
		return "(none)";
	return side === "request" ? `${part.method} ${part.uri}` : part.status;
}

export async function compareBox(idA, idB, side) {
	const [a, b] = await Promise.all([api.transaction(idA), api.transaction(idB)]);
	const lines = [firstLine(a, side), firstLine(b, side)];
	const first = lines[0] === lines[1] ? h("p", { class: "muted", text: `${lines[0]} on both sides.` }) :
		diffView(diffLines(...lines));

	return h("div", { class: "compare" }, first, headerDiff(a[side], b[side]), await bodyDiff(a, b, side));
}

export function statusBadge(entry) {
	const [kind, word] = statusKind(entry);

	return h("span", { class: "badge " + kind, title: word }, h("i", { class: "dot" }), statusText(entry));
}

/* min, middle, most of the runs that are done, in one line. */
function summary(runs) {
	const done = runs.filter(e => e.state !== "open");
	const times = done.map(e => e.duration_ms).sort((a, b) => a - b);
	const codes = new Map();

	for (const e of done)
		codes.set(statusText(e), (codes.get(statusText(e)) || 0) + 1);
	const parts = [`${count(done.length)} of ${plural(runs.length, "replay")} done`];
	if (codes.size)
		parts.push([...codes].map(([code, n]) => `${n} × ${code}`).join(", "));
	if (times.length > 1)
		parts.push(`${duration(times[0])} to ${duration(times[times.length - 1])}, ` +
			`median ${duration(times[times.length >> 1])}`);
	return parts.join(" · ");
}

/* The Compare tab. keep: {side, other: {id: other id}} outlives it. */
export class CompareTab {
	constructor(store, on, keep) {
		this.store = store;
		this.on = on;
		this.keep = keep;
		this.keep.other ||= new Map();
		this.keep.side ||= "response";
		this.el = h("div", { class: "tab-page compare-page" });
		this.table = h("div");
		this.pick = h("div", { class: "compare-pick" });
		this.out = h("div", { "aria-live": "polite" });
		this.el.append(this.table, this.pick, this.out);
	}

	show(entry) {
		this.entry = entry;
		this.shownKey = "";
		this.update();
	}

	/* Called again whenever entries changed. */
	update() {
		const entry = this.store.get(this.entry.id) || this.entry;
		const root = rootOf(this.store, entry);
		const runs = replaysOf(this.store, root);

		this.fillTable(root, runs, entry);
		this.fillPick(entry);
	}

	fillTable(root, runs, entry) {
		const key = [root, ...runs].map(e => e.id + e.rev).join() + entry.id;

		if (key === this.tableKey)
			return;
		this.tableKey = key;
		if (!runs.length) {
			this.table.replaceChildren(h("p", { class: "muted" }, "Not replayed yet. ",
				button({ icon: "replay", text: "Replay", class: "button small", click: () => this.on.replay() })));
			return;
		}
		const row = (e, name) => h("tr", { class: e.id === entry.id ? "current" : null },
			h("th", { scope: "row" }, h("button", { type: "button", class: "link", text: name,
				on: { click: () => this.on.open(e.id, "compare") } })),
			h("td", null, statusBadge(e)), h("td", { class: "right", text: duration(e.duration_ms) }),
			h("td", { class: "right", text: bytes(e.resp_size) }),
			h("td", { text: e === root || e.state === "open" ? "" : e.status !== root.status ? "other status" :
				e.resp_size !== root.resp_size ? "other size" : "same status, same size" }),
			h("td", { text: clock(e.start_ms).slice(11) }));
		this.table.replaceChildren(
			h("p", { class: "num runs-sum", text: summary(runs) }),
			h("div", { class: "scroll-x runs" }, h("table", { class: "grid num", id: "runs" },
				h("thead", null, h("tr", null, ["Run", "Status", "Time", "Size", "Against the first", "At"].map((text, i) =>
					h("th", { scope: "col", class: i === 2 || i === 3 ? "right" : null, text })))),
				h("tbody", null, row(root, "first"), runs.map((e, i) =>
					row(e, `${i + 1}${e.edited ? " edited" : ""}`))))));
	}

	fillPick(entry) {
		const list = candidates(this.store, entry);
		const wanted = this.keep.other.get(entry.id);
		const other = list.find(e => e.id === wanted) || list[0];
		const key = [entry.id, entry.rev, this.keep.side, other && other.id, other && other.rev, list.length].join();

		if (key === this.shownKey)
			return;
		this.shownKey = key;
		if (!other) {
			this.pick.replaceChildren();
			this.out.replaceChildren(h("p", { class: "muted", text: "Nothing to compare with: no earlier request to this place." }));
			return;
		}
		const root = rootOf(this.store, entry);
		const name = e => (e.id === entry.origin ? "the original" : e === root ? "the first" :
			e.origin ? "a replay" : "earlier") + `, ${statusText(e)}, ${clock(e.start_ms).slice(11, 19)}`;
		const select = h("select", { "aria-label": "Compare with", on: { change: () => {
			this.keep.other.set(entry.id, select.value);
			this.update();
		} } }, list.map(e => h("option", { value: e.id, text: name(e) })));
		select.value = other.id;
		const seg = (side, text) => button({ text, class: "seg", pressed: String(this.keep.side === side), click: () => {
			this.keep.side = side;
			this.update();
		} });
		this.pick.replaceChildren(
			h("div", { class: "segs", role: "group", "aria-label": "What to compare" },
				seg("response", "Answers"), seg("request", "Requests")),
			h("label", { class: "pick-label" }, h("span", { class: "d-sign removed", text: "−" }), select),
			h("span", { class: "pick-label" }, h("span", { class: "d-sign added", text: "+" }),
				"this one"));
		this.fillDiff(other, entry, key);
	}

	async fillDiff(other, entry, key) {
		if (entry.state === "open" && !entry.status) {
			this.out.replaceChildren(h("p", { class: "muted", text: "Waiting for the answer." }));
			return;
		}
		/* The older one is the left side, whichever of the two is open. */
		const [a, b] = other.seq < entry.seq ? [other, entry] : [entry, other];
		try {
			const box = await compareBox(a.id, b.id, this.keep.side);
			if (key !== this.shownKey)
				return;
			this.out.replaceChildren(box);
			const signs = this.pick.querySelectorAll(".d-sign");
			setText(signs[0], a === other ? "−" : "+");
			setText(signs[1], a === other ? "+" : "−");
			signs[0].className = "d-sign " + (a === other ? "removed" : "added");
			signs[1].className = "d-sign " + (a === other ? "added" : "removed");
		} catch (err) {
			if (key === this.shownKey)
				this.out.replaceChildren(h("p", { class: "notice error", text: err.message }));
		}
	}
}
