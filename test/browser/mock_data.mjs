// Made-up traffic that looks like a day of webhooks, the same each time.
import zlib from "node:zlib";
import { PIXEL } from "./service.mjs";

let state = 1;

function random() {
	state = (state * 1664525 + 1013904223) >>> 0;
	return state / 4294967296;
}

const pick = list => list[Math.floor(random() * list.length)];
const CSV = Buffer.alloc(184000, "a,b,c\n");
const hex = n => [...Array(n)].map(() => Math.floor(random() * 16).toString(16)).join("");

const JSON_TYPE = ["Content-Type", "application/json"];

function event(kind) {
	return JSON.stringify({ id: "evt_" + hex(14), object: "event", api_version: "2026-03-31", created: 1795339237, type: kind,
		data: { object: { id: "in_" + hex(14), amount_due: 129900, currency: "eur", customer: "cus_" + hex(10),
			customer_email: "ada@example.org", lines: { has_more: false, total_count: 2, data: [
				{ id: "il_" + hex(8), amount: 99900, description: "Team plan, November", quantity: 3 },
				{ id: "il_" + hex(8), amount: 30000, description: "Support", quantity: 1 }] }, paid: kind.endsWith("paid"),
			metadata: { order: hex(6) } } }, livemode: false, pending_webhooks: 1, request: { id: null, idempotency_key: hex(24) } });
}

function hook() {
	const kind = pick(["invoice.paid", "invoice.payment_failed", "customer.subscription.updated", "charge.refunded"]);
	const body = Buffer.from(event(kind));
	const bad = random() < 0.18;

	return [{ method: "POST", path: "/webhooks/stripe", tunnel: "web", body, from: "54.187.174.169:50412",
		headers: [["User-Agent", "Stripe/1.0 (+https://stripe.com/docs/webhooks)"], ["Accept", "*/*; q=0.5, application/xml"],
			["Content-Type", "application/json; charset=utf-8"], ["Stripe-Signature", `t=1795339237,v1=${hex(64)}`],
			["Content-Length", String(body.length)]] },
	{ status: bad ? 500 : 200, headers: [JSON_TYPE, ["X-Request-Id", hex(16)], ["Server", "gunicorn"]],
		body: Buffer.from(bad ? '{"error":"KeyError: \'subscription\'","trace":"' + hex(8) + '"}' : '{"received":true}') }, bad ? 480 : 40];
}

function push() {
	const body = Buffer.from(JSON.stringify({ ref: "refs/heads/main", before: hex(40), after: hex(40), commits: [{ id: hex(40),
		message: "Retry the payment when the card asks for it", added: ["billing/retry.py"], removed: [], modified: ["billing/__init__.py"] }],
		repository: { id: 186853002, full_name: "example/shop", private: true }, pusher: { name: "ada" } }));

	return [{ method: "POST", path: "/webhooks/github?source=org&attempt=1", tunnel: "web", body, from: "140.82.115.9:44120",
		headers: [["User-Agent", "GitHub-Hookshot/8f1e0c2"], JSON_TYPE, ["X-GitHub-Event", "push"], ["X-GitHub-Delivery", hex(32)],
			["X-Hub-Signature-256", "sha256=" + hex(64)], ["Content-Length", String(body.length)]] },
	{ status: 202, headers: [["Content-Type", "text/plain"]], body: Buffer.from("queued\n") }, 12];
}

function browse() {
	const list = JSON.stringify({ page: 1, items: [...Array(30)].map((_, i) => ({ sku: hex(8), title: `Notebook ${i}`, price: 9.5 + i })) });
	const what = pick([
		["GET", "/api/v2/organizations/3f9c2a/projects/inventory-service/environments/staging/deployments/latest?include=logs,metrics",
			200, [JSON_TYPE, ["Content-Encoding", "gzip"]], zlib.gzipSync(list), 85],
		["GET", "/", 200, [["Content-Type", "text/html; charset=utf-8"]], Buffer.from("<!doctype html>\n<title>Shop</title>\n<h1>Shop</h1>\n"), 22],
		["GET", "/static/logo.png", 200, [["Content-Type", "image/png"], ["ETag", "\"9f2\""]], PIXEL, 3],
		["GET", "/static/app.css", 304, [["ETag", "\"77a\""]], Buffer.alloc(0), 2],
		["GET", "/account", 302, [["Location", "/login?next=%2Faccount"]], Buffer.alloc(0), 9],
		["GET", "/favicon.ico", 404, [["Content-Type", "text/plain"]], Buffer.from("Not Found"), 3],
		["DELETE", "/api/v2/carts/81f2/items/4", 403, [JSON_TYPE], Buffer.from('{"error":"csrf"}'), 14],
		["OPTIONS", "/api/v2/orders", 204, [["Access-Control-Allow-Origin", "*"]], Buffer.alloc(0), 2],
		["PUT", "/api/v2/carts/81f2", 200, [JSON_TYPE], Buffer.from(list), 140],
		["GET", "/reports/2026-11.csv", 200, [["Content-Type", "text/csv"]], CSV, 2300],
	]);

	return [{ method: what[0], path: what[1], tunnel: what[1].startsWith("/api") ? "api" : "web", from: "203.0.113.9:40112",
		headers: [["User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0"], ["Accept", "*/*"],
			["Accept-Encoding", "gzip, deflate, br"], ["Cookie", "session=" + hex(20)]],
		body: what[0] === "PUT" ? Buffer.from("sku=81f2&quantity=3&note=gift+wrap%2C+please") : Buffer.alloc(0) },
	{ status: what[2], headers: what[3], body: what[4] }, what[5]];
}

function one(mock, start, live) {
	const r = random();
	const [request, got, ms] = r < 0.3 ? hook() : r < 0.42 ? push() : browse();
	const tx = mock.begin({ ...request, start });
	const failed = random() < 0.015;

	mock.finish(tx, failed ? null : got, ms * (0.6 + random()), failed ? "failed" : "done");
	if (failed)
		tx.entry.error = "the local service closed the connection before it answered";
	if (live)
		mock.tell({ ev: "finished", entry: tx.entry });
	return tx;
}

/* n transactions that end now. */
export function seed(mock, n, live) {
	const now = Date.now();
	let at = now - (live ? 0 : n * 4000);

	for (let i = 0; i < n; i++) {
		at += live ? 0 : Math.min(3600, 4000 * random() * 2 * (i / n > 0.9 ? 0.4 : 1));
		one(mock, Math.min(at, now), live);
	}
	if (n > 20 && !live) {
		mock.all[n - 4].entry.pinned = true;
		mock.all[n - 7].entry.mark = "amber";
		mock.all[n - 7].entry.note = "signature did not match";
	}
}
