// The local service that the tests send requests to: the same answers behind the mock and behind the real pair.
import zlib from "node:zlib";

/* A small PNG, made here: 48 x 48, a gradient. */
function png() {
	const size = 48;
	const rows = Buffer.alloc(size * (1 + size * 3));
	const chunk = (name, data) => {
		const body = Buffer.concat([Buffer.from(name), data]);
		const head = Buffer.alloc(4);
		const sum = Buffer.alloc(4);
		head.writeUInt32BE(data.length);
		sum.writeUInt32BE(crc32(body));
		return Buffer.concat([head, body, sum]);
	};

	for (let y = 0; y < size; y++)
		for (let x = 0; x < size; x++)
			rows.set([20 + x * 4, 120, 60 + y * 4], y * (1 + size * 3) + 1 + x * 3);
	return Buffer.concat([Buffer.from([137, 80, 78, 71, 13, 10, 26, 10]),
		chunk("IHDR", Buffer.from([0, 0, 0, size, 0, 0, 0, size, 8, 2, 0, 0, 0])), chunk("IDAT", zlib.deflateSync(rows)),
		chunk("IEND", Buffer.alloc(0))]);
}

function crc32(data) {
	let crc = -1;

	for (const byte of data) {
		crc ^= byte;
		for (let k = 0; k < 8; k++)
			crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
	}
	return (crc ^ -1) >>> 0;
}

export const PIXEL = png();

let calls = 0;

const json = (status, value, more) => ({ status, headers: [["Content-Type", "application/json"], ...(more || [])],
	body: Buffer.from(JSON.stringify(value)) });
const typed = (type, text, more) => ({ status: 200, headers: [["Content-Type", type], ...(more || [])], body: Buffer.from(text) });

function bigText(n) {
	let out = "";

	for (let i = 0; out.length < n; i++)
		out += `line ${i}: the quick brown fox jumps over the lazy dog\n`;
	return out.slice(0, n);
}

function orders(n) {
	const out = [];

	for (let i = 0; i < n; i++)
		out.push({ id: i, name: `item ${i}`, price: i * 1.5, tags: ["a", "b"], stock: { here: i, there: null } });
	return out;
}

const ROUTES = {
	"/json": () => json(200, { big: 1, list: [1, 2, { deep: true }], text: "hello" }),
	"/orders": () => json(200, orders(700)),
	"/broken.json": () => typed("application/json", '{"a": 1,\n "b": [1, 2,, 3]}'),
	"/xml": () => typed("application/xml", "<?xml version=\"1.0\"?><order id=\"7\"><item>book</item><item n='2'/></order>"),
	"/broken.xml": () => typed("text/xml", "<order><item>book</order>"),
	"/text": () => typed("text/plain; charset=utf-8", "hello, wörld\n"),
	"/long": () => typed("text/plain", bigText(700000)),
	"/binary": () => typed("application/octet-stream", Buffer.from([...Array(1024).keys()].map(i => i & 255))),
	"/image.png": () => ({ status: 200, headers: [["Content-Type", "image/png"]], body: PIXEL }),
	"/gzip": () => ({ status: 200, headers: [["Content-Type", "application/json"], ["Content-Encoding", "gzip"]],
		body: zlib.gzipSync(JSON.stringify({ packed: true, items: orders(20) })) }),
	"/redirect": () => ({ status: 302, headers: [["Location", "/json"]], body: Buffer.from("moved") }),
	"/missing": () => json(404, { error: "no such order" }),
	"/crash": () => json(500, { error: "null is not an order" }),
	"/empty": () => ({ status: 204, headers: [], body: Buffer.alloc(0) }),
	/* Each call is answered differently: what a replay is compared by. */
	"/count": () => json(200, { calls: ++calls, always: "the same", list: [1, 2, 3, 4, 5, 6, 7, 8, 9] },
		[["X-Call", String(calls)]]),
};

const HOOK = "/hook";

/* -> {status, headers, body}. */
export function answer({ method, path, headers, body }) {
	const at = path.split("?")[0];
	const type = (headers.find(([name]) => name.toLowerCase() === "content-type") || [])[1] || "";

	if (at === "/echo")
		return { status: 200, headers: [["Content-Type", type || "text/plain"]], body };
	if (at.startsWith(HOOK))
		return json(method === "DELETE" ? 403 : 200, { received: body.length, method, ok: true });
	if (at.startsWith("/xss"))
		return { status: 200, headers: [["Content-Type", "text/html"], ["X-Evil", "<img src=x onerror=alert(1)>"]],
			body: Buffer.from("<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">") };
	const make = ROUTES[at];
	return make ? make() : json(404, { error: "not found", path: at });
}
