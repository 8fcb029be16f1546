// The operator's page: asks /stats, /tunnels and /tokens again and again, shows them, closes and revokes.
import { $, ask, setText, toast } from "./dom.js";
import { ago, agoLong, bytes, count, duration, plural } from "./format.js";
import { Card, rate } from "./history.js";
import { Table } from "./table.js";

const STATS_MS = 2000;
const ROWS_MS = 3000;
const SELDOM_MS = 15000;
const MINUTE_MS = 60000;

async function call(method, path) {
	const answer = await fetch(path, { method, headers: { Accept: "application/json" } });

	if (answer.status === 401) {
		location.reload(); /* the server was started again: its form for the token */
		throw new Error("the session is over");
	}
	if (!answer.ok)
		throw new Error((await answer.text()).trim() || `${answer.status} ${answer.statusText}`);
	return answer.json();
}

const since = text => Date.now() - Date.parse(text);
const perSecond = n => (n === null ? "" : `${n < 10 ? n.toFixed(1) : count(Math.round(n))}/s`);
const bytesPerSecond = n => (n === null ? "" : `${bytes(Math.round(n))}/s`);
const time = value => (value ? Date.parse(value) : 0);

// ---- tunnels ----

let before = new Map(); /* by URL: {at, in, out} of the last time */

function withRates(rows) {
	const at = Date.now();
	const now = new Map();

	for (const row of rows) {
		const was = before.get(row.url);

		now.set(row.url, { at, in: row.bytes_in, out: row.bytes_out });
		row.rate_in = rate(was && { at: was.at, value: was.in }, { at, value: row.bytes_in });
		row.rate_out = rate(was && { at: was.at, value: was.out }, { at, value: row.bytes_out });
	}
	before = now;
	return rows;
}

async function closeTunnel(row) {
	if (!await ask("Close this tunnel?", `${row.name}${row.owner ? ` of ${row.owner}` : ""} closes with all its protocols. ` +
		"Its client is told, and may open it again.", "Close it"))
		return;
	try {
		const done = await call("DELETE", "/tunnels/" + encodeURIComponent(row.name));
		toast(`Closed ${plural(done.closed.length, "tunnel")}`);
	} catch (err) {
		toast(`Not closed: ${err.message}`);
	}
	refreshRows();
}

const tunnels = {
	name: "Tunnels", least: "980px", sort: ["visitors_now", true], empty: "No tunnel is open.",
	id: row => row.url,
	words: row => `${row.url} ${row.owner}`,
	load: async () => withRates((await call("GET", "/tunnels")).tunnels),
	columns: [
		{ key: "url", name: "Tunnel", width: "minmax(220px, 3fr)", class: "name", text: row => row.url, title: row => row.url,
			href: row => (/^https?:/.test(row.url) ? row.url : null) },
		{ key: "owner", name: "Owner", width: "minmax(80px, 1fr)", text: row => row.owner || "–" },
		{ key: "visitors_now", name: "Visitors", width: "70px", right: true, text: row => count(row.visitors_now), value: row => row.visitors_now },
		{ key: "visitors", name: "In all", width: "80px", right: true, text: row => count(row.visitors), value: row => row.visitors },
		{ key: "rate_in", name: "In", width: "80px", right: true, text: row => bytesPerSecond(row.rate_in), value: row => row.rate_in || 0,
			title: row => bytes(row.bytes_in) },
		{ key: "rate_out", name: "Out", width: "80px", right: true, text: row => bytesPerSecond(row.rate_out), value: row => row.rate_out || 0,
			title: row => bytes(row.bytes_out) },
		{ key: "last_request", name: "Last", width: "50px", right: true, text: row => (row.last_request ? ago(since(row.last_request)) : "never"),
			value: row => time(row.last_request), title: row => (row.last_request ? agoLong(since(row.last_request)) : "") },
		{ key: "since", name: "Open", width: "50px", right: true, text: row => ago(since(row.since)), value: row => -time(row.since),
			title: row => row.since },
		{ key: "rtt_ms", name: "Ping", width: "76px", right: true, text: row => duration(row.rtt_ms), value: row => row.rtt_ms || 0 },
		{ key: "act", width: "64px", act: { text: "Close", click: closeTunnel } },
	],
};

// ---- owners ----

async function revoke(row) {
	if (!await ask("Revoke this token?", `The token of ${row.name} counts no longer: its clients and tunnels end at once. ` +
		"It stays so until its line in revoked.txt is removed, or the owner gets another token.", "Revoke it"))
		return;
	try {
		await call("POST", `/tokens/${encodeURIComponent(row.name)}/revoke`);
		toast(`Revoked the token of ${row.name}`);
	} catch (err) {
		toast(`Not revoked: ${err.message}`);
	}
	refreshRows();
}

const of = (now, most) => (most === null ? count(now) : `${count(now)} of ${count(most)}`);

/* A token counts until then; "to the end of that day" is midnight. */
const lastDay = expires => (expires ? new Date(Date.parse(expires) - 1000).toISOString().slice(0, 10) : "never");

const owners = {
	name: "Owners", least: "520px", sort: ["name", false], empty: "Tokens are not checked: anyone can open tunnels.",
	id: row => row.name,
	words: row => row.name,
	load: async () => {
		const got = await call("GET", "/tokens");

		owners.empty = got.checked ? "No token is known: nobody is let in." : "Tokens are not checked: anyone can open tunnels.";
		return got.tokens;
	},
	columns: [
		{ key: "name", name: "Owner", width: "minmax(140px, 2fr)", class: "name", text: row => row.name },
		{ key: "tunnels_now", name: "Tunnels", width: "minmax(90px, 1fr)", right: true, text: row => of(row.tunnels_now, row.tunnels_most),
			value: row => row.tunnels_now },
		{ key: "visitors_now", name: "Visitors", width: "minmax(90px, 1fr)", right: true, text: row => of(row.visitors_now, row.visitors_most),
			value: row => row.visitors_now },
		{ key: "expires", name: "Expires", width: "minmax(100px, 1fr)", right: true, text: row => lastDay(row.expires),
			value: row => time(row.expires) || Infinity, title: row => row.expires || "" },
		{ key: "act", width: "76px", act: { text: "Revoke", click: revoke } },
	],
};

// ---- refusals ----

const past = []; /* [at, stats.total] of the last minute */

function refusalRows() {
	const [, now] = past[past.length - 1] || [0, {}];
	const [, then] = past[0] || [0, {}];
	const rows = [];

	for (const [key, reasons] of Object.entries(now)) {
		const what = /^(.+)_refused$/.exec(key);

		if (!what && key !== "pages")
			continue;
		for (const [reason, n] of Object.entries(reasons))
			if (n)
				rows.push({ what: what ? what[1].replace(/_/g, " ") : "pages", reason, n, lately: n - ((then[key] || {})[reason] || 0) });
	}
	return rows;
}

const refusals = {
	name: "Refusals", least: "420px", sort: ["lately", true], empty: "Nothing was refused.",
	id: row => `${row.what}: ${row.reason}`,
	words: row => `${row.what} ${row.reason}`,
	load: async () => refusalRows(),
	columns: [
		{ key: "what", name: "What", width: "minmax(110px, 1fr)", text: row => row.what },
		{ key: "reason", name: "Reason or status", width: "minmax(130px, 2fr)", class: "name", text: row => row.reason },
		{ key: "lately", name: "Last minute", width: "110px", right: true, text: row => count(row.lately), value: row => row.lately },
		{ key: "n", name: "In all", width: "90px", right: true, text: row => count(row.n), value: row => row.n },
	],
};

// ---- the table ----

const kinds = { tunnels, owners, refusals };
const table = new Table($("filter"));
let rowsTimer = null;

function choose(name) {
	for (const other of Object.keys(kinds))
		$("show-" + other).setAttribute("aria-pressed", String(other === name));
	table.show(kinds[name]);
	refreshRows();
}

async function refreshRows() {
	const kind = table.kind;
	const began = Date.now();

	clearTimeout(rowsTimer);
	try {
		const rows = await kind.load();

		if (kind === table.kind)
			table.set(rows);
	} catch (err) {
		/* /stats says so */
	}
	clearTimeout(rowsTimer);
	/* A list that takes its time is asked for less often. */
	rowsTimer = setTimeout(refreshRows, Math.min(SELDOM_MS, Math.max(ROWS_MS, 10 * (Date.now() - began))));
}

// ---- cards ----

const cards = {
	tunnels: new Card("Tunnels", 4, count),
	clients: new Card("Clients", 4, count),
	visitors: new Card("Visitors", 4, count),
	requests: new Card("Requests", 1, perSecond),
	in: new Card("From visitors", 1000, bytesPerSecond),
	out: new Card("To visitors", 1000, bytesPerSecond),
	first: new Card("First byte, mean", 1, duration),
};

function meanMs(then, now) {
	const n = then ? now.first_byte_seconds.count - then.first_byte_seconds.count : 0;

	return n > 0 ? (now.first_byte_seconds.sum - then.first_byte_seconds.sum) * 1000 / n : null;
}

function fillCards(at, now) {
	const [was, then] = past[past.length - 1] || [0, null];
	const speed = value => rate(then && { at: was, value: value(then) }, { at, value: value(now) });

	cards.tunnels.add(now.tunnels);
	cards.clients.add(now.clients);
	cards.visitors.add(now.visitors.joined + now.visitors.waiting);
	cards.requests.add(speed(t => t.requests));
	cards.in.add(speed(t => t.visitor_bytes.visitors));
	cards.out.add(speed(t => t.visitor_bytes.tunnels));
	cards.first.add(meanMs(then, now));
}

function setState(name, text, banner) {
	$("state").className = "state " + name;
	setText($("state-text"), text);
	setText($("banner"), banner || "");
	$("banner").hidden = !banner;
}

async function refreshStats() {
	try {
		const s = await call("GET", "/stats");
		const at = Date.now();

		setState(s.ready ? "online" : "stopping", s.ready ? "ready" : "stopping");
		setText($("about"), `${s.version}, up ${ago(since(s.started))}`);
		fillCards(at, s.total);
		past.push([at, s.total]);
		while (past.length > 2 && at - past[1][0] >= MINUTE_MS)
			past.shift();
	} catch (err) {
		setState("lost", "no pgrokd", "pgrokd does not answer. Trying again; what was loaded stays here.");
	}
	setTimeout(refreshStats, document.hidden ? 5 * STATS_MS : STATS_MS);
}

$("cards").append(...Object.values(cards).map(card => card.el));
$("filter").addEventListener("input", () => table.refresh());
for (const name of Object.keys(kinds))
	$("show-" + name).addEventListener("click", () => choose(name));
choose("tunnels");
refreshStats();
