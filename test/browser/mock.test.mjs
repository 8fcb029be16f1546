// What the mock alone can show: a list that holds still, reconnects, big and broken bodies.
import assert from "node:assert/strict";
import { quiet, shot, suite } from "./lib.mjs";
import { openRow, openTab, pageText, row } from "./page.mjs";
import { Mock } from "./mock.mjs";
import { mockRig } from "./rig.mjs";

const it = suite();

/* The page on a mock of its own. */
async function open(browser, options, pageOptions) {
	const rig = browser.also(await mockRig(options));
	const page = await browser.page(rig.url, pageOptions);

	await page.locator("#state.online").waitFor();
	return { rig, page };
}

const firstRow = page => page.evaluate(() => {
	const list = document.getElementById("list").getBoundingClientRect();
	const rows = [...document.querySelectorAll("#list .row:not([hidden])")].map(el => [el.dataset.id, el.getBoundingClientRect().top - list.top]);
	return rows.filter(([, top]) => top > -1).sort((a, b) => a[1] - b[1])[0];
});

it("headers and bodies of many are searched by the server", async ({ browser }) => {
	const { rig, page } = await open(browser, { entries: 2000 });

	await page.locator("#filter-note", { hasText: "2,000 requests" }).waitFor({ timeout: 20000 });
	const want = rig.mock.all.filter(tx => tx.request.headers.some(([, v]) => v.includes("Hookshot"))).length;
	assert.ok(want > 10);
	await page.locator("#filter").fill("header:user-agent=github-hookshot -body:nowhere");
	await page.locator("#filter-note", { hasText: new RegExp(`^${want.toLocaleString("en-US")} of 2,000$`) }).waitFor({ timeout: 20000 });
	assert.equal(rig.mock.searches, 2, "one question for each term");
	await rig.send({ path: "/json?other" });
	await rig.send({ path: "/json?fits", headers: [["User-Agent", "GitHub-Hookshot/live"]] });
	await row(page, "/json?fits").waitFor();
	assert.equal(await row(page, "/json?other").count(), 0);
	/* One that grows is looked at again. */
	const tx = rig.mock.begin({ path: "/growing", headers: [["User-Agent", "GitHub-Hookshot/slow"]] });
	for (const body of ["somewhere", "somewhere and nowhere"]) {
		rig.mock.finish(tx, { status: 200, headers: [], body: Buffer.from(body) }, 5, "open");
		rig.mock.tell({ ev: "updated", entry: tx.entry });
		await row(page, "/growing").waitFor({ state: body === "somewhere" ? "visible" : "detached" });
	}
	await page.locator("#filter").fill("body:" + "x".repeat(300));
	await page.getByText("No request matches the filter").waitFor();
	quiet(page);
});

it("new rows never move what is being read", async ({ browser }) => {
	const { rig, page } = await open(browser, { entries: 300 });

	await row(page, "/").first().waitFor();
	await page.mouse.move(5, 5);
	await page.locator("#list").evaluate(el => {
		el.scrollTop = 1005;
	});
	await page.waitForTimeout(100);
	const before = await firstRow(page);
	for (let i = 0; i < 3; i++)
		await rig.send({ path: `/json?new${i}` });
	await page.locator("#pill", { hasText: "3 new" }).waitFor();
	const held = await firstRow(page);
	assert.equal(held[0], before[0]);
	assert.ok(Math.abs(held[1] - before[1]) < 1, `moved by ${held[1] - before[1]}`);
	await shot(page, "pill");
	await page.locator("#pill").click();
	await row(page, "/json?new2").waitFor();
	assert.equal(await page.locator("#pill").isVisible(), false);
	/* At the top new rows come in sight, but not while the pointer is over the row it may press. */
	await page.mouse.move(5, 5);
	await rig.send({ path: "/json?seen" });
	await row(page, "/json?seen").waitFor();
	const target = await row(page, "/json?seen").boundingBox();
	await page.mouse.move(target.x + 200, target.y + 10);
	await rig.send({ path: "/json?under" });
	await page.locator("#pill", { hasText: "1 new" }).waitFor();
	await page.mouse.down();
	await page.mouse.up();
	assert.match(await page.locator("#detail .d-path").innerText(), /seen/);
	await page.mouse.move(5, 5);
	await row(page, "/json?under").waitFor();
	quiet(page);
});

it("a long path keeps both its ends and fits, at every width", async ({ browser }) => {
	for (const width of [1440, 900, 390]) {
		const { rig, page } = await open(browser, {}, { viewport: { width, height: 700 } });
		const id = await rig.send({ path: "/json/" + "folder/".repeat(60) + "?last=here" });

		await row(page, "?last=here").waitFor();
		rig.mock.byId.get(id).entry.pinned = true;
		await rig.send({ path: "/json?short" });
		for (const opened of [false, true]) {
			if (opened)
				await row(page, "/json?short").click();
			if (opened && width < 700)
				break;
			await page.waitForTimeout(50);
			const got = await page.evaluate(() => {
				const el = [...document.querySelectorAll("#list .p-text")].find(one => one.textContent.includes("last="));
				const cell = el.parentElement.getBoundingClientRect();
				return { text: el.textContent, cut: el.scrollWidth > el.clientWidth, left: cell.right - el.getBoundingClientRect().right };
			});
			assert.match(got.text, /^\/json\/.*….*last=here$/);
			assert.equal(got.cut, false, "the browser does not have to cut it again");
			assert.ok(got.left < 9, `${got.left} px are left at ${width}`);
		}
		quiet(page);
	}
});

it("no layout shift while requests arrive and one is open", async ({ browser }) => {
	const { rig, page } = await open(browser, { entries: 100 });

	await row(page, "/").first().waitFor();
	await page.locator("#list .row").nth(5).click();
	await pageText(page, "URL");
	await page.waitForTimeout(600);
	await page.evaluate(() => {
		window.shift = 0;
		new PerformanceObserver(list => {
			for (const e of list.getEntries())
				window.shift += e.sources.some(s => s.node && s.node.parentElement && s.node.parentElement.closest("#list")) ? 0 : e.value;
		}).observe({ type: "layout-shift" });
	});
	for (let i = 0; i < 8; i++) {
		await rig.send({ path: `/json?shift${i}` });
		await page.waitForTimeout(120);
	}
	await row(page, "/json?shift7").waitFor();
	assert.ok(await page.evaluate(() => window.shift) < 0.001);
	quiet(page);
});

it("a slow answer: the row waits, then is filled where it stands", async ({ browser }) => {
	const { rig, page } = await open(browser, { entries: 0 });

	rig.mock.delay = 700;
	const done = rig.send({ path: "/json?slow" });
	await page.locator("#list .row.open", { hasText: "/json?slow" }).waitFor();
	await openRow(page, "/json?slow");
	await pageText(page, "Waiting for it");
	await done;
	await page.locator("#list .row.s2", { hasText: "/json?slow" }).waitFor();
	await pageText(page, '"deep": true');
	quiet(page);
});

it("a body that grows does not move what is being read", async ({ browser }) => {
	const { rig, page } = await open(browser, {});
	const tx = rig.mock.begin({ path: "/growing" });
	const lines = n => Buffer.from(Array.from({ length: n }, (_, i) => `line ${i}\n`).join(""));
	const grow = n => {
		rig.mock.finish(tx, { status: 200, headers: [["Content-Type", "text/plain"]], body: lines(n) }, n, "open");
		rig.mock.tell({ ev: "updated", entry: tx.entry });
	};

	grow(300);
	await openRow(page, "/growing");
	await openTab(page, "body");
	await pageText(page, "line 299");
	grow(400);
	await pageText(page, "line 399");
	await page.locator("#page").evaluate(el => {
		el.scrollTop = 777;
	});
	grow(500);
	await page.getByRole("button", { name: "More came" }).waitFor();
	assert.equal(await page.locator("#page").evaluate(el => el.scrollTop), 777);
	assert.equal((await page.locator("#page").innerText()).includes("line 499"), false);
	await page.getByRole("button", { name: "More came" }).click();
	await pageText(page, "line 499");
	assert.equal(await page.locator("#page").evaluate(el => el.scrollTop), 777);
	quiet(page);
});

it("pgrok goes and comes back: said, and the list is made right again", async ({ browser }) => {
	const { rig, page } = await open(browser, { entries: 5 });
	const port = Number(new URL(rig.url).port);

	await page.locator("#filter-note", { hasText: "5 requests" }).waitFor();
	await rig.mock.stop();
	await page.locator("#state.lost").waitFor();
	await page.locator("#banner", { hasText: "does not answer" }).waitFor();
	await shot(page, "lost");
	await browser.also(new Mock({ entries: 2 })).start(port);
	await page.locator("#state.online").waitFor({ timeout: 15000 });
	await page.locator("#filter-note", { hasText: "2 requests" }).waitFor();
	assert.equal(await page.locator("#banner").isVisible(), false);
	/* A connection that failed is in the browser's own log: nothing else may be. */
	assert.deepEqual(page.complaints.filter(text => !/ERR_CONNECTION_REFUSED|WebSocket connection to/.test(text)), []);
});

it("the server's reconnects are shown", async ({ browser }) => {
	const { rig, page } = await open(browser, { entries: 1 });

	rig.mock.status = "reconnecting";
	rig.mock.error = "connection refused";
	rig.mock.tell({ ev: "state", state: rig.mock.state() });
	await page.locator("#state.reconnecting", { hasText: "reconnecting" }).waitFor();
	await page.locator("#banner", { hasText: "connection refused" }).waitFor();
	quiet(page);
});

it("the divider drags, takes keys, and is remembered", async ({ browser }) => {
	const { page } = await open(browser, { entries: 30 });
	const width = () => page.locator("#list-pane").evaluate(el => el.clientWidth);

	await page.locator("#list .row").nth(1).click();
	const before = await width();
	const box = await page.locator("#divider").boundingBox();
	await page.mouse.move(box.x, box.y + 300);
	await page.mouse.down();
	await page.mouse.move(box.x + 150, box.y + 300, { steps: 4 });
	await page.mouse.up();
	const dragged = await width();
	assert.ok(Math.abs(dragged - before - 150) < 4, `${before} to ${dragged}`);
	await page.locator("#divider").focus();
	await page.keyboard.press("ArrowLeft");
	const stepped = await width();
	assert.ok(stepped < dragged);
	await page.reload();
	await page.locator("#detail .d-badge .badge").waitFor();
	assert.equal(await width(), stepped, "and the address brought the request back");
	quiet(page);
});

it("server-sent events, filtered and followed", async ({ browser }) => {
	const { rig, page } = await open(browser, { entries: 3 });
	const tx = rig.mock.stream("sse", "/events");
	const push = i => rig.mock.push(tx, { type: "event", event: i % 2 ? "price" : "message", id: String(i), text: `{"n":${i}}` });

	for (let i = 0; i < 2500; i++)
		push(i);
	await openRow(page, "/events");
	await openTab(page, "frames");
	await page.locator(".frames-note", { hasText: "2,500 frames" }).waitFor();
	await page.locator(".frow", { hasText: '{"n":2499}' }).waitFor();
	push(2500);
	await page.locator(".frow", { hasText: '{"n":2500}' }).waitFor();
	assert.ok(await page.locator(".frow").count() < 120);
	await page.getByLabel("Filter the frames").fill('"n":17}');
	await page.locator(".frames-note", { hasText: "1 of 2,501" }).waitFor();
	await page.getByLabel("Filter the frames").fill("");
	await page.locator(".frames").evaluate(el => {
		el.scrollTop = 2400;
	});
	await page.waitForTimeout(150);
	const shown = await page.locator(".frow:visible").first().innerText();
	push(2501);
	await page.locator(".frames-note", { hasText: "2,502 frames" }).waitFor();
	assert.equal(await page.locator(".frow:visible").first().innerText(), shown, "reading older ones is not disturbed");
	await shot(page, "events");
	quiet(page);
});

it("cut and broken bodies say so, and can't be replayed by mistake", async ({ browser }) => {
	const { rig, page } = await open(browser, { maxBody: 1000 });
	const big = Buffer.alloc(5000, "x");
	const tx = rig.mock.begin({ method: "POST", path: "/upload", headers: [["Content-Type", "text/plain"]], body: big });

	tx.request.body = big.subarray(0, 1000);
	tx.request.size = 5000;
	tx.entry.truncated = true;
	rig.mock.finish(tx, { status: 200, headers: [["Content-Encoding", "gzip"]], body: Buffer.from("not gzip") }, 5);
	rig.mock.tell({ ev: "finished", entry: tx.entry });
	await openRow(page, "/upload");
	await openTab(page, "body");
	await pageText(page, "Decoding stopped");
	await page.getByRole("button", { name: /^Request / }).click();
	await pageText(page, "Only 1.0 kB of 5.0 kB were kept");
	await page.keyboard.press("r");
	await page.locator(".toast", { hasText: "not kept whole" }).waitFor();
	await page.keyboard.press("e");
	await page.getByText("Only a part of the body was kept").waitFor();
	await page.keyboard.press("Escape");
	page.complaints = page.complaints.filter(text => !text.includes("409"));
	quiet(page);
});

it("what nobody edited is sent as it was", async ({ browser }) => {
	const { rig, page } = await open(browser, {});
	const { gzipSync } = await import("node:zlib");

	await rig.send({ method: "POST", path: "/hook/packed", headers: [["Content-Type", "application/json"], ["Content-Encoding", "gzip"]],
		body: gzipSync('{"a":1}') });
	await openRow(page, "/hook/packed");
	await page.keyboard.press("e");
	await page.getByRole("dialog").getByLabel("Path").fill("/hook/packed?2");
	await page.keyboard.press("Control+Enter");
	await page.locator("#tab-compare[aria-selected=true]").waitFor();
	assert.deepEqual(Object.keys(rig.mock.lastReplay).sort(), ["id", "path", "times"]);
	await openRow(page, "/hook/packed");
	await page.locator("#list .row").last().click();
	await page.keyboard.press("e");
	await page.getByText("sent decoded").waitFor();
	await page.getByRole("dialog").getByRole("textbox", { name: "Body" }).fill('{"a":2}');
	await page.keyboard.press("Control+Enter");
	await page.locator(".editor").waitFor({ state: "detached" });
	assert.equal(rig.mock.lastReplay.body, '{"a":2}');
	assert.equal(rig.mock.lastReplay.headers.some(([name]) => name.toLowerCase() === "content-encoding"), false);
	quiet(page);
});

it("reduced motion is respected", async ({ browser }) => {
	const { rig, page } = await open(browser, {}, { reducedMotion: "reduce" });

	rig.mock.delay = 3000;
	rig.send({ path: "/json?still" });
	await page.locator("#list .row.open").waitFor();
	assert.equal(await page.locator("#list .row.open .dot").evaluate(el => getComputedStyle(el).animationName), "none");
	rig.mock.delay = 0;
	quiet(page);
});
