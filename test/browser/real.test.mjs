// The page against the real thing: the pair from PGROK_BIN, or a look at a running pgrok (PGROK_INSPECT_URL).
import test from "node:test";
import { BIN, RUNNING, realRig } from "./rig.mjs";
import { openBrowser, quiet, shot } from "./lib.mjs";
import { cases } from "./cases.mjs";

cases(() => realRig(), BIN ? false : "PGROK_BIN is not set");

test("a pgrok that runs already shows its page", { skip: RUNNING ? false : "PGROK_INSPECT_URL is not set" }, async () => {
	const browser = await openBrowser();

	try {
		const page = await browser.page(RUNNING);
		await page.locator("#state.online").waitFor();
		await shot(page, "running");
		quiet(page);
	} finally {
		await browser.close();
	}
});
