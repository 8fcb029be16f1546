// What a test talks to: the mock, or pgrokd and pgrok with a local service behind them. Same calls on both.
import { spawn } from "node:child_process";
import fs from "node:fs";
import http from "node:http";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { Mock } from "./mock.mjs";
import { accept } from "./ws.mjs";
import { answer } from "./service.mjs";

/* A folder with pgrok and pgrokd. */
export const BIN = process.env.PGROK_BIN || fileURLToPath(new URL("../../bin", import.meta.url));

export async function mockRig(options) {
	const mock = await new Mock({ tunnels: 2, ...options }).start();

	return { url: mock.url + "/http/in", mock, send: what => mock.exchange(what), stop: () => mock.stop() };
}

export function freePort() {
	return new Promise(resolve => {
		const server = net.createServer().listen(0, "127.0.0.1", () => {
			const { port } = server.address();
			server.close(() => resolve(port));
		});
	});
}

/* The local service of the real pair. */
export async function startService() {
	const server = http.createServer(async (req, res) => {
		const chunks = [];

		for await (const chunk of req)
			chunks.push(chunk);
		const headers = [];
		for (let i = 0; i < req.rawHeaders.length; i += 2)
			headers.push([req.rawHeaders[i], req.rawHeaders[i + 1]]);
		const got = answer({ method: req.method, path: req.url, headers, body: Buffer.concat(chunks) });
		res.writeHead(got.status, [...got.headers, ["Content-Length", String(got.body.length)]].flat());
		res.end(got.body);
	});

	server.on("upgrade", (req, socket) => {
		const ws = accept(req, socket, { text: text => ws.send("echo " + text) });
	});
	await new Promise(resolve => server.listen(0, "127.0.0.1", resolve));
	return server;
}

export function start(argv, said, seconds, env) {
	const child = spawn(argv[0], argv.slice(1), { env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] });
	let out = "";

	child.ready = new Promise((resolve, reject) => {
		const timer = setTimeout(() => reject(new Error(`${argv[0]} did not say "${said}":\n${out}`)), seconds * 1000);
		const read = chunk => {
			out += chunk;
			if (out.includes(said)) {
				clearTimeout(timer);
				resolve();
			}
		};
		child.stdout.on("data", read);
		child.stderr.on("data", read);
		child.on("exit", code => reject(new Error(`${argv[0]} ended (${code}):\n${out}`)));
		child.on("error", reject);
	});
	child.ready.catch(() => {});
	return child;
}

export async function end(child) {
	if (child.exitCode !== null || child.signalCode !== null)
		return;
	const gone = new Promise(resolve => child.on("exit", resolve));

	child.kill("SIGTERM");
	const timer = setTimeout(() => child.kill("SIGKILL"), 5000);
	await gone;
	clearTimeout(timer);
}

/* One visitor's request; resolves when its answer is read whole. */
export function visit(port, host, what) {
	return new Promise((resolve, reject) => {
		const headers = [["Host", host], ...(what.headers || []).filter(([n]) => n.toLowerCase() !== "content-length")];
		const body = what.body || Buffer.alloc(0);

		if (body.length)
			headers.push(["Content-Length", String(body.length)]);
		const req = http.request({ host: "127.0.0.1", port, method: what.method || "GET", path: what.path || "/",
			headers: headers.flat(), agent: false }, res => {
			res.resume();
			res.on("end", resolve);
		});
		req.on("error", reject);
		req.end(body);
	});
}

/* So many requests, different ones, on a few connections that send ahead; resolves when all are answered. */
async function flood(port, host, count) {
	const AT_ONCE = 4;
	const AHEAD = 50;
	let next = 0;
	const one = () => new Promise((resolve, reject) => {
		const socket = net.connect(port, "127.0.0.1");
		let owed = 0;
		let tail = "";
		const ask = () => {
			let text = "";

			for (; owed < AHEAD && next < count; owed++, next++)
				text += `GET /orders/${next}?page=${next % 7} HTTP/1.1\r\nHost: ${host}\r\nUser-Agent: flood/1.0\r\n` +
					"Accept: application/json\r\n\r\n";
			if (text)
				socket.write(text);
			else if (!owed)
				socket.end();
		};

		socket.on("data", chunk => {
			const parts = (tail + chunk.toString("latin1")).split("HTTP/1.1 ");
			owed -= parts.length - 1;
			tail = parts.pop().slice(-8);
			if (owed < AHEAD / 2)
				ask();
		});
		socket.on("close", () => (owed ? reject(new Error(`${owed} were not answered`)) : resolve()));
		socket.on("error", reject);
		ask();
	});

	await Promise.all(Array.from({ length: AT_ONCE }, one));
}

/* A WebSocket visitor, by the browser-like client that node has. */
function talkTo(port, host, pathname, texts) {
	return new Promise((resolve, reject) => {
		const req = http.request({ host: "127.0.0.1", port, path: pathname, headers: { Host: host, Connection: "Upgrade",
			Upgrade: "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==" } });

		req.on("error", reject);
		req.on("upgrade", (res, socket) => {
			const mask = Buffer.from([1, 2, 3, 4]);
			const masked = (opcode, data) => Buffer.concat([Buffer.from([0x80 | opcode, 0x80 | data.length]), mask,
				data.map((b, i) => b ^ mask[i & 3])]);
			socket.on("error", () => {});
			for (const text of texts)
				socket.write(masked(1, Buffer.from(text)));
			resolve(() => socket.end(masked(8, Buffer.from([3, 232, ...Buffer.from("bye")]))));
		});
		req.end();
	});
}

export async function realRig() {
	const folder = fs.mkdtempSync(path.join(os.tmpdir(), "pgrok-browser-rig-"));
	const service = await startService();
	const [httpPort, tunnelPort, inspectPort] = [await freePort(), await freePort(), await freePort()];
	const local = `127.0.0.1:${service.address().port}`;
	const config = path.join(folder, "pgrok.yml");
	const children = [];
	const stop = async () => {
		for (const child of children.reverse())
			await end(child);
		service.closeAllConnections();
		service.close();
		fs.rmSync(folder, { recursive: true, force: true });
	};

	fs.writeFileSync(config, `server_addr: 127.0.0.1:${tunnelPort}\ninspect_addr: 127.0.0.1:${inspectPort}\n` +
		`tunnels:\n  web:\n    subdomain: web\n    proto:\n      http: ${local}\n  api:\n    subdomain: api\n    proto:\n      http: ${local}\n`);
	try {
		children.push(start([path.join(BIN, "pgrokd"), "-domain=pgrok.localhost", `-httpAddr=127.0.0.1:${httpPort}`, "-httpsAddr=",
			`-tunnelAddr=127.0.0.1:${tunnelPort}`, `-stateDir=${path.join(folder, "state")}`, "-log=stdout"],
		"Listening for control and proxy connections on", 20));
		await children[0].ready;
		children.push(start([path.join(BIN, "pgrok"), `-config=${config}`, "-log=stdout", "start-all"], "Tunnel established at", 20));
		await children[1].ready;
	} catch (err) {
		await stop();
		throw err;
	}
	const host = tunnel => `${tunnel || "web"}.pgrok.localhost:${httpPort}`;
	return {
		url: `http://127.0.0.1:${inspectPort}/http/in`,
		pid: children[1].pid,
		flood: count => flood(httpPort, host(), count),
		send: what => visit(httpPort, host(what.tunnel), what),
		talk: (pathname, texts) => talkTo(httpPort, host(), pathname, texts),
		stop,
	};
}
