// Numbers, times and paths as a person reads them.

const group = new Intl.NumberFormat("en-US");

export const count = n => group.format(n);
export const plural = (n, one, many) => `${count(n)} ${n === 1 ? one : many || one + "s"}`;

function digits(n) {
	return n < 10 ? n.toFixed(2) : n < 100 ? n.toFixed(1) : n.toFixed(0);
}

export function duration(ms) {
	if (ms === null || ms === undefined || ms < 0)
		return "";
	if (ms < 1)
		return `${ms.toFixed(2)} ms`;
	if (ms < 1000)
		return `${digits(ms)} ms`;
	if (ms < 60000)
		return `${digits(ms / 1000)} s`;
	const s = Math.round(ms / 1000);
	if (s < 3600)
		return `${Math.floor(s / 60)}m ${String(s % 60).padStart(2, "0")}s`;
	return `${Math.floor(s / 3600)}h ${String(Math.floor(s / 60) % 60).padStart(2, "0")}m`;
}

export const durationNs = ns => (ns < 0 ? "" : duration(ns / 1e6));

export function bytes(n) {
	if (n === null || n === undefined)
		return "";
	if (n < 1000)
		return `${n} B`;
	const units = ["kB", "MB", "GB", "TB"];
	let i = -1;
	do {
		n /= 1000;
		i++;
	} while (n >= 999.5 && i < units.length - 1);
	return `${n < 9.95 ? n.toFixed(1) : n.toFixed(0)} ${units[i]}`;
}

/* Time since then, short: it stands in a narrow column. */
export function ago(ms) {
	const s = Math.floor(ms / 1000);

	if (s < 2)
		return "now";
	if (s < 60)
		return `${s}s`;
	if (s < 3600)
		return `${Math.floor(s / 60)}m`;
	if (s < 86400)
		return `${Math.floor(s / 3600)}h`;
	return `${Math.floor(s / 86400)}d`;
}

export function agoLong(ms) {
	const s = Math.floor(ms / 1000);
	const say = (n, unit) => `${plural(n, unit)} ago`;

	if (s < 2)
		return "just now";
	if (s < 60)
		return say(s, "second");
	if (s < 3600)
		return say(Math.floor(s / 60), "minute");
	if (s < 86400)
		return say(Math.floor(s / 3600), "hour");
	return say(Math.floor(s / 86400), "day");
}

export function clock(ms) {
	const d = new Date(ms);
	const two = n => String(n).padStart(2, "0");

	return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())} ` +
		`${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}.` +
		String(d.getMilliseconds()).padStart(3, "0");
}

/* At most so many characters of a path: what is over goes from its middle, both ends tell the most. */
export function shorten(path, most) {
	if (path.length <= most)
		return path;
	const tail = Math.max(0, Math.min(24, Math.floor(most * 0.45)));
	const half = at => (/[\udc00-\udfff]/.test(path[at] || "") ? 1 : 0); /* in the middle of a pair */
	const from = path.length - tail;
	const to = Math.max(1, most - tail - 1);

	return path.slice(0, to - half(to)) + "…" + path.slice(from + half(from));
}

/* What the dot looks like: a class for shape and colour, and the words for it. */
export function statusKind(entry) {
	if (entry.state === "failed")
		return ["fail", "failed"];
	if (!entry.status)
		return ["open", "waiting"];
	if (entry.kind === "websocket")
		return [entry.state === "open" ? "live" : "s1", "WebSocket"];
	if (entry.kind === "sse" && entry.state === "open")
		return ["live", "events"];
	if (entry.status < 200)
		return ["s1", "provisional"];
	if (entry.status < 300)
		return ["s2", "success"];
	if (entry.status < 400)
		return ["s3", "redirect"];
	return entry.status < 500 ? ["s4", "client error"] : ["s5", "server error"];
}

export function statusText(entry) {
	if (entry.status)
		return String(entry.status);
	return entry.state === "failed" ? "cut" : "···";
}

const SHORT_TYPES = {
	"application/json": "json", "text/html": "html", "text/plain": "text", "text/css": "css",
	"text/javascript": "js", "application/javascript": "js", "application/xml": "xml", "text/xml": "xml",
	"application/x-www-form-urlencoded": "form", "multipart/form-data": "multipart",
	"text/event-stream": "events", "application/octet-stream": "binary", "image/svg+xml": "svg",
};

export function shortType(type) {
	return SHORT_TYPES[type] || (type || "").replace(/^.*\/(x-|vnd\.)?/, "").replace(/^.*\+/, "");
}

export function httpUrl(text) {
	try {
		const url = new URL(text);
		return url.protocol === "http:" || url.protocol === "https:" ? url.href : null;
	} catch (err) {
		return null;
	}
}

/* name=value&... in the order they stand, decoded; what can't be decoded stays as it is. */
export function formPairs(text) {
	const decode = part => {
		try {
			return decodeURIComponent(part.replace(/\+/g, " "));
		} catch (err) {
			return part;
		}
	};

	return text.split("&").filter(part => part).map(part => {
		const at = part.indexOf("=");
		return at < 0 ? [decode(part), ""] : [decode(part.slice(0, at)), decode(part.slice(at + 1))];
	});
}

export function headerValue(list, name) {
	const found = (list || []).find(pair => pair[0].toLowerCase() === name);
	return found ? found[1] : "";
}

/* "text/html; charset=utf-8; a="b"" -> {type, params} */
export function parseType(value) {
	const params = {};
	const [type] = (value || "").split(";");

	for (const m of (value || "").matchAll(/;\s*([^\s=;]+)\s*=\s*("((?:[^"\\]|\\.)*)"|[^\s;]*)/g))
		params[m[1].toLowerCase()] = m[3] === undefined ? m[2] : m[3].replace(/\\(.)/g, "$1");
	return { type: type.trim().toLowerCase(), params };
}

/* base64 <-> bytes, without building one giant argument list. */
export function fromBase64(text) {
	const bin = atob(text || "");
	const out = new Uint8Array(bin.length);

	for (let i = 0; i < bin.length; i++)
		out[i] = bin.charCodeAt(i);
	return out;
}

export function toBase64(data) {
	let bin = "";

	for (let i = 0; i < data.length; i += 32768)
		bin += String.fromCharCode.apply(null, data.subarray(i, i + 32768));
	return btoa(bin);
}

/* The text if these bytes are UTF-8 without control characters, else null. */
export function asText(data) {
	let text;

	try {
		text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(data);
	} catch (err) {
		return null;
	}
	return /[\u0000-\u0008\u000e-\u001a\u001c-\u001f]/.test(text) ? null : text;
}
