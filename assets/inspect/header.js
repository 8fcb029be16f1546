// The bar at the top: tunnels, connection, rate; the window with the session's numbers; the empty list.
import { $, button, copyButton, h, modal, setText, svg } from "./dom.js";
import { bytes, clock, count, duration, durationNs, httpUrl, plural } from "./format.js";
import { api } from "./api.js";

const SPAN_S = 60;
const BARS = 30;

function link(url, text) {
	const href = httpUrl(url);

	return href ? h("a", { href, target: "_blank", rel: "noreferrer noopener", text: text || url }) :
		h("span", { text: text || url });
}

function chip(tunnel) {
	return h("li", { class: "chip" + (tunnel.online === false ? " off" : "") },
		h("span", { class: "proto", text: tunnel.proto }),
		h("span", { class: "chip-url", title: `${tunnel.public_url} to ${tunnel.config.addr}` },
			link(tunnel.public_url, tunnel.public_url.replace(/^\w+:\/\//, ""))),
		copyButton(`Copy ${tunnel.public_url}`, tunnel.public_url, tunnel.public_url));
}

function facts(rows) {
	return h("dl", { class: "facts" }, rows.filter(row => row && row[1] !== "" && row[1] !== null)
		.map(([name, value]) => [h("dt", { text: name }), h("dd", null, value)]));
}

function table(head, rows) {
	return h("div", { class: "scroll-x" }, h("table", { class: "grid num" },
		h("thead", null, h("tr", null, head.map((text, i) => h("th", { scope: "col", class: i > 2 ? "right" : null, text })))),
		h("tbody", null, rows.map(row => h("tr", null, row.map((value, i) => h("td", { class: i > 2 ? "right" : null }, value)))))));
}

function tunnelRows(tunnels) {
	return tunnels.map(t => {
		const m = (t.metrics || {}).conns || {};
		const r = (t.metrics || {}).http || {};

		return [t.name, link(t.public_url), t.config.addr, count(m.count || 0), count(m.gauge || 0),
			count(r.count || 0), (r.rate1 || 0).toFixed(2), durationNs(r.p50 || 0), durationNs(r.p90 || 0),
			durationNs(r.p99 || 0)];
	});
}

export class Header {
	constructor(store, on) {
		this.store = store;
		this.on = on;
		this.state = null;
		this.up = false;
		this.skew = 0;
		this.chipKey = "";
		this.emptyKey = "";
		$("state").addEventListener("click", () => this.showStatus());
		setInterval(() => this.tick(), 1000);
	}

	now() {
		return Date.now() + this.skew;
	}

	setState(state) {
		this.state = state;
		const skew = Date.parse(state.now) - Date.now();
		/* One clock in most cases: only a real difference counts, so that times do not tremble. */
		this.skew = Math.abs(skew - this.skew) > 1500 ? skew : this.skew;
		this.fillChips();
		this.fillState();
	}

	setUp(up) {
		this.up = up;
		this.fillState();
	}

	fillState() {
		const status = !this.up ? "lost" : this.state ? this.state.status : "connecting";
		const words = { online: "online", connecting: "connecting", reconnecting: "reconnecting", lost: "no pgrok" };
		const box = $("state");

		box.className = "state " + status;
		const ms = this.up && this.state ? this.state.latency_ms : null;
		setText($("state-text"), words[status] || status);
		setText($("latency"), ms === null || ms === undefined ? "" : ms < 1 ? "<1 ms" : `${Math.round(ms)} ms`);
		const banner = $("banner");
		let text = "";
		if (!this.up)
			text = "pgrok does not answer. Trying again; what was loaded stays here.";
		else if (this.state && this.state.error && status !== "online")
			text = `The server can't be reached: ${this.state.error}`;
		setText(banner, text);
		banner.hidden = !text || !this.state;
	}

	fillChips() {
		const tunnels = this.state.tunnels || [];
		const key = JSON.stringify(tunnels.map(t => [t.name, t.public_url, t.proto, t.config.addr, t.online]));

		if (key === this.chipKey)
			return;
		this.chipKey = key;
		$("chips").replaceChildren(...tunnels.map(chip));
	}

	tick() {
		const bars = new Array(BARS).fill(0);
		const now = this.now();
		const all = this.store.all;
		let n = 0;

		for (let i = all.length - 1; i >= 0; i--) {
			const age = (now - all[i].entry.start_ms) / 1000;

			if (age >= SPAN_S)
				break;
			n++;
			bars[Math.max(0, BARS - 1 - Math.floor(age / (SPAN_S / BARS)))]++;
		}
		this.drawSpark(bars);
		setText($("rate-text"), `${count(n)}/min`);
		$("rate").setAttribute("aria-label", `${plural(n, "request")} in the last minute`);
	}

	drawSpark(bars) {
		const most = Math.max(4, ...bars);
		const d = bars.map((n, i) => (n ? `M${i * 3 + 1.5} 21.5V${21.5 - Math.max(2, n / most * 20)}` : "")).join("");
		const key = d + most;

		if (key === this.sparkKey)
			return;
		this.sparkKey = key;
		$("spark").replaceChildren(svg("path", { class: "spark-base", d: "M0 21.5H90" }),
			svg("path", { class: "spark-bar", d: d || "M0 0" }));
	}

	showStatus() {
		const s = this.state;

		if (!s)
			return;
		const c = s.counters || {};
		const k = s.capture || {};
		modal("Status", "wide",
			facts([["Session", s.status + (s.error ? `: ${s.error}` : "")],
				["Server", [s.server_addr, s.server_version ? ` (${s.server_version})` : ""]],
				["This pgrok", s.version], ["Started", s.started ? clock(Date.parse(s.started)).slice(0, 19) : ""],
				["Latency", duration(s.latency_ms)],
				["Connections", `${count(c.connections || 0)}, ${count(c.open || 0)} open`],
				["Bytes in, out", `${bytes(c.bytes_in || 0)}, ${bytes(c.bytes_out || 0)}`],
				["Kept", `${plural(k.entries || 0, "request")}, ${bytes(k.bytes || 0)} of ${bytes(k.max_bytes || 0)}` +
					(k.evicted ? `, ${count(k.evicted)} let go` : "") + (k.lost ? `, ${count(k.lost)} not kept` : "")],
				k.unfollowed ? ["Not HTTP", plural(k.unfollowed, "connection")] : null]),
			h("h3", { text: "Tunnels" }),
			table(["Name", "Public", "Local", "Conns", "Open", "Requests", "/s", "p50", "p90", "p99"],
				tunnelRows(s.tunnels || [])));
	}

	/* What stands in the list's place when there is nothing to list. */
	fillEmpty(filtered, loading) {
		const box = $("empty");
		const shown = this.store.view.length === 0 && !loading;
		const s = this.state;
		const kind = !shown ? "" : this.store.all.length ? "filtered" : s ? "waiting" : "";
		const key = kind + (kind === "waiting" ? this.chipKey + s.qr + (s.capture || {}).enabled : filtered);

		box.hidden = !kind;
		if (key === this.emptyKey)
			return;
		this.emptyKey = key;
		if (kind === "filtered")
			box.replaceChildren(h("p", { class: "empty-title", text: "No request matches the filter" }),
				button({ text: "Clear the filter", click: () => this.on.clearFilter() }));
		else if (kind === "waiting")
			box.replaceChildren(...this.emptyParts(s));
		else
			box.replaceChildren();
	}

	emptyParts(s) {
		const tunnels = (s.tunnels || []).filter(t => httpUrl(t.public_url));

		if (s.capture && s.capture.enabled === false)
			return [h("p", { class: "empty-title", text: "Nothing is recorded" }),
				h("p", { class: "muted", text: "pgrok runs with the capture switched off." })];
		return [
			h("p", { class: "empty-title", text: "Waiting for the first request" }),
			h("p", { class: "muted", text: tunnels.length ? "Open one of these, or send it a webhook:" :
				"No HTTP tunnel is open." }),
			tunnels.map(t => this.tryCard(t, s.qr)),
		].flat();
	}

	tryCard(tunnel, qr) {
		const curl = `curl -i ${tunnel.public_url}/`;

		return h("div", { class: "try" },
			qr ? h("img", { class: "qr", src: api.qrUrl(tunnel.public_url), width: "116", height: "116",
				alt: `QR code of ${tunnel.public_url}` }) : null,
			h("div", { class: "try-text" },
				h("p", { class: "try-url" }, link(tunnel.public_url),
					copyButton(`Copy ${tunnel.public_url}`, tunnel.public_url, "the address")),
				h("p", { class: "muted" }, "to ", h("span", { class: "mono", text: tunnel.config.addr })),
				h("p", { class: "try-curl" }, h("code", { text: curl }),
					copyButton("Copy the command", curl, "the command"))));
	}
}
