// Fifty thousand requests through the real pair: the page stays quick, the client within its bound.
import assert from "node:assert/strict";
import fs from "node:fs";
import { quiet, shot, suite } from "./lib.mjs";
import { realRig } from "./rig.mjs";

const MANY = 50000;
const BOUND_MIB = 64; /* inspect_max_total's default */
const ELSE_MIB = 16; /* everything that is no captured traffic */

/* Generous: what counts is that nothing grows with the number of rows, on a slow and busy machine too. */
const FRAME_MS = { median: 100, p95: 400 };
const TASK_MS = 1500;
const KEY_MS = 250;

const it = suite(realRig);

/* Runs in the page: from now on times between frames and long tasks are noted. */
function watchFrames() {
	let last = performance.now();
	const noted = { gaps: [], tasks: [] };
	const frame = () => {
		const now = performance.now();
		noted.gaps.push(now - last);
		last = now;
		requestAnimationFrame(frame);
	};

	new PerformanceObserver(list => noted.tasks.push(...list.getEntries().map(e => Math.round(e.duration)))).observe({ type: "longtask" });
	requestAnimationFrame(frame);
	window.takeFrames = () => {
		const gaps = noted.gaps.splice(0).sort((a, b) => a - b);
		return { frames: gaps.length, median: gaps[gaps.length >> 1], p95: gaps[Math.floor(gaps.length * 0.95)], tasks: noted.tasks.splice(0) };
	};
}

async function smooth(page, what) {
	const got = await page.evaluate(() => window.takeFrames());
	const text = `${what}: ${got.frames} frames, ${got.median.toFixed(1)} ms between them (95 %: ${got.p95.toFixed(1)}), long tasks: ${got.tasks.join(" ") || "none"}`;

	console.log(text);
	assert.ok(got.median < FRAME_MS.median && got.p95 < FRAME_MS.p95 && Math.max(0, ...got.tasks) < TASK_MS, text);
}

const note = (page, pattern) => page.locator("#filter-note", { hasText: pattern }).waitFor({ timeout: 30000 });

/* Each key's way into the field, then the answer. */
async function filterBy(page, text, wanted) {
	await page.locator("#filter").fill("");
	await page.locator("#filter").focus();
	const slow = await page.evaluate(() => {
		window.keys = [];
		document.getElementById("filter").onkeydown = () => {
			const at = performance.now();
			requestAnimationFrame(() => setTimeout(() => window.keys.push(performance.now() - at)));
		};
	}).then(() => page.keyboard.type(text)).then(() => note(page, wanted)).then(() => page.evaluate(() => Math.max(...window.keys)));
	assert.ok(slow < KEY_MS, `${text}: a key took ${slow} ms until it was painted`);
	await smooth(page, `filter ${text}`);
}

/* Through the whole list; how many rows were elements at most. */
function scrollThrough() {
	const list = document.getElementById("list");
	let most = 0;

	return new Promise(resolve => {
		let i = 0;
		const step = () => {
			list.scrollTop = (list.scrollHeight - list.clientHeight) * (i % 60) / 60;
			most = Math.max(most, list.querySelectorAll(".row").length);
			if (++i < 120)
				requestAnimationFrame(step);
			else
				resolve(most);
		};
		step();
	});
}

it("50,000 requests: live, loaded, scrolled, filtered, and the client's memory", async ({ rig, browser }) => {
	let page = await browser.page(rig.url);

	await page.locator("#state.online").waitFor();
	await page.evaluate(watchFrames);
	await rig.flood(MANY);
	await note(page, /^50,000 requests$/);
	await smooth(page, "50,000 arrive");
	quiet(page);
	await page.context().close();

	page = await browser.page(rig.url);
	await page.evaluate(watchFrames);
	await note(page, /^50,000 requests$/);
	await smooth(page, "50,000 are loaded");
	for (let i = 0; i < 20; i++) {
		await rig.flood(50);
		await page.waitForTimeout(100);
	}
	await note(page, /^51,000 requests$/);
	await smooth(page, "500 a second more");
	const rows = await page.evaluate(scrollThrough);
	assert.ok(rows < 150, `${rows} rows are elements`);
	await smooth(page, "scrolling");
	await filterBy(page, "path:/orders/4999 -status:5xx", /^11 of 51,000$/);
	await filterBy(page, "header:flood", /^51,000 of 51,000$/);
	await filterBy(page, "body:orders/777", /^11 of 51,000$/);
	await page.locator("#filter").fill("");
	await note(page, /^51,000 requests$/);
	await page.locator("#list").focus();
	await page.keyboard.press("End");
	await page.locator("#list .row.chosen[aria-rowindex='51000']").waitFor();
	await page.keyboard.press("Home");
	await page.locator("#list .row.chosen[aria-rowindex='1']").waitFor();
	await shot(page, "50000");
	/* More than there is room for: the oldest go, here and there. */
	await rig.flood(MANY);
	const status = await (await fetch(new URL("/api/status", rig.url))).json();
	assert.ok(status.capture.evicted > 0 && status.capture.bytes <= BOUND_MIB << 20, JSON.stringify(status.capture));
	await note(page, new RegExp(`^${status.capture.entries.toLocaleString("en-US")} requests$`));
	const pss = Number(/^Pss:\s+(\d+)/m.exec(fs.readFileSync(`/proc/${rig.pid}/smaps_rollup`, "utf8"))[1]) / 1024;
	console.log(`pgrok with ${status.capture.entries} kept: ${pss.toFixed(1)} MiB`);
	assert.ok(pss < BOUND_MIB + ELSE_MIB, `${pss} MiB`);
	quiet(page);
});
