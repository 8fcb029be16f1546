// Screenshots of the page with made-up traffic, for looking at: node shots.mjs [name part]
import { openBrowser, shot } from "./lib.mjs";
import { Mock } from "./mock.mjs";

const SIZES = [[1440, 900], [900, 700], [390, 844]];
const only = process.argv[2] || "";

const mock = await new Mock({ entries: 200, tunnels: 2 }).start();
const empty = await new Mock({ entries: 0, tunnels: 2 }).start();
const browser = await openBrowser();
const find = (method, path) => [...mock.all].reverse().find(tx => tx.entry.method === method && tx.entry.path.startsWith(path)).entry.id;
const hook = find("POST", "/webhooks/stripe");
const run = async (name, width, height, colorScheme, hash, then, from = mock) => {
	const full = `${name}-${width}-${colorScheme}`;

	if (!full.includes(only))
		return;
	const page = await browser.page(`${from.url}/http/in${hash}`, { viewport: { width, height }, colorScheme,
		isMobile: width < 500, hasTouch: width < 500, deviceScaleFactor: width < 500 ? 2 : 1 });
	await page.waitForTimeout(500);
	if (then)
		await then(page);
	await page.waitForTimeout(300);
	await shot(page, full);
	if (page.complaints.length)
		console.log(full, page.complaints);
	await page.context().close();
};

const ws = mock.stream("websocket", "/live?room=7");
for (let i = 0; i < 60; i++)
	mock.push(ws, i % 3 ? { text: JSON.stringify({ type: "tick", n: i, price: 101.5 + i }) } :
		{ from: "client", text: `{"subscribe":"room-${i}"}`, type: i % 9 ? "text" : "ping" });
for (const [width, height] of SIZES)
	for (const scheme of ["light", "dark"]) {
		await run("list", width, height, scheme, "");
		await run("summary", width, height, scheme, `#${hook}/summary`);
		await run("body", width, height, scheme, `#${hook}/body`, async page => {
			await page.getByRole("button", { name: /^Request \d/ }).click();
		});
		await run("headers", width, height, scheme, `#${hook}/headers`);
		await run("timing", width, height, scheme, `#${find("GET", "/api")}/timing`);
		await run("frames", width, height, scheme, `#${ws.entry.id}/frames`, async page => {
			await page.locator(".frow").nth(8).click();
		});
		await run("raw", width, height, scheme, `#${hook}/raw`);
		await run("empty", width, height, scheme, "", null, empty);
		await run("edit", width, height, scheme, `#${hook}/summary`, page => page.keyboard.press("e"));
		await run("keys", width, height, scheme, "", page => page.keyboard.press("?"));
		await run("status", width, height, scheme, "", page => page.keyboard.press("i"));
		await run("filter", width, height, scheme, "", async page => {
			await page.locator("#filter").fill("method:post status:5xx");
		});
	}
const counter = await mock.exchange({ path: "/count" });
mock.flush();
for (const scheme of ["light", "dark"])
	for (const [width, height] of SIZES) {
		await run("compare", width, height, scheme, `#${counter}/summary`, async page => {
			await page.keyboard.press("r");
			await page.waitForTimeout(600);
		});
		await run("runs", width, height, scheme, `#${counter}/summary`, async page => {
			await page.keyboard.press("x");
			await page.keyboard.type("12");
			await page.keyboard.press("Enter");
			await page.waitForTimeout(900);
		});
	}
await browser.close();
await mock.stop();
await empty.stop();

