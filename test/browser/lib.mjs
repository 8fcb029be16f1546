// A browser of its own for a test: real Chromium, an empty profile, and everything the page said that it should not.
import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import test, { after, before } from "node:test";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

export const SHOTS = process.env.PGROK_ARTEFACTS || fileURLToPath(new URL("../artefacts/", import.meta.url));
const CHROMIUM = process.env.CHROMIUM || ["chromium", "chromium-browser", "google-chrome-stable"]
	.map(name => "/usr/bin/" + name).find(file => fs.existsSync(file));
/* Containers: no sandbox as root, little shared memory. */
const FLAGS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
	"--disable-component-update", "--disable-sync", "--force-color-profile=srgb"];

/* more: further flags of Chromium. */
export async function openBrowser(more = []) {
	const profile = fs.mkdtempSync(path.join(os.tmpdir(), "pgrok-browser-"));
	const open = []; /* what one test opened: contexts, mocks */

	/* One profile for all tabs would share what a page remembers: each tab is a context of its own. */
	const browser = await chromium.launch({ executablePath: CHROMIUM, headless: true, args: [...FLAGS, ...more],
		env: { ...process.env, HOME: profile, XDG_CONFIG_HOME: profile, XDG_CACHE_HOME: profile } });

	return {
		/* A page at url. page.complaints: errors, refused resources, requests to anywhere else. */
		async page(url, options = {}) {
			const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, colorScheme: "light",
				permissions: ["clipboard-read", "clipboard-write"], ...options });
			const page = await context.newPage();
			const origin = new URL(url).origin;

			page.setDefaultTimeout(10000);
			page.complaints = [];
			page.on("pageerror", err => page.complaints.push(`error: ${err.stack || err.message}`));
			page.on("console", msg => {
				if (["error", "warning"].includes(msg.type()))
					page.complaints.push(`console: ${msg.text()} ${msg.location().url || ""}`);
			});
			page.on("request", request => {
				if (!/^(blob|data):/.test(request.url()) && new URL(request.url()).origin !== origin)
					page.complaints.push(`request to ${request.url()}`);
			});
			page.on("dialog", dialog => {
				page.complaints.push(`dialog: ${dialog.message()}`);
				dialog.dismiss();
			});
			open.push(() => context.close());
			await page.goto(url);
			return page;
		},
		/* Something with stop() that ends with the test. */
		also(what) {
			open.push(() => what.stop());
			return what;
		},
		async tidy() {
			for (const end of open.splice(0).reverse())
				await end().catch(() => {});
		},
		async close() {
			await this.tidy();
			await browser.close();
			fs.rmSync(profile, { recursive: true, force: true });
		},
	};
}

/*
 * it(name, check) for tests that share a browser (flags: more of Chromium's) and, if makeRig is given, what the page
 * talks to. RETRY=1: what fails gets a second attempt, with new ones, and the output says so.
 */
export function suite(makeRig, flags) {
	let ground = {};
	const begin = async () => {
		ground.rig = makeRig && await makeRig();
		ground.browser = await openBrowser(flags);
	};
	const end = async () => {
		const { rig, browser } = ground;

		ground = {};
		if (browser)
			await browser.close();
		if (rig)
			await rig.stop();
	};
	const attempt = async check => {
		await check(ground);
		await ground.browser.tidy();
	};

	before(begin);
	after(end);
	return (name, check) => test(name, { timeout: 180000 }, async () => {
		try {
			await attempt(check);
		} catch (err) {
			if (!process.env.RETRY)
				throw err;
			console.log(`== ${name}: failed, once more\n${err.stack}`);
			await end();
			await begin();
			await attempt(check);
			console.log(`== ${name}: passed at the second attempt`);
			if (process.env.FORGIVEN)
				fs.appendFileSync(process.env.FORGIVEN, `${name}: ${String(err.message).split("\n")[0]}\n`);
		}
	});
}

export async function shot(page, name) {
	fs.mkdirSync(SHOTS, { recursive: true });
	await page.screenshot({ path: path.join(SHOTS, `inspect-${name}.png`), animations: "disabled" });
}

export function quiet(page) {
	assert.deepEqual(page.complaints, []);
}
