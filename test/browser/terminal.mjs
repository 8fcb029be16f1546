// A picture of the client's screen: pgrok in tmux, with visitors, its cells as a page of coloured text.
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { BIN, end, freePort, start, startService, visit } from "./rig.mjs";

const COLUMNS = 96;
const ROWS = 25;
/* The sixteen colours, then what stands for none. */
const COLOURS = ["#1c2126", "#ff8189", "#5fcb83", "#e3ab4c", "#6ea8f0", "#c2a8f5", "#56c5d0", "#c9d1d8",
	"#7d8993", "#ff9da3", "#85dba1", "#f0c478", "#93c0f7", "#d5c3fa", "#83d8e0", "#f2f5f7"];
const TEXT = "#dde3e8";
const GROUND = "#12161a";

const VISITS = [["GET", "/"], ["GET", "/image.png"], ["POST", "/hook/orders"], ["GET", "/json?page=2"], ["GET", "/redirect"], ["GET", "/missing"],
	["POST", "/hook/payments"], ["GET", "/crash"], ["GET", "/text"], ["DELETE", "/hook/orders/4"], ["GET", "/orders"], ["GET", "/json"]];

/* The words of "select graphic rendition" into what the next cells look like. */
function render(look, words) {
	for (const n of words.split(";").map(Number)) {
		if (n === 0)
			Object.assign(look, { bold: false, dim: false, turned: false, fg: null, bg: null });
		else if (n === 1)
			look.bold = true;
		else if (n === 2)
			look.dim = true;
		else if (n === 7)
			look.turned = true;
		else if (n === 39 || n === 49)
			look[n === 39 ? "fg" : "bg"] = null;
		else if ((n >= 30 && n < 38) || (n >= 90 && n < 98))
			look.fg = COLOURS[n < 90 ? n - 30 : n - 82];
		else if (n >= 40 && n < 48)
			look.bg = COLOURS[n - 40];
	}
}

/* tmux capture-pane -e -> [{text, style}]. */
function runs(screen) {
	const look = {};
	const out = [];

	render(look, "0");
	for (const part of screen.split(/(\x1b\[[\d;]*m|\x0e|\x0f)/)) {
		const m = /^\x1b\[([\d;]*)m$/.exec(part);
		if (m) {
			render(look, m[1] || "0");
		} else if (part && !/^[\x0e\x0f]$/.test(part)) {
			const [fg, bg] = look.turned ? [look.bg || GROUND, look.fg || TEXT] : [look.fg || TEXT, look.bg || ""];
			out.push({ text: part, style: `color:${fg};${bg ? `background:${bg};` : ""}${look.bold ? "font-weight:600;" : ""}${look.dim ? "opacity:.7;" : ""}` });
		}
	}
	return out;
}

/* The screen's text with its escapes, after some visitors. */
async function capture() {
	const folder = fs.mkdtempSync(path.join(os.tmpdir(), "pgrok-terminal-"));
	const service = await startService();
	const [httpPort, tunnelPort] = [await freePort(), await freePort()];
	const tmux = (...args) => execFileSync("tmux", ["-S", path.join(folder, "tmux"), "-f", "/dev/null", ...args],
		{ env: { ...process.env, LC_ALL: "C.UTF-8", TMUX: "" } }).toString();
	const server = start([path.join(BIN, "pgrokd"), "-domain=example.net", `-httpAddr=127.0.0.1:${httpPort}`, "-httpsAddr=",
		`-tunnelAddr=127.0.0.1:${tunnelPort}`, `-stateDir=${folder}`, "-log=stdout"],
	"Listening for control and proxy connections on", 20, { VHOST: "example.net" });

	try {
		await server.ready;
		const config = path.join(folder, "pgrok.yml");
		fs.writeFileSync(config, `server_addr: 127.0.0.1:${tunnelPort}\ntunnels:\n  shop:\n    proto:\n      http: 127.0.0.1:${service.address().port}\n`);
		tmux("new-session", "-d", "-x", String(COLUMNS), "-y", String(ROWS), path.join(BIN, "pgrok"), `-config=${config}`,
			`-log=${path.join(folder, "log")}`, "start", "shop");
		const screen = async wanted => {
			for (let i = 0; i < 200; i++) {
				const text = tmux("capture-pane", "-p", "-e");
				if (text.includes(wanted))
					return text;
				await new Promise(resolve => setTimeout(resolve, 50));
			}
			throw new Error(`the screen does not show ${wanted}`);
		};
		await screen("shop.example.net");
		for (const [method, where] of VISITS)
			await visit(httpPort, "shop.example.net", { method, path: where, body: method === "POST" ? Buffer.from("{}") : undefined });
		await new Promise(resolve => setTimeout(resolve, 1500));
		return await screen("/json");
	} finally {
		try {
			tmux("kill-server");
		} catch (err) {
			/* it did not begin */
		}
		await end(server);
		service.closeAllConnections();
		service.close();
		fs.rmSync(folder, { recursive: true, force: true });
	}
}

export async function terminalPicture(browser, file) {
	const page = await browser.page("about:blank", { viewport: { width: 1000, height: 800 }, deviceScaleFactor: 1 });
	const cells = runs((await capture()).replace(/\n$/, ""));

	await page.evaluate(({ parts, ground }) => {
		const pre = document.createElement("pre");

		document.body.style.cssText = "margin:0;display:inline-block";
		pre.style.cssText = `margin:0;padding:16px 20px;background:${ground};font:13px/19px "DejaVu Sans Mono",monospace`;
		for (const { text, style } of parts) {
			const span = document.createElement("span");
			span.textContent = text;
			span.style.cssText = style;
			pre.append(span);
		}
		document.body.append(pre);
	}, { parts: cells, ground: GROUND });
	await page.locator("pre").screenshot({ path: file });
	await browser.tidy();
}
