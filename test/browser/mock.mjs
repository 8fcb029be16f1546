// A stand-in for pgrok's inspector: serves the page and its API (assets/inspect/API.md) with made-up traffic.
// Alone: node mock.mjs [--port 4999] [--entries 10000] [--rate 2]
import crypto from "node:crypto";
import fs from "node:fs";
import http from "node:http";
import path from "node:path";
import zlib from "node:zlib";
import { fileURLToPath } from "node:url";
import { accept } from "./ws.mjs";
import { answer } from "./service.mjs";
import { seed } from "./mock_data.mjs";

const ASSETS = fileURLToPath(new URL("../../assets/inspect/", import.meta.url));
const TYPES = { ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
	".svg": "image/svg+xml" };
export const CSP = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";
const REASONS = { 200: "OK", 201: "Created", 204: "No Content", 302: "Found", 403: "Forbidden", 404: "Not Found",
	500: "Internal Server Error", 502: "Bad Gateway", 101: "Switching Protocols" };
const canonical = name => name.toLowerCase().replace(/(^|-)[a-z]/g, c => c.toUpperCase());
const typeOf = list => (list.find(([n]) => n.toLowerCase() === "content-type") || [])[1] || "";
const codingOf = list => (list.find(([n]) => n.toLowerCase() === "content-encoding") || [])[1] || "";
const bare = type => type.split(";")[0].trim();
const iso = ms => new Date(ms).toISOString().replace("Z", "000Z");

export class Mock {
	constructor(options) {
		this.options = { entries: 0, rate: 0, qr: true, maxBody: 10 << 20, tunnels: 2, now: null, ...options };
		this.all = []; /* transactions, oldest first */
		this.byId = new Map();
		this.seq = 0;
		this.pages = new Set();
		this.queue = [];
		this.status = "online";
		this.error = null;
		this.counters = { connections: 0, open: 0, ended: 0, refused: 0, duration_ms: 0, bytes_in: 0, bytes_out: 0 };
		this.started = Date.now();
		this.delay = 0; /* how long the local service takes */
		this.server = http.createServer((req, res) => this.handle(req, res));
		this.server.on("upgrade", (req, socket) => this.upgrade(req, socket));
	}

	async start(port = 0) {
		seed(this, this.options.entries);
		await new Promise(resolve => this.server.listen(port, "127.0.0.1", resolve));
		this.url = `http://127.0.0.1:${this.server.address().port}`;
		this.timers = [setInterval(() => this.flush(), 100)];
		if (this.options.rate)
			this.timers.push(setInterval(() => seed(this, 1, true), 1000 / this.options.rate));
		return this;
	}

	async stop() {
		this.timers.forEach(clearInterval);
		for (const page of this.pages)
			page.ws.end();
		this.server.closeAllConnections();
		await new Promise(resolve => this.server.close(resolve));
	}

	/* ---- transactions ---- */

	tunnels() {
		const one = (name, proto, url, addr) => ({ name, uri: "/api/tunnels/" + name, public_url: url, proto, online: true,
			config: { addr, inspect: true }, metrics: { conns: { count: this.seq, gauge: 1, rate1: 1.25, rate5: 0.8, rate15: 0.3,
				p50: 11e6, p90: 48e6, p95: 80e6, p99: 220e6 }, http: { count: this.seq, rate1: 1.25, rate5: 0.8, rate15: 0.3,
				p50: 11e6, p90: 48e6, p95: 80e6, p99: 220e6 } } });

		return [one("web", "https", "https://web.example.net", "127.0.0.1:8080"),
			one("api", "https", "https://api.example.net", "127.0.0.1:9000"),
			one("db", "tcp", "tcp://example.net:20017", "127.0.0.1:5432")].slice(0, this.options.tunnels);
	}

	state() {
		return { status: this.status, error: this.error, retry_ms: 0, version: "3.0-dev", server_version: "3.0",
			server_addr: "example.net:4443", started: iso(this.started), now: iso(Date.now()), latency_ms: 23.4,
			tunnels: this.tunnels(), counters: { ...this.counters, connections: this.seq }, qr: this.options.qr,
			capture: { enabled: true, entries: this.all.length, pinned: 0, bytes: 1e6, max_bytes: 5e7, max_body: this.options.maxBody,
				evicted: 0, begun: this.seq, unfollowed: 0, decode: ["gzip", "deflate", "br", "zstd"] } };
	}

	/* A transaction that begins; what is known of the answer comes by finish(). */
	begin(what) {
		const id = crypto.randomBytes(8).toString("hex");
		const tunnel = what.tunnel || "web";
		const start = what.start || Date.now();
		const body = what.body || Buffer.alloc(0);
		const entry = { id, rev: 1, seq: ++this.seq, kind: "http", state: "open", error: null, tunnel_name: tunnel, proto: "https",
			url: `https://${tunnel}.example.net`, remote_addr: what.origin ? "" : what.from || "203.0.113.9:40112",
			method: what.method || "GET", host: `${tunnel}.example.net`, path: what.path || "/", status: 0, reason: "",
			req_type: bare(typeOf(what.headers || [])), resp_type: "", req_size: body.length, resp_size: 0, frames: 0,
			start: iso(start), start_ms: start, duration_ms: 0, truncated: false, pinned: false, mark: "", note: "",
			origin: what.origin || null, edited: Boolean(what.edited) };
		const tx = { entry, request: { headers: what.headers || [], body }, response: null, frames: [], begun: start,
			timing: { connect_ns: 210000, request_sent_ns: 500000, first_byte_ns: -1, last_byte_ns: -1 } };

		this.all.push(tx);
		this.byId.set(id, tx);
		return tx;
	}

	/* answer: {status, headers, body}. ms: how long it took. */
	finish(tx, got, ms, state = "done") {
		const e = tx.entry;

		e.rev++;
		e.state = state;
		e.duration_ms = ms;
		if (!got)
			return tx;
		tx.response = { status: got.status, headers: got.headers, body: got.body.subarray(0, this.options.maxBody),
			size: got.body.length, interim: got.interim || [] };
		e.status = got.status;
		e.reason = REASONS[got.status] || "OK";
		e.resp_type = bare(typeOf(got.headers));
		e.resp_size = got.body.length;
		e.truncated = got.body.length > this.options.maxBody;
		e.kind = got.kind || "http";
		tx.timing.first_byte_ns = Math.round(ms * 0.7e6);
		tx.timing.last_byte_ns = state === "open" ? -1 : Math.round(ms * 1e6);
		return tx;
	}

	/* A whole request against the local service, live. */
	async exchange(what) {
		const tx = this.begin(what);
		const began = performance.now();

		this.tell({ ev: "begun", entry: tx.entry });
		if (this.delay)
			await new Promise(resolve => setTimeout(resolve, this.delay));
		const got = answer({ method: tx.entry.method, path: tx.entry.path, headers: tx.request.headers, body: tx.request.body });
		this.finish(tx, got, performance.now() - began + 3 + Math.random() * 9);
		this.tell({ ev: "finished", entry: tx.entry });
		return tx.entry.id;
	}

	/* A WebSocket or event stream that stays open; push(frame) adds to it. */
	stream(kind, pathname) {
		const tx = this.begin({ path: pathname, headers: kind === "websocket" ? [["Upgrade", "websocket"]] : [["Accept", "text/event-stream"]] });
		const status = kind === "websocket" ? 101 : 200;

		this.finish(tx, { status, kind, body: Buffer.alloc(0),
			headers: kind === "websocket" ? [["Upgrade", "websocket"]] : [["Content-Type", "text/event-stream"]] }, 4, "open");
		this.tell({ ev: "updated", entry: tx.entry });
		return tx;
	}

	push(tx, frame) {
		const text = frame.text || "";
		const full = { n: tx.frames.length + 1, at_ns: Math.round((Date.now() - tx.begun) * 1e6) + 37e6 * tx.frames.length, from: "server", type: "text",
			size: Buffer.byteLength(text), kept: Buffer.byteLength(text), fragments: 1, compressed: false, ...frame };

		tx.frames.push(full);
		tx.entry.frames++;
		tx.entry.rev++;
		tx.entry.duration_ms = full.at_ns / 1e6;
		this.tell({ ev: "updated", entry: tx.entry });
		for (const page of this.pages)
			if (page.watch === tx.entry.id)
				page.more.push({ ev: "frame", id: tx.entry.id, frame: full });
	}

	tell(event) {
		this.queue.push(event.entry ? { ev: event.ev, entry: { ...event.entry } } : event);
	}

	/* At most ten messages a second; an entry that came more than once comes as its last. */
	flush() {
		const last = new Map();
		const events = [];

		for (const event of this.queue) {
			if (!event.entry)
				events.push(event);
			else
				last.set(event.entry.id, event);
		}
		events.push(...last.values());
		this.queue = [];
		for (const page of this.pages) {
			const all = [...events, ...page.more.splice(0)];
			if (all.length && page.ready)
				page.ws.send(JSON.stringify({ events: all }));
		}
	}

	/* ---- as JSON ---- */

	part(head, side, raw) {
		const body = head.body;
		const size = head.size === undefined ? body.length : head.size;
		const headers = {};
		const start = side === "request" ? head.start : `HTTP/1.1 ${head.status} ${REASONS[head.status] || "OK"}`;
		const text = start + "\r\n" + head.headers.map(([n, v]) => `${n}: ${v}\r\n`).join("") + "\r\n";

		for (const [name, value] of head.headers)
			(headers[canonical(name)] ||= []).push(value);
		return { proto: "HTTP/1.1", headers, header_list: head.headers, trailers: head.trailers || [], head_size: text.length,
			...(raw ? { raw: Buffer.concat([Buffer.from(text), body]).toString("base64") } : {}),
			body: { size, kept: body.length, truncated: size > body.length, complete: true, type: typeOf(head.headers),
				coding: codingOf(head.headers) } };
	}

	json(tx, raw) {
		const e = tx.entry;
		const start = `${e.method} ${e.path} HTTP/1.1`;
		const headers = [["Host", e.host], ...tx.request.headers];
		const request = { method: e.method, uri: e.path, ...this.part({ ...tx.request, headers, start }, "request", raw) };
		const response = tx.response && { status: `${e.status} ${e.reason}`, status_code: e.status,
			...this.part(tx.response, "response", raw), interim: tx.response.interim };

		return { uri: "/api/requests/http/" + e.id, id: e.id, tunnel_name: e.tunnel_name, remote_addr: e.remote_addr, start: e.start,
			duration: Math.round(e.duration_ms * 1e6), request, response, timing: tx.timing, entry: e };
	}

	/* ---- HTTP ---- */

	async handle(req, res) {
		const url = new URL(req.url, "http://x");
		const chunks = [];

		for await (const chunk of req)
			chunks.push(chunk);
		const data = Buffer.concat(chunks);
		try {
			if (req.method !== "GET" && req.headers.origin && req.headers.origin !== this.url)
				this.send(res, 403, { error_code: 1, status_code: 403, msg: "wrong origin", details: {} });
			else if (url.pathname.startsWith("/api/"))
				this.route(req, res, url, data);
			else
				this.file(res, url.pathname);
		} catch (err) {
			this.send(res, 500, { error_code: 1, status_code: 500, msg: String(err.stack), details: {} });
		}
	}

	file(res, pathname) {
		if (pathname !== "/http/in" && !pathname.startsWith("/static/")) {
			res.writeHead(302, { Location: "/http/in" }).end();
			return;
		}
		const name = pathname === "/http/in" ? "index.html" : pathname.slice(8);
		const file = path.join(ASSETS, path.normalize("/" + name));
		if (!fs.existsSync(file)) {
			res.writeHead(404).end();
			return;
		}
		res.writeHead(200, { "Content-Type": TYPES[path.extname(file)] || "application/octet-stream", "X-Content-Type-Options": "nosniff",
			"Content-Security-Policy": CSP, "Cache-Control": "no-cache" });
		res.end(fs.readFileSync(file));
	}

	send(res, status, value) {
		res.writeHead(status, { "Content-Type": "application/json" });
		res.end(value === undefined ? "" : JSON.stringify(value));
	}

	route(req, res, url, data) {
		const one = /^\/api\/requests\/http\/([0-9a-f]+)(\/\w+)?$/.exec(url.pathname);
		const q = url.searchParams;

		if (one)
			this.routeOne(req, res, this.byId.get(one[1]), one[2] || "", q, data);
		else if (url.pathname === "/api/entries")
			this.entries(res, q);
		else if (url.pathname === "/api/requests/http" && req.method === "POST")
			this.replay(res, JSON.parse(data));
		else if (url.pathname === "/api/requests/http" && req.method === "DELETE")
			this.clear(res, q.get("keep") === "pinned");
		else if (url.pathname === "/api/requests/http.har")
			this.har(res, q.get("ids"));
		else if (url.pathname === "/api/search")
			this.search(res, q.get("in"), q.get("text"), q.get("ids"));
		else if (url.pathname === "/api/qr")
			res.writeHead(200, { "Content-Type": "image/svg+xml" }).end(fakeQr(q.get("text")));
		else
			this.send(res, 404, { error_code: 1, status_code: 404, msg: "no such path", details: {} });
	}

	entries(res, q) {
		const limit = Number(q.get("limit") || 100000);
		const before = q.get("before") ? this.byId.get(q.get("before")) : null;
		const seqs = this.all.filter(tx => !before || tx.entry.seq < before.entry.seq);
		const list = seqs.slice(-limit).reverse().map(tx => tx.entry);

		this.send(res, 200, { entries: list, more: seqs.length > list.length });
	}

	routeOne(req, res, tx, what, q, data) {
		if (!tx)
			this.send(res, 404, { error_code: 1, status_code: 404, msg: "it left the store", details: {} });
		else if (what === "/body")
			this.body(res, tx, q);
		else if (what === "/frames")
			this.frames(res, tx, q);
		else if (req.method === "PATCH")
			this.patch(res, tx, JSON.parse(data));
		else if (req.method === "DELETE")
			this.remove(res, tx);
		else
			this.send(res, 200, this.json(tx, q.get("raw") !== "0"));
	}

	frames(res, tx, q) {
		const after = Number(q.get("after") || 0);
		const limit = Number(q.get("limit") || 1000);
		const list = tx.frames.filter(f => f.n > after);

		this.send(res, 200, { kind: tx.entry.kind, frames: list.slice(0, limit), dropped: 0, more: list.length > limit });
	}

	body(res, tx, q) {
		const part = q.get("side") === "response" ? tx.response || { headers: [], body: Buffer.alloc(0) } : tx.request;
		const size = part.size === undefined ? part.body.length : part.size;
		const coding = codingOf(part.headers);
		const head = { "Content-Type": "application/octet-stream", "X-Body-Size": size, "X-Body-Kept": part.body.length,
			"X-Body-Truncated": String(size > part.body.length) };
		let out = part.body;

		if (q.get("decode") && coding) {
			try {
				out = coding === "br" ? zlib.brotliDecompressSync(out) : zlib.unzipSync(out);
				head["X-Body-Decoded"] = coding;
			} catch (err) {
				head["X-Body-Error"] = "the data is broken";
			}
		}
		const offset = Number(q.get("offset") || 0);
		head["X-Body-Total"] = out.length;
		if (q.get("download"))
			head["Content-Disposition"] = "attachment; filename=\"body.bin\"";
		res.writeHead(200, head);
		res.end(out.subarray(offset, q.get("limit") ? offset + Number(q.get("limit")) : undefined));
	}

	patch(res, tx, what) {
		for (const key of ["pinned", "mark", "note"])
			if (key in what)
				tx.entry[key] = what[key];
		tx.entry.rev++;
		this.tell({ ev: "updated", entry: tx.entry });
		this.send(res, 200, tx.entry);
	}

	remove(res, tx) {
		this.all = this.all.filter(other => other !== tx);
		this.byId.delete(tx.entry.id);
		this.tell({ ev: "evicted", ids: [tx.entry.id] });
		res.writeHead(204).end();
	}

	clear(res, keepPinned) {
		this.all = keepPinned ? this.all.filter(tx => tx.entry.pinned) : [];
		this.byId = new Map(this.all.map(tx => [tx.entry.id, tx]));
		this.tell({ ev: "cleared", kept: this.all.map(tx => tx.entry.id) });
		res.writeHead(204).end();
	}

	replay(res, what) {
		const from = this.byId.get(what.id);

		if (what.id && !from) {
			this.send(res, 404, { error_code: 1, status_code: 404, msg: "no such request", details: {} });
			return;
		}
		const own = "body" in what || "body_base64" in what;
		if (!own && from.request.size > from.request.body.length) {
			this.send(res, 409, { error_code: 1, status_code: 409, msg: "the body was not kept whole", details: {} });
			return;
		}
		const body = "body" in what ? Buffer.from(what.body) : own ? Buffer.from(what.body_base64, "base64") : from.request.body;
		const headers = (Array.isArray(what.headers) ? what.headers : from.request.headers).filter(([n]) => n.toLowerCase() !== "host");
		const request = { method: what.method || from.entry.method, path: what.path || from.entry.path, headers, body,
			tunnel: what.tunnel_name || from.entry.tunnel_name, origin: what.id || null,
			edited: own || "headers" in what || "method" in what || "path" in what };
		this.lastReplay = what;
		const ids = [];
		for (let i = 0; i < (what.times || 1); i++) {
			const tx = this.begin(request);
			ids.push(tx.entry.id);
			setTimeout(() => this.runReplay(tx), 20 * (i + 1) + this.delay);
		}
		this.send(res, 202, { ids });
	}

	runReplay(tx) {
		const got = answer({ method: tx.entry.method, path: tx.entry.path, headers: tx.request.headers, body: tx.request.body });

		this.finish(tx, got, 2 + Math.random() * 20);
		this.tell({ ev: "finished", entry: tx.entry });
	}

	/* Any case; in "name: value" lines of both heads, or in both bodies, decoded. */
	search(res, part, text, ids) {
		const plain = side => {
			const coding = codingOf(side.headers);
			try {
				return coding ? (coding === "br" ? zlib.brotliDecompressSync(side.body) : zlib.unzipSync(side.body)) : side.body;
			} catch (err) {
				return side.body;
			}
		};
		const lines = side => side.headers.map(([n, v]) => `${n}: ${v}`).join("\n");
		const among = ids ? ids.split(",").map(id => this.byId.get(id)).filter(Boolean) : this.all;
		const found = among.filter(tx => [tx.request, tx.response].some(side => side &&
			(part === "header" ? lines(side) : plain(side).toString()).toLowerCase().includes(text.toLowerCase())));

		this.searches = (this.searches || 0) + 1;
		this.send(res, 200, { ids: found.map(tx => tx.entry.id) });
	}

	har(res, ids) {
		const list = ids ? ids.split(",").map(id => this.byId.get(id)).filter(Boolean) : this.all;

		this.send(res, 200, { log: { version: "1.2", creator: { name: "pgrok", version: "3.0" }, entries: list.map(tx => ({
			startedDateTime: tx.entry.start, time: tx.entry.duration_ms,
			request: { method: tx.entry.method, url: tx.entry.url + tx.entry.path }, response: { status: tx.entry.status } })) } });
	}

	upgrade(req, socket) {
		const page = { watch: null, more: [], ready: false };

		if (req.headers.origin && req.headers.origin !== this.url) {
			socket.end("HTTP/1.1 403 Forbidden\r\n\r\n");
			return;
		}
		page.ws = accept(req, socket, {
			text: text => {
				page.watch = JSON.parse(text).watch;
			},
			close: () => this.pages.delete(page),
		});
		this.pages.add(page);
		page.ws.send(JSON.stringify({ events: [{ ev: "hello", state: this.state() }] }));
		page.ready = true;
	}
}

/* Not a code that can be read, but of its shape. */
function fakeQr(text) {
	const hash = crypto.createHash("sha512").update(text || "").digest();
	let d = "";

	for (let y = 0; y < 21; y++)
		for (let x = 0; x < 21; x++) {
			const eye = [[0, 0], [14, 0], [0, 14]].find(([a, b]) => x >= a && x < a + 7 && y >= b && y < b + 7);
			const r = eye ? Math.max(Math.abs(x - eye[0] - 3), Math.abs(y - eye[1] - 3)) : 0;
			if (eye ? r !== 2 : (hash[(y * 21 + x) % 64] >> (y % 8)) & 1)
				d += `M${x} ${y}h1v1h-1z`;
		}
	return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 21 21"><path fill="#fff" d="M0 0h21v21H0z"/><path d="${d}"/></svg>`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
	const arg = (name, other) => {
		const at = process.argv.indexOf("--" + name);
		return at > 0 ? Number(process.argv[at + 1]) : other;
	};
	const mock = await new Mock({ entries: arg("entries", 60), rate: arg("rate", 0), tunnels: arg("tunnels", 2) }).start(arg("port", 4999));
	console.log(mock.url + "/http/in");
}
