// A transaction as something for another tool: a curl command, the raw bytes, HAR; and saving files.
import { asText, fromBase64, toBase64 } from "./format.js";
import { copyText, toast } from "./dom.js";
import { api } from "./api.js";

const MOST_BODY = 1 << 20;
const LEFT_OUT = new Set(["host", "content-length", "transfer-encoding", "connection", "keep-alive", "upgrade",
	"proxy-connection", "te"]);

/* One word for a shell; control characters are written out, so that pasting can't run anything. */
export function shellWord(text) {
	if (/^[\w@%+=:,./-]+$/.test(text))
		return text;
	if (!/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/.test(text))
		return `'${text.replace(/'/g, `'\\''`)}'`;
	const body = text.replace(/[\\']/g, "\\$&").replace(/\n/g, "\\n").replace(/\r/g, "\\r").replace(/\t/g, "\\t")
		.replace(/[\u0000-\u001f\u007f]/g, c => "\\x" + c.charCodeAt(0).toString(16).padStart(2, "0"))
		.replace(/[\u0080-\u009f]/g, c => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));
	return `$'${body}'`;
}

/* url: the public side. body: Uint8Array or null. */
export function curlCommand(tx, url, body) {
	const req = tx.request;
	const words = ["curl", shellWord(url + (req.uri.startsWith("/") ? req.uri : "/"))];
	const text = body && body.length ? asText(body) : null;
	const lines = [];

	if (req.method === "HEAD")
		lines.push("--head");
	else if (req.method !== (body && body.length ? "POST" : "GET"))
		lines.push("-X " + shellWord(req.method));
	for (const [name, value] of req.header_list)
		if (!LEFT_OUT.has(name.toLowerCase()))
			lines.push("-H " + shellWord(value ? `${name}: ${value}` : `${name};`));
	if (text !== null && !text.includes("\u0000"))
		lines.push("--data-raw " + shellWord(text));
	else if (body && body.length)
		lines.push("--data-binary @-");
	const command = [words.join(" "), ...lines].join(" \\\n  ");
	return text === null && body && body.length ? `printf %s ${toBase64(body)} | base64 -d | ${command}` : command;
}

async function withNotice(make, what) {
	try {
		await copyText(await make(), what);
	} catch (err) {
		toast(`Not copied: ${err.message}`);
	}
}

export function copyCurl(entry) {
	return withNotice(async () => {
		const tx = await api.transaction(entry.id);
		const body = tx.request.body.size ?
			(await api.body(entry.id, "request", { limit: MOST_BODY })).bytes : null;
		const short = body && body.length < tx.request.body.size;

		return curlCommand(tx, entry.url, body) + (short ? "\n# the body is cut" : "");
	}, "as cURL");
}

/* Head and body as they were received; bytes that are no text become U+FFFD. */
export function copyRaw(entry, side) {
	return withNotice(async () => {
		const tx = await api.transaction(entry.id, true);

		if (!tx[side])
			throw new Error("there is no answer yet");
		return new TextDecoder().decode(fromBase64(tx[side].raw));
	}, side === "request" ? "the raw request" : "the raw answer");
}

export function copyHar(entry) {
	return withNotice(async () => JSON.stringify(await api.har([entry.id]), null, 2), "as HAR");
}

export function copyUrl(entry) {
	return withNotice(async () => entry.url + entry.path, "the URL");
}

export function saveFile(name, type, text) {
	const url = URL.createObjectURL(new Blob([text], { type }));
	const a = document.createElement("a");

	a.href = url;
	a.download = name;
	a.click();
	setTimeout(() => URL.revokeObjectURL(url), 10000);
}

/* ids: null for all. */
export async function saveHar(ids) {
	try {
		saveFile(`pgrok-${new Date().toISOString().slice(0, 19).replace(/[:T]/g, "-")}.har`, "application/json",
			JSON.stringify(await api.har(ids), null, 1));
	} catch (err) {
		toast(`Not saved: ${err.message}`);
	}
}

/* For the menu: what each entry of it copies. */
export function copyMenu(entry) {
	return [
		{ text: "cURL command", key: "c", click: () => copyCurl(entry) },
		{ text: "URL", key: "u", click: () => copyUrl(entry) },
		{ text: "Raw request", key: "r", click: () => copyRaw(entry, "request") },
		{ text: "Raw answer", key: "a", click: () => copyRaw(entry, "response") },
		{ text: "HAR", key: "h", click: () => copyHar(entry) },
		{ text: "Save as HAR", key: "s", click: () => saveHar([entry.id]) },
	];
}
