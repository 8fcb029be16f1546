// The plain tabs of a transaction: Summary, Headers, Timing, Raw.
import { agoLong, asText, bytes, clock, duration, durationNs, formPairs, fromBase64, parseType, plural }
	from "./format.js";
import { bodyBox, hexLines, pairTable } from "./body.js";
import { button, copyButton, h } from "./dom.js";
import { api } from "./api.js";

const RAW_PIECE = 64 << 10;
const RAW_WHOLE = 2 << 20;

function factList(rows) {
	return h("dl", { class: "facts two" }, rows.filter(row => row && row[1] !== "" && row[1] !== null && row[1] !== undefined)
		.map(([name, value]) => [h("dt", { text: name }), h("dd", { class: name === "URL" ? "one-line" : null }, value)]));
}

function section(title, note, ...kids) {
	return h("section", { class: "part-section" },
		h("h3", null, title, note ? h("span", { class: "muted num", text: note }) : null), kids);
}

function noteField(entry, on) {
	const input = h("input", { class: "note-input", id: "note", value: entry.note, placeholder: "Add a note",
		"aria-label": "Note", maxlength: "300", on: { change: () => on.change({ note: input.value }) } });

	input.addEventListener("keydown", event => {
		if (event.key === "Enter" || event.key === "Escape") {
			input.blur();
			event.stopPropagation();
		}
	});
	return input;
}

const mono = text => h("span", { class: "mono", text });

function sizes(entry) {
	return `${bytes(entry.req_size)} in, ${bytes(entry.resp_size)} out`;
}

/* What carries a meaning of its own in webhooks: shown before the rest. */
const TELLING = /^(user-agent|authorization|x-.*(event|signature|delivery|hook|request-id)|.*-signature|content-type|location|cookie|set-cookie|origin|referer|retry-after|www-authenticate)/i;

function telling(list) {
	return list.filter(([name]) => TELLING.test(name)).slice(0, 8);
}

function headerTable(list) {
	return h("div", { class: "scroll-x" }, h("table", { class: "pairs headers mono" }, h("tbody", null,
		list.map(([name, value]) => h("tr", null, h("th", { scope: "row", text: name }), h("td", { text: value }))))));
}

async function sideSummary(tx, side, keep, kids) {
	const part = tx[side];
	const meta = part.body;
	const body = meta.size ? await bodyBox({ id: tx.id, side, meta, type: meta.type }, keep) : null;
	const parts = [bytes(meta.size), meta.truncated ? `${bytes(meta.kept)} kept` : ""];

	if (body)
		body.classList.add("preview");
	return section(side === "request" ? "Request" : "Answer",
		(side === "response" ? `${part.status} · ` : "") + parts.filter(Boolean).join(", "),
		kids, telling(part.header_list).length ? headerTable(telling(part.header_list)) : null,
		body || h("p", { class: "muted", text: "No body." }));
}

export async function summaryTab(tx, entry, on, keep) {
	const at = tx.request.uri.indexOf("?");
	const query = at < 0 ? [] : formPairs(tx.request.uri.slice(at + 1));
	const t = tx.timing;
	const url = entry.url + entry.path;

	return h("div", { class: "tab-page" },
		entry.error ? h("p", { class: "notice error", text: entry.error }) : null,
		factList([
			["URL", [mono(url), copyButton("Copy the URL", url, "the URL")]],
			["From", entry.remote_addr ? mono(entry.remote_addr) : entry.origin ?
				[h("span", { text: "this page, a replay of\u00a0" }), h("button", { type: "button", class: "link mono", text: entry.origin,
					on: { click: () => on.open(entry.origin) } })] : ""],
			["Tunnel", entry.tunnel_name],
			["Began", h("span", { class: "num" }, clock(entry.start_ms), h("span", { class: "muted", text:
				` · ${agoLong(on.now() - entry.start_ms)}` }))],
			["Took", h("span", { class: "num" }, duration(entry.duration_ms),
				t.first_byte_ns >= 0 ? h("span", { class: "muted", text: ` · first byte after ${durationNs(t.first_byte_ns)}` }) :
					null)],
			["Size", h("span", { class: "num", text: sizes(entry) })],
			["Note", noteField(entry, on)],
		]),
		query.length ? section("Query", plural(query.length, "parameter"), pairTable(query)) : null,
		await sideSummary(tx, "request", keep),
		tx.response ? await sideSummary(tx, "response", keep) :
			section("Answer", "", h("p", { class: "muted", text: entry.state === "failed" ? "None came." : "Waiting for it …" })));
}

function startLine(part, side) {
	return side === "request" ? `${part.method} ${part.uri} ${part.proto}` : `${part.proto} ${part.status}`;
}

function headersOf(part, side) {
	const copy = copyButton("Copy these headers",
		part.header_list.map(([name, value]) => `${name}: ${value}`).join("\n"), "the headers");

	return h("section", { class: "part-section" },
		h("h3", null, side === "request" ? "Request" : "Answer",
			h("span", { class: "muted num", text: `${plural(part.header_list.length, "header")}, ${bytes(part.head_size)}` }), copy),
		h("p", { class: "mono start-line", text: startLine(part, side) }),
		headerTable(part.header_list),
		part.trailers && part.trailers.length ? [h("h4", { text: "Trailers" }), headerTable(part.trailers)] : null);
}

export function headersTab(tx) {
	const interim = tx.response ? tx.response.interim || [] : [];

	return h("div", { class: "tab-page" }, headersOf(tx.request, "request"),
		interim.map(i => section(`Provisional ${i.status}`, "+" + durationNs(i.at_ns), headerTable(i.header_list))),
		tx.response ? headersOf(tx.response, "response") : section("Answer", "",
			h("p", { class: "muted", text: "None yet." })));
}

export async function bodyTab(tx, on, keep) {
	const has = side => tx[side] && tx[side].body.size > 0;

	keep.bodySide ||= has("response") || !has("request") ? "response" : "request";
	const side = keep.bodySide;
	const part = tx[side];
	const seg = (name, text) => button({ pressed: String(side === name), class: "seg", key: "s",
		text: `${text} ${tx[name] ? bytes(tx[name].body.size) : "–"}`, click: () => {
			keep.bodySide = name;
			on.redraw();
		} });
	const head = h("div", { class: "segs sides", role: "group", "aria-label": "Whose body" },
		seg("request", "Request"), seg("response", "Answer"));

	if (!part || !part.body.size)
		return h("div", { class: "tab-page body-page" }, head, h("p", { class: "muted", text: part ? "No body." : "No answer yet." }));
	const { type } = parseType(part.body.type);
	return h("div", { class: "tab-page body-page" },
		h("div", { class: "row-line" }, head, h("span", { class: "muted mono", text: type || "no content type" })),
		await bodyBox({ id: tx.id, side, meta: part.body, type: part.body.type }, keep));
}

/* from and to in ns; what stands beside the bar. */
function bar(name, from, to, end, kind) {
	const left = from / end * 100;
	const width = Math.max(0.4, (to - from) / end * 100);
	const fill = h("span", { class: "w-bar " + kind });

	fill.style.left = `${Math.min(99.6, left)}%`;
	fill.style.width = `${width}%`;
	return h("tr", null, h("th", { scope: "row", text: name }),
		h("td", { class: "w-track" }, h("span", { class: "w-lane" }, fill)),
		h("td", { class: "right num", text: durationNs(to - from) }),
		h("td", { class: "right num muted", text: "+" + durationNs(from) }));
}

export function timingTab(tx, entry) {
	const t = tx.timing;
	const now = entry.duration_ms * 1e6;
	const known = ns => (ns >= 0 ? ns : now);
	const sent = known(t.request_sent_ns);
	const first = known(t.first_byte_ns);
	const last = Math.max(known(t.last_byte_ns), first);
	const connect = Math.max(0, t.connect_ns);
	const end = Math.max(last, sent, 1);
	const interim = tx.response ? tx.response.interim || [] : [];
	const rows = [
		connect > 0 ? bar("Connect to the local service", 0, connect, end, "k-connect") : null,
		bar("Send the request", connect, Math.max(sent, connect), end, "k-send"),
		interim.map(i => bar(`Provisional ${i.status}`, i.at_ns, i.at_ns, end, "k-send")),
		bar("Wait for the answer", Math.min(Math.max(sent, connect), first), first, end, "k-wait"),
		t.first_byte_ns >= 0 ? bar(entry.kind === "http" ? "Receive the answer" : "Stream", first, last, end, "k-receive") : null,
	];

	return h("div", { class: "tab-page" },
		h("p", { class: "num" }, "Began ", clock(entry.start_ms), ", took ", h("b", { text: duration(entry.duration_ms) }),
			entry.state === "open" ? " so far" : ""),
		h("table", { class: "waterfall" }, h("thead", null, h("tr", null, h("th", { scope: "col", text: "Phase" }),
			h("td", { class: "w-scale num" }, [0, 0.25, 0.5, 0.75, 1].map(part => {
				const mark = h("span", { text: part ? durationNs(end * part) : "0" });
				mark.style.left = `${part * 100}%`;
				return mark;
			})), h("th", { scope: "col", class: "right", text: "Took" }), h("th", { scope: "col", class: "right", text: "From" }))),
		h("tbody", null, rows)),
		connect === 0 ? h("p", { class: "muted", text: "The connection to the local service was in use already." }) : null);
}

/* A head as it would have been sent, for bodies that are too long to come along with it. */
function rebuiltHead(part, side) {
	return startLine(part, side) + "\r\n" + part.header_list.map(([n, v]) => `${n}: ${v}\r\n`).join("") + "\r\n";
}

function visible(text) {
	return text.replace(/\r\n/g, "\n");
}

function rawText(data) {
	const text = asText(data);

	return text !== null ? visible(text) : null;
}

function rawBox(part, side, data) {
	const text = rawText(data.length > RAW_PIECE ? data.subarray(0, RAW_PIECE - 4) : data);
	const lossy = text !== null ? text : visible(new TextDecoder().decode(data.subarray(0, RAW_PIECE)));
	const box = h("pre", { class: "text raw mono", tabindex: "0", text: lossy });
	let at = Math.min(data.length, RAW_PIECE);
	const tools = h("span", { class: "tools-right" },
		button({ text: "Hex", class: "button small", pressed: "false", click: event => {
			const on = event.currentTarget.getAttribute("aria-pressed") !== "true";
			event.currentTarget.setAttribute("aria-pressed", on);
			box.textContent = on ? hexLines(data.subarray(0, RAW_PIECE), 0) : lossy;
			box.classList.toggle("hex", on);
		} }),
		copyButton("Copy it raw", () => new TextDecoder().decode(data), side === "request" ? "the raw request" : "the raw answer"));
	const more = data.length > at ? button({ text: `Show more (${bytes(data.length - at)} left)`, class: "button small more",
		click: () => {
			const next = data.subarray(at, at + 4 * RAW_PIECE);
			box.append(document.createTextNode(visible(new TextDecoder().decode(next))));
			at += next.length;
			more.lastChild.textContent = `Show more (${bytes(data.length - at)} left)`;
			more.hidden = at >= data.length;
		} }) : null;

	return h("section", { class: "part-section" }, h("h3", null, side === "request" ? "Request" : "Answer",
		h("span", { class: "muted num", text: bytes(part.head_size + part.body.size) }), tools),
	part.body.truncated ? h("p", { class: "notice", text: `Only ${bytes(part.body.kept)} of the body were kept.` }) : null, box, more);
}

async function rawBytes(tx, side, full) {
	if (full)
		return fromBase64(full[side].raw);
	const part = tx[side];
	const head = new TextEncoder().encode(rebuiltHead(part, side));
	const body = (await api.body(tx.id, side, { limit: RAW_WHOLE })).bytes;
	const out = new Uint8Array(head.length + body.length);
	out.set(head);
	out.set(body, head.length);
	return out;
}

export async function rawTab(tx) {
	const kept = tx.request.body.kept + (tx.response ? tx.response.body.kept : 0);
	const full = kept <= RAW_WHOLE ? await api.transaction(tx.id, true) : null;
	const sides = ["request", "response"].filter(side => tx[side] && (!full || full[side]));

	return h("div", { class: "tab-page" },
		await Promise.all(sides.map(async side => rawBox(tx[side], side, await rawBytes(tx, side, full)))));
}

