// The README's pictures: node screenshots.mjs FOLDER (make screenshots). The page is the real one, its traffic made up.
import path from "node:path";
import { openBrowser } from "./lib.mjs";
import { Mock } from "./mock.mjs";
import { OPERATORS_TOKEN, adminRig } from "./rig.mjs";
import { terminalPicture } from "./terminal.mjs";

const SIZE = { width: 1200, height: 760 };
const folder = process.argv[2];
const browser = await openBrowser();

async function picture(name, colorScheme, play) {
	const mock = browser.also(await new Mock({ entries: 200, tunnels: 3 }).start());
	const page = await browser.page(mock.url + "/http/in", { viewport: SIZE, colorScheme });
	const newest = (method, where) => [...mock.all].reverse().find(tx => tx.entry.method === method && tx.entry.path.startsWith(where)).entry.id;

	await page.locator("#filter-note", { hasText: "requests" }).waitFor();
	await play({ mock, page, open: (id, tab) => page.evaluate(hash => {
		location.hash = hash;
	}, `#${id}/${tab}`), newest });
	await page.mouse.move(5, 5);
	await page.waitForTimeout(1200); /* what was just now is so, and no message covers anything */
	await page.screenshot({ path: path.join(folder, name), animations: "disabled" });
	await browser.tidy();
}

/* The last minute's traffic, for the rate at the top. */
async function busy(mock) {
	const paths = ["/hook/orders", "/json?page=2", "/image.png", "/count", "/missing", "/orders"];

	for (let i = 0; i < 30; i++)
		await mock.exchange({ method: i % 6 ? "GET" : "POST", path: paths[i % 6], start: Date.now() - (30 - i) * 1700 - (i % 4) * 900 });
}

await picture("inspector-light.png", "light", async ({ mock, page, open, newest }) => {
	await busy(mock);
	await page.locator("#list .row", { hasText: "/hook/orders" }).first().waitFor();
	await open(newest("POST", "/webhooks/stripe"), "summary");
	await page.locator("#page .tree").first().waitFor();
});

await picture("inspector-dark.png", "dark", async ({ mock, page, open }) => {
	const id = await mock.exchange({ method: "POST", path: "/echo?order=81f2", headers: [["Content-Type", "application/json"]],
		body: Buffer.from('{"order":"81f2","card":{"brand":"visa","last4":"4242"},"amount":129900,"currency":"eur","retry":false}') });

	await page.locator("#list .row", { hasText: "/echo" }).waitFor();
	await open(id, "body");
	await page.keyboard.press("e");
	await page.getByRole("textbox", { name: "Body" }).fill(
		'{"order":"81f2","card":{"brand":"visa","last4":"0341"},"amount":129900,"currency":"eur","retry":true}');
	await page.keyboard.press("Control+Enter");
	await page.locator(".diff .added", { hasText: "0341" }).waitFor();
});
/* The operator's page, with the real server behind it. */
async function adminPicture(name) {
	const rig = browser.also(await adminRig());
	const page = await browser.page(`${rig.url}?token=${OPERATORS_TOKEN}`, { viewport: SIZE, colorScheme: "light" });

	for (let i = 0; i < 40; i++) {
		await rig.visit(["shop", "blog", "api"][i % 3], { path: "/orders" });
		await page.waitForTimeout(250); /* the sparklines' last ten seconds */
	}
	await page.locator("#rows .line").first().waitFor();
	await page.mouse.move(5, 5);
	await page.screenshot({ path: path.join(folder, name), animations: "disabled" });
	await browser.tidy();
}

await adminPicture("admin-light.png");
await terminalPicture(browser, path.join(folder, "terminal.png"));
await browser.close();
