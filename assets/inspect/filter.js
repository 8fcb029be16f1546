// The filter's language: words and key:value terms, all of which must hold; a leading "-" turns one round.

const SIZES = { "": 1, b: 1, k: 1e3, kb: 1e3, m: 1e6, mb: 1e6, g: 1e9, gb: 1e9 };
const TIMES = { "": 1, ms: 1, s: 1e3, m: 6e4, us: 1e-3 };

export const KEYS = [
	["method:", "method:post,put"], ["path:", "path:/hook"], ["status:", "status:5xx, status:404, status:>=400"],
	["host:", "host:web"], ["tunnel:", "tunnel:api"], ["type:", "type:json"],
	["header:", "header:x-signature"], ["body:", "body:invoice"], ["from:", "from:203.0.113"],
	["size>", "size>10k"], ["time>", "time>200ms"],
	["is:", "is:pinned, open, failed, error, ws, sse, replay, edited, noted"], ["mark:", "mark:red"],
];

/* Splits at spaces; quotes keep them. */
function words(text) {
	const out = [];

	for (const m of text.matchAll(/(?:"[^"]*"?|[^\s"])+/g))
		out.push(m[0].replace(/"/g, ""));
	return out;
}

function compare(op, a, b) {
	if (op === ">")
		return a > b;
	if (op === ">=")
		return a >= b;
	if (op === "<")
		return a < b;
	return op === "<=" ? a <= b : a === b;
}

function numberTerm(text, units, read) {
	const m = /^([<>]=?|=)\s*([\d.]+)\s*([a-z]*)$/i.exec(text);

	if (!m || !(m[3].toLowerCase() in units) || isNaN(Number(m[2])))
		return null;
	const want = Number(m[2]) * units[m[3].toLowerCase()];
	return entry => compare(m[1], read(entry), want);
}

function statusTerm(value) {
	const m = /^([<>]=?|=)?(\d{1,3})$/.exec(value);

	if (m && m[1])
		return e => e.status > 0 && compare(m[1], e.status, Number(m[2]));
	if (/^[1-5]x{0,2}$/i.test(value))
		return e => Math.floor(e.status / 100) === Number(value[0]);
	if (m)
		return e => String(e.status).startsWith(value);
	const range = /^(\d{3})-(\d{3})$/.exec(value);
	if (range)
		return e => e.status >= Number(range[1]) && e.status <= Number(range[2]);
	return ["open", "pending", "failed", "cut"].includes(value) ?
		e => e.state === (value === "pending" ? "open" : value === "cut" ? "failed" : value) : null;
}

const IS = {
	pinned: e => e.pinned, open: e => e.state === "open", failed: e => e.state === "failed",
	error: e => e.state === "failed" || e.status >= 400, ok: e => e.status >= 200 && e.status < 400,
	ws: e => e.kind === "websocket", websocket: e => e.kind === "websocket", sse: e => e.kind === "sse",
	replay: e => Boolean(e.origin), edited: e => e.edited, truncated: e => e.truncated,
	marked: e => Boolean(e.mark), noted: e => Boolean(e.note),
};

const has = (text, value) => (text || "").toLowerCase().includes(value);

const FIELDS = {
	method: v => e => e.method.toLowerCase() === v,
	path: v => e => has(e.path, v),
	host: v => e => has(e.host, v),
	tunnel: v => e => has(e.tunnel_name, v),
	type: v => e => has(e.resp_type, v) || has(e.req_type, v),
	from: v => e => has(e.remote_addr, v),
	mark: v => e => has(e.mark, v),
	note: v => e => has(e.note, v),
	id: v => e => e.id === v || e.origin === v,
	is: v => IS[v] || null,
	status: statusTerm,
};

/* A word is looked for in everything that the list shows. */
function wordTerm(value) {
	return e => has(`${e.method} ${e.host}${e.path} ${e.status} ${e.tunnel_name} ${e.remote_addr} ` +
		`${e.note} ${e.mark} ${e.resp_type} ${e.req_type}`, value);
}

function fieldTerm(key, value) {
	const tests = value.split(",").filter(v => v).map(v => FIELDS[key](v));

	if (tests.includes(null) || !tests.length)
		return null;
	return e => tests.some(test => test(e));
}

function term(text) {
	const m = /^([a-z]+)(:|(?=[<>=]))(.*)$/i.exec(text);
	const key = m ? m[1].toLowerCase() : "";
	const value = m ? m[3].toLowerCase() : "";

	if (key === "size" || key === "reqsize")
		return numberTerm(value, SIZES, key === "size" ? e => e.resp_size : e => e.req_size);
	if (key === "time")
		return numberTerm(value, TIMES, e => e.duration_ms);
	if (m && m[2] === ":" && key in FIELDS)
		return fieldTerm(key, value);
	return wordTerm(text.toLowerCase());
}

const unfinished = /^-?[a-z]+[:<>=]+$/i;

/*
 * {shallow: entry -> bool, deep: [{part: "header"|"body", value, not}], errors: [text], empty}.
 * deep terms need what only the server has; they are looked at when the others hold.
 */
export function parseFilter(text) {
	const tests = [];
	const deep = [];
	const errors = [];

	for (const word of words(text.trim())) {
		const not = word.startsWith("-") && word.length > 1;
		const body = not ? word.slice(1) : word;
		const far = /^(header|body):(.*)$/is.exec(body);

		if (unfinished.test(word))
			continue;
		if (far) {
			deep.push({ part: far[1].toLowerCase(), value: far[2], not });
			continue;
		}
		const test = term(body);
		if (!test)
			errors.push(`not understood: ${word}`);
		else
			tests.push(not ? e => !test(e) : test);
	}
	return {
		shallow: entry => tests.every(test => test(entry)), deep, errors,
		empty: !tests.length && !deep.length,
	};
}
