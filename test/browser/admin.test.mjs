// The operator's page, with the real server behind it.
import assert from "node:assert/strict";
import { quiet, shot, suite } from "./lib.mjs";
import { contrastFaults } from "./page.mjs";
import { OPERATORS_TOKEN as TOKEN, adminRig } from "./rig.mjs";

const MANY = 10000;
const it = suite(adminRig);
const line = (page, text) => page.locator("#rows .line:not([hidden])", { hasText: text });

/* The page, let in. */
async function open(browser, rig, options) {
	const page = await browser.page(rig.url + "?token=" + TOKEN, options);

	await page.locator("#state.online").waitFor();
	return page;
}

it("a person is asked for the token, once", async ({ rig, browser }) => {
	const page = await browser.page(rig.url);

	await page.locator("#token").fill("wrong");
	await page.getByRole("button", { name: "Open" }).click();
	await page.locator("#token").fill(TOKEN);
	await page.getByRole("button", { name: "Open" }).click();
	await page.locator("#state.online").waitFor();
	assert.equal(page.url(), rig.url);
	await page.reload();
	await line(page, "shop.pgrok").waitFor();
	assert.ok(page.complaints.every(text => text.includes("401")), page.complaints.join("\n"));
});

it("tunnels are listed, sorted, filtered, and closed after a question", async ({ rig, browser }) => {
	const page = await open(browser, rig);

	await line(page, "shop.pgrok").waitFor();
	for (let i = 0; i < 20; i++)
		await rig.visit("blog", { path: "/hook/x" });
	await page.waitForFunction(() => /[1-9]/.test(document.querySelector("#cards").children[3].innerText));
	await line(page, "blog.pgrok").locator("[role=cell]", { hasText: /^20$/ }).waitFor();
	await page.getByRole("button", { name: "In all", exact: true }).click();
	assert.match(await page.locator("#rows .line[aria-rowindex='2']").innerText(), /blog\.pgrok/);
	await page.getByRole("button", { name: "Tunnel", exact: true }).click();
	assert.match(await page.locator("#rows .line[aria-rowindex='2']").innerText(), /api\.pgrok/);
	await page.locator("#filter").fill("ALICE sho");
	await page.locator("#note", { hasText: "1 of 3" }).waitFor();
	await page.locator("#filter").fill("");
	await page.getByRole("button", { name: /^Close http:\/\/shop/ }).click();
	await page.getByRole("button", { name: "Cancel" }).click();
	await page.getByRole("button", { name: /^Close http:\/\/shop/ }).click();
	await page.getByRole("button", { name: "Close it" }).click();
	await line(page, "shop.pgrok").waitFor({ state: "detached" });
	await page.locator("#toasts", { hasText: "Closed 1 tunnel" }).waitFor();
	assert.equal(await line(page, "pgrok.localhost").count(), 2);
	quiet(page);
});

it("owners are listed, and a token is revoked after a question", async ({ rig, browser }) => {
	const page = await open(browser, rig);

	await page.locator("#show-owners").click();
	assert.match(await line(page, "bob").innerText(), /2099-01-31/);
	assert.match(await line(page, "alice").innerText(), /of 20/);
	await page.getByRole("button", { name: "Revoke bob" }).click();
	await page.getByRole("button", { name: "Revoke it" }).click();
	await line(page, "bob").waitFor({ state: "detached" });
	await page.locator("#show-tunnels").click();
	await line(page, "blog.pgrok").waitFor();
	await line(page, "api.pgrok").waitFor({ state: "detached" });
	await rig.client("tb", "again").then(() => assert.fail("bob was let in"), () => {});
	await page.locator("#show-refusals").click();
	await line(page, "clients").first().waitFor();
	quiet(page);
});

it("light, dark and on a phone, with contrast", async ({ rig, browser }) => {
	for (const options of [{ colorScheme: "light" }, { colorScheme: "dark" }, { viewport: { width: 390, height: 780 } }]) {
		const page = await open(browser, rig, options);
		const name = options.colorScheme || "phone";

		for (const kind of ["tunnels", "owners", "refusals"]) {
			await page.locator("#show-" + kind).click();
			await page.locator("#rows .line").first().waitFor();
			await shot(page, `admin-${kind}-${name}`);
			const { bad, texts } = await page.evaluate(contrastFaults);
			assert.deepEqual(bad, [], `${kind}, ${name}`);
			assert.ok(texts > 15, `${texts} texts were measured`);
		}
		const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
		assert.ok(wide <= 0, `${wide} px stick out`);
		const nameless = await page.evaluate(() => [...document.querySelectorAll("button, input, a[href], [role=table]")]
			.filter(el => !(el.getAttribute("aria-label") || el.innerText.trim() || el.labels && el.labels.length)).map(el => el.outerHTML));
		assert.deepEqual(nameless, []);
		quiet(page);
	}
});

/* Runs in the page. Through the whole table; times between frames, and how many rows were elements at most. */
function scrollThrough() {
	const port = document.getElementById("rows");
	const gaps = [];
	let last = performance.now();
	let most = 0;

	return new Promise(resolve => {
		let i = 0;
		const step = () => {
			const now = performance.now();

			gaps.push(now - last);
			last = now;
			port.scrollTop = (port.scrollHeight - port.clientHeight) * (i % 60) / 60;
			most = Math.max(most, port.querySelectorAll(".line").length);
			if (++i < 180)
				requestAnimationFrame(step);
			else
				resolve({ most, median: gaps.sort((a, b) => a - b)[gaps.length >> 1], worst: gaps[gaps.length - 1] });
		};
		requestAnimationFrame(step);
	});
}

it("10,000 tunnels scroll", async ({ rig, browser }) => {
	const page = await open(browser, rig);
	const rows = Array.from({ length: MANY }, (_, i) => ({ name: `n${i}.pgrok.localhost`, url: `http://n${i}.pgrok.localhost`,
		owner: `owner${i % 50}`, since: "2026-01-01T00:00:00Z", visitors_now: i % 7, visitors: i, bytes_in: i * 1000, bytes_out: i * 5000,
		last_request: null, rtt_ms: 1.5 }));

	await page.route("**/tunnels", route => route.fulfill({ json: { tunnels: rows } }));
	await page.locator("#note", { hasText: "10,000" }).waitFor();
	const got = await page.evaluate(scrollThrough);
	console.log(`10,000 tunnels: ${got.most} rows are elements, ${got.median.toFixed(1)} ms between frames, ${got.worst.toFixed(0)} at most`);
	assert.ok(got.most < 150, `${got.most} rows are elements`);
	assert.ok(got.median < 50, `${got.median} ms between frames`);
	await page.locator("#filter").fill("n9999.");
	await page.locator("#note", { hasText: "1 of 10,000" }).waitFor();
	quiet(page);
});
