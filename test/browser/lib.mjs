// A browser of its own for a test: real Chromium, an empty profile, and everything the page said that it should not.
import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

export const SHOTS = process.env.PGROK_ARTEFACTS || fileURLToPath(new URL("../artefacts/", import.meta.url));
const CHROMIUM = process.env.CHROMIUM || "/usr/bin/chromium";
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
	"--disable-component-update", "--disable-sync", "--force-color-profile=srgb"];

export async function openBrowser() {
	const profile = fs.mkdtempSync(path.join(os.tmpdir(), "pgrok-browser-"));
	const tabs = [];

	/* One profile for all tabs would share what a page remembers: each tab is a context of its own. */
	const browser = await chromium.launch({ executablePath: CHROMIUM, headless: true, args: FLAGS,
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
			tabs.push(context);
			await page.goto(url);
			return page;
		},
		async close() {
			for (const context of tabs)
				await context.close().catch(() => {});
			await browser.close();
			fs.rmSync(profile, { recursive: true, force: true });
		},
	};
}

export async function shot(page, name) {
	fs.mkdirSync(SHOTS, { recursive: true });
	await page.screenshot({ path: path.join(SHOTS, `inspect-${name}.png`), animations: "disabled" });
}

export function quiet(page) {
	assert.deepEqual(page.complaints, []);
}
