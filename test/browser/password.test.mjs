// A tunnel's password, as a person with a browser meets it.
import assert from "node:assert/strict";
import { shot, suite } from "./lib.mjs";
import { contrastFaults } from "./page.mjs";
import { PASSWORD, passwordRig } from "./rig.mjs";

const it = suite(passwordRig);
/* The browser complains of a page that is refused, and of the site's icon, which it has not. */
const unexpected = page => page.complaints.filter(text => !/status of 401|favicon\.ico/.test(text));

it("wrong, then right, then remembered", async ({ rig, browser }) => {
	const page = await browser.page(rig.url + "/json?page=2");
	const field = page.locator("input[type=password]");

	assert.equal(await page.evaluate(() => document.activeElement.type), "password");
	await field.fill("wrong");
	await page.keyboard.press("Enter");
	await page.getByRole("alert").getByText("not the password").waitFor();
	await shot(page, "password-wrong");
	await field.fill(PASSWORD);
	await page.keyboard.press("Enter");
	await page.waitForURL(rig.url + "/json?page=2");
	assert.deepEqual(unexpected(page), []);
	assert.equal((await page.goto(rig.url + "/image.png")).status(), 200);
	const cookies = await page.context().cookies();
	assert.equal(cookies.length, 1);
	assert.deepEqual([cookies[0].httpOnly, cookies[0].sameSite, cookies[0].path], [true, "Lax", "/"]);
	assert.equal(await page.evaluate(() => document.cookie), "");
	assert.deepEqual(unexpected(page), []);
});

it("light, dark and on a phone, with contrast", async ({ rig, browser }) => {
	for (const options of [{ colorScheme: "light" }, { colorScheme: "dark" }, { viewport: { width: 390, height: 780 } }]) {
		const page = await browser.page(rig.url, options);
		const { bad, texts } = await page.evaluate(contrastFaults);

		await shot(page, `password-${options.colorScheme || "phone"}`);
		assert.deepEqual(bad, []);
		assert.ok(texts > 1, `${texts} texts were measured`);
		assert.ok(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth) <= 0);
		assert.deepEqual(await page.evaluate(() => [...document.querySelectorAll("input:not([type=hidden]), button")]
			.filter(el => !(el.labels && el.labels.length || el.innerText.trim())).map(el => el.outerHTML)), []);
		assert.deepEqual(unexpected(page), []);
	}
});
