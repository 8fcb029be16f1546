// Sending a request again: as it was, so many times, or changed.
import { asText, bytes, headerValue, parseType } from "./format.js";
import { button, h, icon, modal, setText, toast } from "./dom.js";
import { lineAndColumn, parseJson, printJson } from "./json.js";
import { api } from "./api.js";

const MOST_EDIT = 1 << 20;
const SET_TO_FIT = new Set(["content-length", "transfer-encoding"]);
const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];

/* -> ids, or null after telling why not. */
async function send(what) {
	try {
		const got = await api.replay(what);
		return got ? got.ids || [] : [];
	} catch (err) {
		if (err.status === 409)
			err.message = "its body was not kept whole; edit and replay it with another one";
		toast(`Not replayed: ${err.message}`);
		return null;
	}
}

export const replayOnce = entry => send({ id: entry.id, times: 1 });

function field(label, input, className) {
	return h("label", { class: "field " + (className || "") }, h("span", { text: label }), input);
}

function tunnelSelect(tunnels, name) {
	const names = tunnels.filter(t => /^https?$/.test(t.proto)).map(t => t.name);

	if (name && !names.includes(name))
		names.unshift(name);
	const select = h("select", null, names.map(n => h("option", { value: n, text: n })));
	select.value = name;
	return select;
}

const numberInput = (value, min, max) => h("input", { type: "number", value: String(value), min, max, inputmode: "numeric" });

function within(input, min, max) {
	return Math.max(min, Math.min(max, Math.round(Number(input.value)) || min));
}

/* × N. done(ids). */
export function replayTimes(entry, tunnels, done) {
	const times = numberInput(10, 1, 100);
	const delay = numberInput(0, 0, 60000);
	const tunnel = tunnelSelect(tunnels, entry.tunnel_name);
	const form = h("form", { method: "dialog", on: { submit: async event => {
		event.preventDefault();
		const what = { id: entry.id, times: within(times, 1, 100), delay_ms: within(delay, 0, 60000) };
		if (tunnel.value !== entry.tunnel_name)
			what.tunnel_name = tunnel.value;
		const ids = await send(what);
		if (ids) {
			box.close();
			done(ids);
		}
	} } },
	h("p", { class: "mono req-brief", text: `${entry.method} ${entry.path}` }),
	h("div", { class: "fields" }, field("Times", times), field("Pause between, ms", delay), field("Tunnel", tunnel)),
	h("div", { class: "modal-foot" }, h("button", { type: "submit", class: "button primary" }, icon("repeat"),
		h("span", { text: "Replay" })), button({ text: "Cancel", click: () => box.close() })));
	const box = modal("Replay several times", "small", form);
	times.focus();
	times.select();
}

function headerRow(name, value, list) {
	const row = h("div", { class: "h-row" },
		h("input", { class: "mono h-name", value: name, "aria-label": "Header name", spellcheck: "false", placeholder: "Name" }),
		h("input", { class: "mono h-value", value, "aria-label": `Value of ${name || "the header"}`, spellcheck: "false",
			placeholder: "Value" }),
		button({ icon: "close", label: `Remove ${name || "this header"}`, click: () => {
			const next = row.nextElementSibling || row.previousElementSibling;
			row.remove();
			(next ? next.querySelector("input") : list.parentElement.querySelector(".add-header")).focus();
		} }));

	return row;
}

/* The body as text to edit: {text} or {why} it can't be, and whether its coding was undone. */
async function editableBody(tx) {
	const meta = tx.request.body;

	if (!meta.size)
		return { text: "", decoded: false };
	const got = await api.body(tx.id, "request", { decode: meta.coding !== "", limit: MOST_EDIT });
	const text = asText(got.bytes);
	if (got.error)
		return { why: `Its ${meta.coding} coding can't be undone (${got.error}): it is sent as it is.` };
	if (got.total > got.bytes.length)
		return { why: `It has ${bytes(got.total)}: too long to edit here, it is sent as it is.` };
	if (text === null)
		return { why: `Its ${bytes(got.total)} are not text: they are sent as they are.`, data: got.bytes };
	return { text, decoded: Boolean(got.decoded), cut: got.truncated };
}

/* Says what is wrong with a JSON body; format: the button that makes it readable. */
function checkBody(note, format, text, type) {
	format.hidden = true;
	if (!/json$/.test(parseType(type).type) || !text.trim()) {
		setText(note, "");
		return;
	}
	try {
		const pretty = printJson(parseJson(text));
		format.hidden = pretty === text;
		setText(note, "valid JSON");
		note.className = "muted";
	} catch (err) {
		const [line, column] = lineAndColumn(text, err.at || 0);
		setText(note, `not valid JSON: ${err.message}, line ${line}, column ${column}`);
		note.className = "warn";
	}
}

class Editor {
	constructor(entry, tx, body, tunnels, done) {
		this.entry = entry;
		this.tx = tx;
		this.body = body;
		this.done = done;
		this.tunnels = tunnels;
		this.build();
	}

	build() {
		const req = this.tx.request;
		const sent = req.header_list.filter(([name]) => !SET_TO_FIT.has(name.toLowerCase()) &&
			!(this.body.decoded && name.toLowerCase() === "content-encoding"));

		this.sent = JSON.stringify(sent);
		this.method = h("input", { class: "mono", value: req.method, list: "methods", "aria-label": "Method",
			spellcheck: "false", autocapitalize: "characters" });
		this.path = h("input", { class: "mono", value: req.uri, "aria-label": "Path", spellcheck: "false" });
		this.tunnel = tunnelSelect(this.tunnels, this.entry.tunnel_name);
		this.headers = h("div", { class: "h-rows" });
		for (const [name, value] of sent)
			this.headers.append(headerRow(name, value, this.headers));
		this.times = numberInput(1, 1, 100);
		this.note = h("span", { class: "muted", role: "status" });
		this.error = h("p", { class: "notice error", role: "alert", hidden: true });
		this.box = modal("Edit and replay", "wide", this.form());
		this.box.addEventListener("keydown", event => {
			if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
				event.preventDefault();
				this.submit();
			}
		});
		this.path.focus();
		this.path.setSelectionRange(this.path.value.length, this.path.value.length);
	}

	form() {
		const add = button({ text: "Add a header", class: "button small add-header", click: () => {
			const row = headerRow("", "", this.headers);
			this.headers.append(row);
			row.querySelector("input").focus();
		} });

		return h("form", { method: "dialog", class: "editor", on: { submit: event => {
			event.preventDefault();
			this.submit();
		} } },
		h("datalist", { id: "methods" }, METHODS.map(value => h("option", { value }))),
		h("div", { class: "fields line" }, field("Method", this.method, "narrow"), field("Path", this.path, "wide"),
			field("Tunnel", this.tunnel, "narrow")),
		h("fieldset", null, h("legend", { text: "Headers" }), this.headers,
			h("p", { class: "row-line" }, add,
				h("span", { class: "muted", text: "Content-Length is set to fit." + (this.body.decoded ?
					` Content-Encoding is left out: the body is sent decoded.` : "") }))),
		h("fieldset", null, h("legend", { text: "Body" }), this.bodyField()),
		this.error,
		h("div", { class: "modal-foot" }, h("button", { type: "submit", class: "button primary", title: "Ctrl+Enter" },
			icon("replay"), h("span", { text: "Send" })),
		field("Times", this.times, "inline"), button({ text: "Cancel", click: () => this.box.close() })));
	}

	bodyField() {
		if (this.body.why) {
			this.text = null;
			const open = button({ text: "Write another body", class: "button small", click: () => {
				this.body = { text: "", own: true };
				holder.replaceChildren(...this.textParts());
				this.text.focus();
			} });
			const holder = h("div", null, h("p", { class: "row-line" }, h("span", { text: this.body.why }), open));
			return holder;
		}
		return this.textParts();
	}

	textParts() {
		const type = () => headerValue(this.readHeaders(), "content-type");

		const format = button({ text: "Format", label: "Format the JSON", class: "button small", click: () => {
			this.text.value = printJson(parseJson(this.text.value));
			check();
			this.text.focus();
		} });
		const check = () => checkBody(this.note, format, this.text.value, type());

		this.text = h("textarea", { class: "mono", rows: 10, spellcheck: "false", "aria-label": "Body", value: this.body.text,
			on: { input: check } });
		check();
		return [this.text, h("p", { class: "row-line" }, this.note, format,
			this.body.cut ? h("span", { class: "warn", text: "Only a part of the body was kept." }) : null)];
	}

	readHeaders() {
		return [...this.headers.children].map(row => [...row.querySelectorAll("input")].map(input => input.value))
			.filter(([name]) => name.trim());
	}

	/* Only what was changed is sent: bytes that nobody touched stay as they were. */
	changes() {
		const req = this.tx.request;
		const headers = this.readHeaders();
		const what = { id: this.entry.id, times: within(this.times, 1, 100) };
		const textChanged = this.text && (this.text.value !== this.textBefore() || this.body.own);

		if (this.method.value.trim() !== req.method)
			what.method = this.method.value.trim();
		if (this.path.value !== req.uri)
			what.path = this.path.value;
		if (this.tunnel.value !== this.entry.tunnel_name)
			what.tunnel_name = this.tunnel.value;
		if (JSON.stringify(headers) !== this.sent || (this.body.decoded && textChanged))
			what.headers = headers;
		if (textChanged || (this.body.decoded && what.headers))
			what.body = this.text.value;
		return what;
	}

	/* A text area turns CR LF into LF: that alone is no change. */
	textBefore() {
		return this.body.text.replace(/\r\n?/g, "\n");
	}

	async submit() {
		const what = this.changes();

		if (what.body !== undefined && this.body.text && this.body.text.includes("\r\n"))
			what.body = what.body.replace(/\n/g, "\r\n");
		try {
			const got = await api.replay(what);
			this.box.close();
			this.done((got && got.ids) || []);
		} catch (err) {
			setText(this.error, `Not sent: ${err.message}`);
			this.error.hidden = false;
		}
	}
}

export async function editAndReplay(entry, tunnels, done) {
	try {
		const tx = await api.transaction(entry.id);
		return new Editor(entry, tx, await editableBody(tx), tunnels, done);
	} catch (err) {
		toast(`Can't edit it: ${err.message}`);
		return null;
	}
}
