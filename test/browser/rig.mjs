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

/* A rig of programs and the local service: make(ground) says what it offers; all of it ends with stop(). */
async function rigOf(name, make) {
	const folder = fs.mkdtempSync(path.join(os.tmpdir(), `pgrok-${name}-`));
	const service = await startService();
	const children = [];
	const stop = async () => {
		for (const child of children.reverse())
			await end(child);
		service.closeAllConnections();
		service.close();
		fs.rmSync(folder, { recursive: true, force: true });
	};
	const ground = {
		local: `127.0.0.1:${service.address().port}`,
		folder,
		file(to, text) {
			fs.writeFileSync(path.join(folder, to), text);
			return path.join(folder, to);
		},
		async run(program, args, said) {
			const child = start([path.join(BIN, program), "-log=stdout", ...args], said, 20);

			children.push(child);
			await child.ready;
			return child;
		},
		server: args => ground.run("pgrokd", ["-domain=pgrok.localhost", "-httpsAddr=", `-stateDir=${path.join(folder, "state")}`, ...args],
			"Listening for control and proxy connections on"),
		client: args => ground.run("pgrok", args, "Tunnel established at"),
	};

	try {
		return { ...await make(ground), stop };
	} catch (err) {
		await stop();
		throw err;
	}
}

export function realRig() {
	return rigOf("browser-rig", async ground => {
		const [httpPort, tunnelPort, inspectPort] = [await freePort(), await freePort(), await freePort()];
		const host = tunnel => `${tunnel || "web"}.pgrok.localhost:${httpPort}`;
		const tunnel = name => `  ${name}:\n    subdomain: ${name}\n    proto:\n      http: ${ground.local}\n`;
		const config = ground.file("pgrok.yml", `server_addr: 127.0.0.1:${tunnelPort}\ninspect_addr: 127.0.0.1:${inspectPort}\n` +
			`tunnels:\n${tunnel("web")}${tunnel("api")}`);

		await ground.server([`-httpAddr=127.0.0.1:${httpPort}`, `-tunnelAddr=127.0.0.1:${tunnelPort}`]);
		const client = await ground.client([`-config=${config}`, "start-all"]);

		return {
			url: `http://127.0.0.1:${inspectPort}/http/in`,
			pid: client.pid,
			flood: count => flood(httpPort, host(), count),
			send: what => visit(httpPort, host(what.tunnel), what),
			talk: (pathname, texts) => talkTo(httpPort, host(), pathname, texts),
		};
	});
}

export const OPERATORS_TOKEN = "operators-token";
const TEAM = "tokens:\n- {name: alice, token: ta, tunnels: 20}\n- {name: bob, token: tb, expires: 2099-01-31}\n";

/* A server with its admin listener, two owners and three tunnels. */
export function adminRig() {
	return rigOf("admin-rig", async ground => {
		const [httpPort, tunnelPort, adminPort] = [await freePort(), await freePort(), await freePort()];
		const config = ground.file("pgrok.yml", "inspect_addr: disabled\n");
		const client = (token, name) => ground.client([`-config=${config}`, `-serveraddr=127.0.0.1:${tunnelPort}`, `-authtoken=${token}`,
			`-subdomain=${name}`, "-proto=http", ground.local]);

		await ground.server([`-httpAddr=127.0.0.1:${httpPort}`, `-tunnelAddr=127.0.0.1:${tunnelPort}`, `-adminAddr=127.0.0.1:${adminPort}`,
			`-adminToken=${OPERATORS_TOKEN}`, `-authTokens=${ground.file("team.yml", TEAM)}`]);
		for (const [token, name] of [["ta", "shop"], ["ta", "blog"], ["tb", "api"]])
			await client(token, name);
		return {
			url: `http://127.0.0.1:${adminPort}/`,
			client,
			visit: (name, what) => visit(httpPort, `${name}.pgrok.localhost:${httpPort}`, what),
		};
	});
}

export const PASSWORD = "open sesame";

/* A tunnel whose visitors need a password. */
export function passwordRig() {
	return rigOf("password-rig", async ground => {
		const [httpPort, tunnelPort] = [await freePort(), await freePort()];
		const config = ground.file("pgrok.yml", "inspect_addr: disabled\n");

		await ground.server([`-httpAddr=127.0.0.1:${httpPort}`, `-tunnelAddr=127.0.0.1:${tunnelPort}`]);
		await ground.client([`-config=${config}`, `-serveraddr=127.0.0.1:${tunnelPort}`, "-subdomain=vault", "-proto=http",
			`-password=${PASSWORD}`, ground.local]);
		return { url: `http://vault.pgrok.localhost:${httpPort}` };
	});
}
