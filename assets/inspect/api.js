// The server's API (API.md): calls, and the live connection with its reconnects.

export class ApiError extends Error {
	constructor(status, msg) {
		super(msg);
		this.status = status;
	}
}

async function call(method, path, body, signal) {
	const init = { method, headers: {}, signal };

	if (body !== undefined) {
		init.headers["Content-Type"] = "application/json";
		init.body = JSON.stringify(body);
	}
	let answer;
	try {
		answer = await fetch(path, init);
	} catch (err) {
		throw new ApiError(0, "pgrok does not answer");
	}
	if (!answer.ok) {
		let msg = `${answer.status} ${answer.statusText}`;
		try {
			msg = (await answer.json()).msg || msg;
		} catch (err) {
			/* not JSON: the status says enough */
		}
		throw new ApiError(answer.status, msg);
	}
	return answer;
}

async function json(method, path, body, signal) {
	const answer = await call(method, path, body, signal);
	const text = await answer.text();

	return text ? JSON.parse(text) : null;
}

const one = id => "/api/requests/http/" + encodeURIComponent(id);

function query(values) {
	const q = new URLSearchParams();

	for (const [key, value] of Object.entries(values))
		if (value !== undefined && value !== null)
			q.set(key, value);
	const text = q.toString();
	return text ? "?" + text : "";
}

/* Total, kept, what went wrong: what the headers of a body's answer say. */
function bodyFacts(headers) {
	const num = name => Number(headers.get(name) || 0);

	return {
		size: num("X-Body-Size"), kept: num("X-Body-Kept"), total: num("X-Body-Total"),
		truncated: headers.get("X-Body-Truncated") === "true",
		decoded: headers.get("X-Body-Decoded") || "", error: headers.get("X-Body-Error") || "",
	};
}

export const api = {
	entries: (limit, before) => json("GET", "/api/entries" + query({ limit, before })),
	transaction: (id, raw) => json("GET", one(id) + (raw ? "" : "?raw=0")),
	change: (id, what) => json("PATCH", one(id), what),
	remove: id => call("DELETE", one(id)),
	clear: keepPinned => call("DELETE", "/api/requests/http" + (keepPinned ? "?keep=pinned" : "")),
	frames: (id, after, limit) => json("GET", one(id) + "/frames" + query({ after, limit })),
	replay: what => json("POST", "/api/requests/http", what),
	har: ids => json("GET", "/api/requests/http.har" + query({ ids: ids && ids.join(",") })),
	search: (part, text, ids, signal) => json("GET", "/api/search" + query({ in: part, text, ids: ids && ids.join(",") }), undefined, signal),
	bodyUrl: (id, side, decode) => one(id) + "/body" + query({ side, decode: decode ? 1 : undefined, download: 1 }),
	qrUrl: text => "/api/qr" + query({ text }),

	async body(id, side, { decode, offset, limit }) {
		const answer = await call("GET", one(id) + "/body" +
			query({ side, decode: decode ? 1 : undefined, offset: offset || undefined, limit }));

		return { bytes: new Uint8Array(await answer.arrayBuffer()), ...bodyFacts(answer.headers) };
	},
};

/* The live connection. on.events(list) for what came, on.up(bool) when it comes or goes. */
export class Live {
	constructor(on) {
		this.on = on;
		this.wait = 300;
		this.watched = null;
		this.connect();
	}

	connect() {
		const scheme = location.protocol === "https:" ? "wss:" : "ws:";

		this.ws = new WebSocket(`${scheme}//${location.host}/api/ws`);
		this.ws.onmessage = event => {
			this.wait = 300;
			this.on.events(JSON.parse(event.data).events || []);
		};
		this.ws.onopen = () => {
			this.on.up(true);
			if (this.watched)
				this.say({ watch: this.watched });
		};
		this.ws.onclose = () => {
			this.on.up(false);
			this.timer = setTimeout(() => this.connect(), this.wait);
			this.wait = Math.min(this.wait * 2, 5000);
		};
	}

	say(what) {
		if (this.ws.readyState === WebSocket.OPEN)
			this.ws.send(JSON.stringify(what));
	}

	watch(id) {
		if (this.watched === id)
			return;
		this.watched = id;
		this.say({ watch: id });
	}
}
