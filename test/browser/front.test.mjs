// Four browsers on three tunnels, through one front that uses its few connections to the server for all host names.
import assert from "node:assert/strict";
import fs from "node:fs";
import http from "node:http";
import os from "node:os";
import path from "node:path";
import { suite } from "./lib.mjs";
import { BIN, end, freePort, start } from "./rig.mjs";

const NAMES = ["a", "b", "c"];
const DOMAIN = "front.test";
const BROWSERS = 4;
const LOADS = 3; /* pages each of them loads, one after the other */
const SCRIPTS = 15; /* of a page, from all three tunnels in turn */
const POSTS = 3; /* of a page, to its own tunnel */
const UPSTREAM = 4; /* connections of the front */

const listen = server => new Promise(resolve => server.listen(0, "127.0.0.1", () => resolve(server.address().port)));

/* Runs in the page. What each script says is compared with where it was asked for. */
async function load(scripts, posts) {
	const seen = { right: 0, wrong: [] };
	const judge = (right, text) => (right ? seen.right++ : seen.wrong.push(text));

	window.said = (who, path) => {
		const at = new URL(document.currentScript.src);
		judge(at.hostname.startsWith(who + ".") && at.pathname === path, `${at}: ${who} ${path}`);
	};
	const all = scripts.map(src => new Promise(resolve => {
		const script = document.createElement("script");
		script.src = src;
		script.onload = resolve;
		script.onerror = () => {
			seen.wrong.push(`${src}: no script`);
			resolve();
		};
		document.head.append(script);
	}));
	for (const path of posts) {
		const body = path.repeat(500);
		all.push(fetch(path, { method: "POST", body }).then(async answer => judge(await answer.text() ===
			`${location.hostname[0]} ${path} ${body}`, `${path}: ${answer.status}`)).catch(err => seen.wrong.push(`${path}: ${err}`)));
	}
	await Promise.all(all);
	return seen;
}

/* A tunnel's service. It says who it is; answers are of all sizes, and some are late. */
async function service(name) {
	const rig = { name, asked: 0, wrong: [] };

	rig.server = http.createServer(async (req, res) => {
		let body = "";

		for await (const chunk of req)
			body += chunk;
		rig.asked++;
		if (!req.headers.host.startsWith(name + "."))
			rig.wrong.push(`${name} got ${req.headers.host}${req.url}`);
		const text = req.method === "POST" ? `${name} ${req.url} ${body}`
			: req.url.startsWith("/script/") ? `said("${name}", "${req.url}"); //${"x".repeat(rig.asked * 997 % 30000)}`
				: `<!doctype html><title>${name}</title>`;
		const type = req.method === "POST" ? "text/plain" : req.url.startsWith("/script/") ? "text/javascript" : "text/html";
		const answer = () => res.writeHead(200, { "Content-Type": type, "Cache-Control": "no-store",
			...(rig.asked % 2 ? { "Content-Length": text.length } : {}) }).end(text);
		setTimeout(answer, rig.asked % 5 === 0 ? 5 : 0);
	});
	rig.port = await listen(rig.server);
	return rig;
}

/* As nginx with keepalive: every request goes over whichever of its connections is free, Host and all. */
async function startFront(serverPort) {
	const agent = new http.Agent({ keepAlive: true, maxSockets: UPSTREAM });
	const front = { hosts: new Map() }; /* of each connection, whose requests went over it */

	front.server = http.createServer((req, res) => {
		const up = http.request({ agent, host: "127.0.0.1", port: serverPort, method: req.method, path: req.url,
			headers: req.rawHeaders }, answer => {
			res.writeHead(answer.statusCode, answer.rawHeaders);
			answer.pipe(res);
		});
		up.on("socket", socket => {
			if (!front.hosts.has(socket))
				front.hosts.set(socket, new Set());
			front.hosts.get(socket).add(req.headers.host);
		});
		up.on("error", err => {
			res.writeHead(599);
			res.end(String(err));
		});
		req.pipe(up);
	});
	front.port = await listen(front.server);
	front.stop = () => {
		agent.destroy();
		front.server.closeAllConnections();
		front.server.close();
	};
	return front;
}

async function rig() {
	const folder = fs.mkdtempSync(path.join(os.tmpdir(), "pgrok-browser-front-"));
	const services = await Promise.all(NAMES.map(service));
	const [httpPort, tunnelPort] = [await freePort(), await freePort()];
	const front = await startFront(httpPort);
	const config = path.join(folder, "pgrok.yml");
	const children = [];
	const stop = async () => {
		front.stop();
		for (const child of children.reverse())
			await end(child);
		for (const { server } of services) {
			server.closeAllConnections();
			server.close();
		}
		fs.rmSync(folder, { recursive: true, force: true });
	};
	const run = async (argv, said) => {
		children.push(start(argv, said, 20));
		await children.at(-1).ready;
	};

	fs.writeFileSync(config, `server_addr: 127.0.0.1:${tunnelPort}\ninspect_addr: disabled\ntunnels:\n` +
		services.map(s => `  ${s.name}: {subdomain: ${s.name}, proto: {http: "127.0.0.1:${s.port}"}}\n`).join(""));
	try {
		await run([path.join(BIN, "pgrokd"), `-domain=${DOMAIN}`, `-httpAddr=127.0.0.1:${httpPort}`, "-httpsAddr=",
			`-tunnelAddr=127.0.0.1:${tunnelPort}`, `-stateDir=${path.join(folder, "state")}`, "-log=stdout", "-workers=2"],
		"Listening for control and proxy connections on");
		/* Each tunnel has a client of its own: they may be on different workers. */
		for (const { name } of services)
			await run([path.join(BIN, "pgrok"), `-config=${config}`, "-log=stdout", "start", name], "Tunnel established at");
	} catch (err) {
		await stop();
		throw err;
	}
	return { services, front, stop, origin: name => `http://${name}.${DOMAIN}:${front.port}` };
}

const it = suite(rig, [`--host-resolver-rules=MAP *.${DOMAIN} 127.0.0.1`]);

/* What one browser did. */
async function surf(page, rig, n) {
	const total = { right: 0, wrong: [] };

	for (let i = 0; i < LOADS; i++) {
		const name = NAMES[(n + i) % NAMES.length];
		const own = `${n}-${i}`;
		const scripts = Array.from({ length: SCRIPTS }, (_, k) => `${rig.origin(NAMES[k % NAMES.length])}/script/${own}-${k}`);
		const posts = Array.from({ length: POSTS }, (_, k) => `/post/${own}-${k}`);

		await page.goto(`${rig.origin(name)}/page/${own}`, { timeout: 30000 });
		if (await page.title() !== name)
			total.wrong.push(`page/${own}: ${await page.title()}`);
		const got = await page.evaluate(`(${load})(${JSON.stringify(scripts)}, ${JSON.stringify(posts)})`);
		total.right += got.right;
		total.wrong.push(...got.wrong);
	}
	return total;
}

it("four browsers on three tunnels through one front: no wrong answer", async ({ rig, browser }) => {
	const pages = [];

	for (let n = 0; n < BROWSERS; n++)
		pages.push(await browser.page(`${rig.origin(NAMES[0])}/`, { viewport: { width: 200, height: 100 } }));
	const got = await Promise.all(pages.map((page, n) => surf(page, rig, n)));
	const sets = [...rig.front.hosts.values()];
	const asked = rig.services.reduce((sum, s) => sum + s.asked, 0);

	assert.deepEqual(got.flatMap(g => g.wrong), []);
	assert.deepEqual(rig.services.flatMap(s => s.wrong), []);
	assert.deepEqual(got.map(g => g.right), Array(BROWSERS).fill(LOADS * (SCRIPTS + POSTS)));
	/* And one of its connections carried requests for all three. */
	assert.ok(sets.some(hosts => hosts.size === NAMES.length), "no connection was used for all three");
	console.log(`${asked} requests over ${sets.length} connections, 0 wrong answers`);
});
