// The page with the real pair behind it.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { quiet, shot, suite } from "./lib.mjs";
import { realRig } from "./rig.mjs";
import { contrastFaults, openRow, openTab, pageText, row, tab } from "./page.mjs";
import { PIXEL } from "./service.mjs";

const JSON_HEAD = [["Content-Type", "application/json"]];
const utf8 = text => Buffer.from(text);

const view = (page, name) => page.locator(".body-tools .seg", { hasText: new RegExp(`^${name}$`) });

function liveCases() {
	it("the empty page shows where to send the first request", async ({ page, rig }) => {
		await page.getByText("Waiting for the first request").waitFor();
		const url = await page.locator(".try-url a").first().innerText();
		assert.match(url, /^https?:\/\/(web|api)\./);
		await page.locator(".try").first().getByRole("button", { name: `Copy ${url}` }).click();
		assert.equal(await page.evaluate(() => navigator.clipboard.readText()), url);
		await page.waitForFunction(() => document.querySelector(".qr").naturalWidth > 0);
		assert.equal(await page.locator("#chips .chip").count(), 2);
		await page.locator("#state.online").waitFor();
		await shot(page, "empty");
	});

	it("a request arrives live", async ({ page, rig }) => {
		await rig.send({ method: "POST", path: "/hook/live?x=1", headers: JSON_HEAD, body: utf8('{"a":1}') });
		const got = row(page, "/hook/live?x=1");
		await got.waitFor();
		assert.match(await got.innerText(), /200[\s\S]*POST/);
		assert.match(await got.locator(".c-dur").innerText(), /\d ms$/);
		assert.match(await got.locator(".c-size").innerText(), /\d+ B$/);
		assert.equal(await got.locator(".dot").count(), 1);
		await rig.send({ path: "/missing" });
		await page.locator("#list .row.s4", { hasText: "/missing" }).waitFor();
		await page.locator("#rate-text", { hasText: /^[1-9]\d*\/min$/ }).waitFor();
	});

	it("filter: words, fields, headers and bodies", async ({ page, rig }) => {
		await rig.send({ method: "PUT", path: "/hook/filter-one", headers: [...JSON_HEAD, ["X-Colour", "vermilion"]], body: utf8('{"fish":"sardine"}') });
		await rig.send({ path: "/crash" });
		await rig.send({ path: "/long" });
		await row(page, "/long").waitFor();
		const want = async (text, has, hasNot) => {
			await page.locator("#filter").fill(text);
			await row(page, has).first().waitFor();
			await row(page, hasNot).first().waitFor({ state: "detached" }).catch(() => {});
			assert.equal(await page.locator("#list .row:visible", { hasText: hasNot }).count(), 0, `${text} must hide ${hasNot}`);
		};
		await want("filter-one", "/hook/filter-one", "/crash");
		await want("method:put", "/hook/filter-one", "/crash");
		await want("status:5xx", "/crash", "/long");
		await want("-status:2xx", "/crash", "/long");
		await want("path:/long size>100k", "/long", "/crash");
		await want("host:web size<1k method:get status:>=500", "/crash", "/hook/filter-one");
		await want("header:vermilion", "/hook/filter-one", "/crash");
		await want("header:x-colour=verm", "/hook/filter-one", "/crash");
		await want("body:sardine", "/hook/filter-one", "/crash");
		await want('body:"brown fox" time<60s', "/long", "/hook/filter-one");
		await page.locator("#filter").fill("size>lots");
		await page.locator("#filter-note.warn", { hasText: "not understood" }).waitFor();
		await page.locator("#filter").fill("nothing-has-this");
		await page.getByText("No request matches the filter").waitFor();
		await page.getByRole("button", { name: "Clear the filter" }).click();
		await row(page, "/crash").first().waitFor();
		/* The hints must not cover what was just brought back. */
		assert.equal(await page.locator("#filter-hints").isVisible(), false);
	});
}

function tabCases() {
	it("every tab opens", async ({ page, rig }) => {
		await rig.send({ method: "POST", path: "/hook/tabs?colour=blue&n=%C3%BC", headers: [...JSON_HEAD, ["X-Twice", "1"], ["x-twice", "2"]],
			body: utf8('{"big":12345678901234567890,"list":[1,2,{"deep":null}],"text":"grüße"}') });
		await openRow(page, "/hook/tabs");
		let text = await pageText(page, "Query");
		assert.match(text, /colour\s+blue/);
		assert.match(text, /n\s+ü/);
		assert.match(text, /12345678901234567890/, "numbers keep their digits");
		await shot(page, "summary");
		await openTab(page, "headers");
		text = await pageText(page, "X-Twice");
		assert.match(text, /X-Twice\s+1[\s\S]*x-twice\s+2/, "order and case as sent");
		await shot(page, "headers");
		await openTab(page, "body");
		await page.getByRole("button", { name: /^Request / }).click();
		await pageText(page, "grüße");
		await shot(page, "body");
		await openTab(page, "timing");
		text = await pageText(page, "Wait for the answer");
		assert.match(text, /Send the request/);
		assert.equal(await page.locator(".w-bar").count() >= 3, true);
		await shot(page, "timing");
		await openTab(page, "compare");
		await pageText(page, "Not replayed yet");
		await openTab(page, "raw");
		text = await pageText(page, "POST /hook/tabs?colour=blue");
		assert.match(text, /HTTP\/1\.1\n[\s\S]*"received"/);
		await shot(page, "raw");
		assert.equal(await tab(page, "frames").isVisible(), false);
	});

	it("JSON folds, and a mistake in it is marked", async ({ page, rig }) => {
		await rig.send({ path: "/json" });
		await openRow(page, "/json");
		await openTab(page, "body");
		await pageText(page, '"deep": true');
		await page.locator(".tree summary").first().focus();
		await page.keyboard.press("ArrowDown");
		await page.keyboard.press("ArrowLeft");
		assert.match(await page.locator(".tree").innerText(), /"list": \[\s*3 items \]/);
		await rig.send({ path: "/broken.json" });
		await openRow(page, "/broken.json");
		await openTab(page, "body");
		const text = await pageText(page, "Not valid JSON");
		assert.match(text, /line 2, column 13/);
		assert.equal(await page.locator(".error-mark").innerText(), ",");
		await shot(page, "broken-json");
	});

	it("XML, form, multipart, image, text, hex", async ({ page, rig }) => {
		const parts = utf8('--xyz\r\nContent-Disposition: form-data; name="title"\r\n\r\nHello\r\n--xyz\r\nContent-Disposition: form-data; ' +
			'name="pic"; filename="a b.png"\r\nContent-Type: image/png\r\n\r\n');
		await rig.send({ path: "/xml" });
		await openRow(page, "/xml");
		await openTab(page, "body");
		await pageText(page, "<item>book</item>");
		await rig.send({ path: "/broken.xml" });
		await openRow(page, "/broken.xml");
		assert.match(await pageText(page, "Not valid XML"), /ends nothing that is open|is never closed/);
		await rig.send({ method: "POST", path: "/hook/form", headers: [["Content-Type", "application/x-www-form-urlencoded"]],
			body: utf8("name=Ada+L&mail=a%40b.c") });
		await openRow(page, "/hook/form");
		await page.getByRole("button", { name: /^Request / }).click();
		assert.match(await pageText(page, "Ada L"), /mail\s+a@b\.c/);
		await rig.send({ method: "POST", path: "/hook/parts", headers: [["Content-Type", "multipart/form-data; boundary=xyz"]],
			body: Buffer.concat([parts, PIXEL, utf8("\r\n--xyz--\r\n")]) });
		await openRow(page, "/hook/parts");
		await page.getByRole("button", { name: /^Request / }).click();
		assert.match(await pageText(page, "a b.png"), /2 parts[\s\S]*title[\s\S]*Hello/);
		await page.waitForFunction(() => document.querySelector(".part .picture").naturalWidth === 48);
		await rig.send({ path: "/image.png" });
		await openRow(page, "/image.png");
		await page.waitForFunction(() => document.querySelector(".figure .picture").naturalWidth === 48);
		await rig.send({ path: "/text" });
		await openRow(page, "/text");
		await pageText(page, "hello, wörld");
		await rig.send({ path: "/binary" });
		await openRow(page, "/binary");
		assert.match(await pageText(page, "00000010"), /00000010 {2}10 11 12/);
	});

	it("a coded body is decoded, and shown as sent when asked", async ({ page, rig }) => {
		await rig.send({ path: "/gzip", headers: [["Accept-Encoding", "gzip"]] });
		await openRow(page, "/gzip");
		await openTab(page, "body");
		await pageText(page, '"packed": true');
		assert.match(await page.locator(".size-text").innerText(), /gzip, [\d.]+ \w+ decoded/);
		await page.getByRole("button", { name: /^decoded/ }).click();
		await pageText(page, "1f 8b 08");
		await page.getByRole("button", { name: /^as sent/ }).click();
		await pageText(page, '"packed": true');
	});

	it("a long body comes in pieces", async ({ page, rig }) => {
		await rig.send({ path: "/long" });
		await openRow(page, "/long");
		await openTab(page, "body");
		await pageText(page, "line 10:");
		const length = () => page.locator("#page pre.text").evaluate(el => el.textContent.length);
		const first = await length();
		assert.ok(first < 300000, `${first} characters at once`);
		for (let i = 0; i < 40 && !(await page.locator("#page pre.text").innerText()).includes("line 12000:"); i++) {
			await page.locator("#page").evaluate(el => el.scrollTo(0, el.scrollHeight));
			await page.waitForTimeout(100);
		}
		assert.ok(await length() >= 600000, "scrolling loads the rest");
	});

	it("WebSocket messages as they come", async ({ page, rig }) => {
		const close = await rig.talk("/live-socket", ["one", '{"two":2}']);
		await row(page, "/live-socket").first().waitFor();
		await openRow(page, "/live-socket");
		await openTab(page, "frames");
		await page.locator(".frow", { hasText: 'echo {"two":2}' }).waitFor();
		assert.equal(await page.locator(".frow.in:visible").count(), 2);
		assert.equal(await page.locator(".frow.out:visible").count(), 2);
		await page.locator(".frow", { hasText: /^↑.*\{"two":2\}/ }).click();
		await page.locator(".frame-one .tree", { hasText: '"two": 2' }).waitFor();
		await shot(page, "frames");
		close();
		await page.locator(".frow.t-close", { hasText: "1000 bye" }).first().waitFor();
		assert.match(await row(page, "/live-socket").first().locator(".c-size").innerText(), /^\d+ msg$/);
	});
}

function replayCases() {
	it("replay, and its answer against the first", async ({ page, rig }) => {
		await rig.send({ path: "/count?replay" });
		await openRow(page, "/count?replay");
		await page.getByRole("button", { name: "Replay", exact: true }).click();
		await page.locator("#tab-compare[aria-selected=true]").waitFor();
		await page.locator("#runs tbody tr").nth(1).waitFor();
		await page.locator(".diff .removed", { hasText: '"calls":' }).waitFor();
		const removed = await page.locator(".diff .removed", { hasText: '"calls":' }).innerText();
		const added = await page.locator(".diff .added", { hasText: '"calls":' }).innerText();
		assert.equal(Number(/\d+/.exec(added)[0]), Number(/\d+/.exec(removed)[0]) + 1, "the first is the left side");
		assert.equal(await page.locator(".diff .same", { hasText: '"always"' }).count(), 1);
		await row(page, "replay").first().waitFor();
		await shot(page, "compare");
	});

	it("edit and replay: method, path, header, body; then the diff of requests", async ({ page, rig }) => {
		await rig.send({ method: "POST", path: "/echo?edit", headers: JSON_HEAD, body: utf8('{"name":"before","same":1}') });
		await openRow(page, "/echo?edit");
		await page.getByRole("button", { name: "Edit", exact: true }).click();
		const box = page.getByRole("dialog", { name: "Edit and replay" });
		await box.getByLabel("Method").fill("PUT");
		await box.getByLabel("Path").fill("/echo?edited=1");
		await box.getByRole("button", { name: "Add a header" }).click();
		await page.keyboard.type("X-Added");
		await page.keyboard.press("Tab");
		await page.keyboard.type("by hand");
		await box.getByLabel("Body").fill('{"name":"after","same":1');
		await box.getByText("not valid JSON").waitFor();
		await box.getByLabel("Body").fill('{"name":"after","same":1}');
		await box.getByText("valid JSON", { exact: true }).waitFor();
		await box.getByRole("button", { name: "Format" }).click();
		assert.match(await box.getByLabel("Body").inputValue(), /^\{\n +"name": "after",\n/);
		assert.equal(await box.getByRole("button", { name: "Format" }).isVisible(), false, "it is");
		await shot(page, "edit");
		await box.getByRole("button", { name: "Send" }).click();
		await page.locator(".diff .added", { hasText: '"after"' }).waitFor();
		await page.locator(".diff .removed", { hasText: '"before"' }).waitFor();
		await page.getByRole("button", { name: "Requests" }).click();
		await page.locator(".diff .added", { hasText: "PUT /echo?edited=1" }).waitFor();
		await page.locator(".diff .added", { hasText: "X-Added: by hand" }).waitFor();
		await row(page, "edited").first().waitFor();
		await shot(page, "diff");
	});

	it("replay five times: a table of results", async ({ page, rig }) => {
		await rig.send({ path: "/count?times" });
		await openRow(page, "/count?times");
		await page.getByRole("button", { name: "× N" }).click();
		await page.getByRole("spinbutton", { name: "Times" }).fill("5");
		await page.getByRole("dialog").getByRole("button", { name: "Replay", exact: true }).click();
		await page.locator(".runs-sum", { hasText: "5 of 5 replays done · 5 × 200" }).waitFor();
		assert.equal(await page.locator("#runs tbody tr").count(), 6);
		await page.locator("#runs tbody tr").nth(3).getByRole("button").click();
		await page.locator("#runs tr.current", { hasText: /^3/ }).waitFor();
		await shot(page, "runs");
	});

	it("copy as cURL, raw and HAR", async ({ page, rig }) => {
		await rig.send({ method: "POST", path: "/hook/copy?q='x", headers: [...JSON_HEAD, ["X-Quote", "it's \"so\" $HOME `id`"]],
			body: utf8('{"it\'s":"$(id)"}') });
		await openRow(page, "/hook/copy");
		const clip = async (name, wanted) => {
			await page.getByRole("button", { name: "Copy", exact: true }).click();
			await page.getByRole("menuitem", { name }).click();
			await page.waitForFunction(async text => (await navigator.clipboard.readText()).includes(text), wanted);
			return page.evaluate(() => navigator.clipboard.readText());
		};
		const curl = await clip("cURL command", "--data-raw");
		/* A real shell reads the words back as they were. */
		const words = execFileSync("bash", ["-c", `curl() { printf '%s\\n' "$@"; }; ${curl}`]).toString().split("\n");
		assert.ok(words.includes("X-Quote: it's \"so\" $HOME `id`"), words.join("|"));
		assert.ok(words.includes('{"it\'s":"$(id)"}'), words.join("|"));
		assert.match(words[0], /\/hook\/copy\?q='x$/);
		assert.match(await clip("Raw request", "POST /hook/copy"), /\r\n\r\n\{"it's"/);
		assert.match(await clip("Raw answer", "HTTP/1.1 200"), /"received"/);
		const har = JSON.parse(await clip(/^HAR/, '"log"'));
		assert.equal(har.log.version, "1.2");
		assert.equal(har.log.entries[0].request.method, "POST");
	});

	it("pin, mark, note, delete, clear", async ({ page, rig }) => {
		await rig.send({ path: "/json?keep" });
		await rig.send({ path: "/json?away" });
		await openRow(page, "/json?keep");
		await page.getByRole("button", { name: "Pin" }).click();
		await page.locator("#detail button[aria-label=Pin][aria-pressed=true]").waitFor();
		await page.getByRole("button", { name: "Mark" }).click();
		await page.getByRole("menuitem", { name: "violet" }).click();
		await page.locator("#list .row.mark-violet", { hasText: "/json?keep" }).waitFor();
		await page.getByRole("textbox", { name: "Note" }).fill("look here");
		await page.keyboard.press("Enter");
		await page.locator("#filter").fill("is:noted look");
		await row(page, "/json?keep").waitFor();
		await page.locator("#filter").fill("");
		await openRow(page, "/json?away");
		await page.getByRole("button", { name: "Delete" }).click();
		await row(page, "/json?away").waitFor({ state: "detached" });
		await page.getByRole("button", { name: "Clear", exact: true }).click();
		await page.getByRole("dialog").getByRole("button", { name: "Clear" }).click();
		await page.waitForFunction(() => document.querySelectorAll("#list .row:not([hidden])").length === 1);
		await row(page, "/json?keep").waitFor();
		await row(page, "/json?keep").click();
		await page.getByRole("button", { name: "Delete" }).click();
		await page.getByText("Waiting for the first request").waitFor();
	});
}

function accessCases() {
	it("keyboard only: find, read, replay, edit, compare, close", async ({ page, rig }) => {
		const press = async (...keys) => {
			for (const key of keys)
				await page.keyboard.press(key);
		};
		await rig.send({ method: "POST", path: "/echo?keys", headers: JSON_HEAD, body: utf8('{"k":"old"}') });
		await rig.send({ path: "/text?newer" });
		await row(page, "/text?newer").waitFor();
		await press("?");
		await page.getByRole("dialog", { name: "Keyboard" }).waitFor();
		await shot(page, "keys");
		await press("Escape");
		await page.locator("dialog").waitFor({ state: "detached" });
		await press("/");
		await page.keyboard.type("path:/echo");
		await press("Enter", "j");
		await page.locator("#list .row.chosen", { hasText: "/echo?keys" }).waitFor();
		assert.equal(await page.evaluate(() => document.activeElement.id), "list");
		assert.match(await page.locator("#list").getAttribute("aria-activedescendant"), /^row-/);
		for (const [key, name] of [["2", "headers"], ["3", "body"], ["4", "timing"], ["6", "compare"], ["7", "raw"], ["]", "summary"], ["[", "raw"]]) {
			await press(key);
			await page.locator(`#tab-${name}[aria-selected=true]`).waitFor();
		}
		await press("3", "s");
		await pageText(page, '"k": "old"');
		await press("e");
		await page.getByRole("dialog", { name: "Edit and replay" }).waitFor();
		await page.getByRole("textbox", { name: "Body" }).focus();
		await press("Control+a");
		await page.keyboard.type('{"k":"new"}');
		await press("Control+Enter");
		await page.locator(".diff .added", { hasText: '"new"' }).waitFor();
		await press("c");
		await page.waitForFunction(async () => (await navigator.clipboard.readText()).startsWith("curl "));
		await press("y", "u");
		await page.waitForFunction(async () => /^https?:\/\/\S+\/echo\?keys$/.test(await navigator.clipboard.readText()));
		await press("p");
		await page.locator("#detail button[aria-label=Pin][aria-pressed=true]").waitFor();
		await press("p", "m", "2");
		await page.locator("#list .row.chosen.mark-amber").waitFor();
		await press("n");
		await page.waitForFunction(() => document.activeElement.id === "note");
		await page.keyboard.type("by key");
		await press("Enter", "i");
		await page.getByRole("dialog", { name: "Status" }).waitFor();
		await press("Escape");
		await page.locator("dialog").waitFor({ state: "detached" });
		await press("Enter");
		await page.waitForFunction(() => document.activeElement.id === "page");
		await press("Escape");
		await page.waitForFunction(() => document.activeElement.id === "list");
		await press("Escape");
		await page.locator("#detail").waitFor({ state: "hidden" });
		await press("Escape");
		await page.waitForFunction(() => document.getElementById("filter").value === "");
	});

	it("what can be reached has a name, and focus is seen", async ({ page, rig }) => {
		await rig.send({ method: "POST", path: "/hook/names", headers: JSON_HEAD, body: utf8('{"a":[1]}') });
		await openRow(page, "/hook/names");
		await pageText(page, '"a"');
		const seen = new Set();
		await page.locator("#clear").focus();
		await page.keyboard.press("Tab");
		for (let i = 0; i < 60; i++) {
			const what = await page.evaluate(() => {
				const el = document.activeElement;
				const style = getComputedStyle(el);
				const name = el.getAttribute("aria-label") || (el.labels && el.labels[0] && el.labels[0].textContent) || el.textContent || el.title;
				return { key: el.id || el.className + name, name: (name || "").trim(), tag: el.tagName,
					ring: style.outlineStyle !== "none" || style.boxShadow !== "none" || el.id === "list" };
			});
			if (what.tag !== "BODY") {
				assert.ok(what.name, `no name: ${JSON.stringify(what)}`);
				assert.ok(what.ring, `no ring: ${JSON.stringify(what)}`);
			}
			seen.add(what.key);
			await page.keyboard.press("Tab");
		}
		for (const id of ["state", "filter", "list", "divider", "page", "tab-summary"])
			assert.ok(seen.has(id), `${id} was not reached: ${[...seen].join(" ")}`);
	});

	it("a phone: one pane at a time, nothing sticks out", async ({ rig, browser }) => {
		await rig.send({ method: "POST", path: "/hook/phone/" + "long/".repeat(40), headers: JSON_HEAD, body: utf8('{"on":"phone"}') });
		for (const colorScheme of ["light", "dark"]) {
			const page = await browser.page(rig.url, { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true, colorScheme,
				deviceScaleFactor: 2 });
			const wide = () => page.evaluate(() => document.documentElement.scrollWidth);
			await row(page, "/hook/phone").first().waitFor();
			assert.equal(await wide(), 390);
			await shot(page, `phone-list-${colorScheme}`);
			await row(page, "/hook/phone").first().tap();
			await pageText(page, '"on": "phone"');
			assert.equal(await page.locator("#list").isVisible(), false);
			for (const name of ["summary", "headers", "body", "timing", "compare", "raw"]) {
				await openTab(page, name);
				await page.waitForTimeout(100);
				assert.equal(await wide(), 390, name);
			}
			await openTab(page, "summary");
			await shot(page, `phone-detail-${colorScheme}`);
			await page.getByRole("button", { name: "Back to the list" }).tap();
			await page.locator("#list").waitFor();
			await row(page, "/hook/phone").first().tap();
			await page.goBack();
			await page.locator("#list").waitFor();
			quiet(page);
		}
	});

	it("dark and light by the system, both with contrast", async ({ rig, browser }) => {
		await rig.send({ path: "/crash" });
		await rig.send({ path: "/redirect" });
		await rig.send({ path: "/missing" });
		await rig.send({ path: "/count?colours" });
		await rig.send({ path: "/json?colours" });
		const grounds = {};
		for (const colorScheme of ["light", "dark"]) {
			const page = await browser.page(rig.url, { colorScheme });
			await row(page, "/json?colours").first().waitFor();
			await openRow(page, "/json?colours");
			await pageText(page, '"deep"');
			await shot(page, `${colorScheme}`);
			const legible = async what => {
				const { bad, texts } = await page.evaluate(contrastFaults);
				assert.deepEqual(bad, [], `${what}, ${colorScheme}`);
				assert.ok(texts > 60, `${texts} texts were measured`);
			};
			await legible("summary");
			for (const name of ["headers", "body", "timing", "raw"]) {
				await openTab(page, name);
				await page.locator("#page .tab-page").waitFor();
				await legible(name);
			}
			await openRow(page, "/count?colours");
			await page.keyboard.press("r");
			await page.locator(".diff .added").first().waitFor();
			await legible("compare");
			for (const [key, what] of [["e", ".editor"], ["?", ".key-columns"], ["i", "dialog .grid"], ["y", ".menu"], ["m", ".menu"]]) {
				await page.keyboard.press(key);
				await page.locator(what).waitFor();
				await legible(key);
				await page.keyboard.press("Escape");
				await page.locator(what).waitFor({ state: "detached" });
			}
			await page.locator("#filter").fill("nothing-has-this");
			await page.getByText("No request matches the filter").waitFor();
			await legible("nothing found");
			await page.locator("#filter").fill("");
			await page.locator("#list").focus();
			await page.locator("#filter").focus();
			await page.locator("#filter-hints").waitFor();
			await legible("hints");
			grounds[colorScheme] = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
			quiet(page);
		}
		assert.notEqual(grounds.light, grounds.dark);
	});
}

const EVIL = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>";

function safetyCases() {
	it("nothing captured becomes part of the page", async ({ page, rig }) => {
		const q = encodeURIComponent(EVIL);
		await rig.send({ path: `/xss/${EVIL.replace(/ /g, "%20")}?${q}=${q}`, headers: [["X-Attack", EVIL], ["User-Agent", EVIL], ["Cookie", EVIL]] });
		await rig.send({ method: "POST", path: "/hook/xss-json", headers: JSON_HEAD, body: utf8(JSON.stringify({ [EVIL]: [EVIL] })) });
		await rig.send({ method: "POST", path: "/hook/xss-form", headers: [["Content-Type", "application/x-www-form-urlencoded"]], body: utf8(`${q}=${q}`) });
		await rig.send({ method: "POST", path: "/hook/xss-parts", headers: [["Content-Type", "multipart/form-data; boundary=b"]],
			body: utf8(`--b\r\nContent-Disposition: form-data; name="${EVIL.replace(/"/g, "\\\"")}"; filename="${EVIL.replace(/"/g, "\\\"")}"\r\n` +
				`Content-Type: text/html\r\n\r\n${EVIL}\r\n--b--\r\n`) });
		await rig.send({ method: "POST", path: "/hook/xss-xml", headers: [["Content-Type", "application/xml"]],
			body: utf8(`<a xmlns="http://www.w3.org/1999/xhtml"><script>document.title='owned'</script></a>`) });
		await rig.send({ method: "POST", path: "/hook/xss-svg", headers: [["Content-Type", "image/svg+xml"]],
			body: utf8(`<svg xmlns="http://www.w3.org/2000/svg" onload="document.title='owned'"><script>document.title='owned'</script><image href="http://evil.invalid/x"/></svg>`) });
		await rig.send({ method: "POST", path: "/hook/xss-type", headers: [["Content-Type", `text/html; charset="${EVIL.replace(/"/g, "'")}"`]], body: utf8(EVIL) });
		const close = await rig.talk("/xss-socket", [EVIL]);
		await row(page, "/xss-socket").first().waitFor();
		await page.evaluate(watchForLife);
		for (const name of ["/xss/", "xss-json", "xss-form", "xss-parts", "xss-xml", "xss-svg", "xss-type", "/xss-socket"]) {
			await openRow(page, name);
			for (const part of ["summary", "headers", "body", "timing", "frames", "compare", "raw"]) {
				if (!(await tab(page, part).isVisible()))
					continue;
				await openTab(page, part);
				if (part === "body")
					await everyView(page);
			}
			await page.keyboard.press("e");
			await page.locator(".editor").waitFor();
			await page.keyboard.press("Escape");
		}
		await page.locator("#tab-summary").click();
		await page.getByRole("textbox", { name: "Note" }).fill(EVIL);
		await page.keyboard.press("Enter");
		await page.waitForTimeout(300);
		close();
		assert.equal(await page.title(), "pgrok inspector");
		assert.deepEqual(await page.evaluate(() => window.alive()), []);
	});

	it("the browser itself refuses HTML made of text", async ({ page }) => {
		const refused = await page.evaluate(() => {
			const tries = [() => { document.createElement("p").innerHTML = "<b>x</b>"; },
				() => document.body.insertAdjacentHTML("beforeend", "<b>x</b>"), () => document.write("<b>x</b>"),
				() => new DOMParser().parseFromString("<b>x</b>", "text/html"), () => trustedTypes.createPolicy("mine", {}),
				() => { document.createElement("script").src = "/static/main.js"; }, () => { document.createElement("script").text = "1"; }];
			return tries.map(run => {
				try {
					run();
					return "done: " + run;
				} catch (err) {
					return err.name;
				}
			});
		});
		assert.deepEqual(refused, Array(7).fill("TypeError"));
		assert.equal(await page.locator("body > b").count(), 0);
		/* Each refusal stands in the browser's log; nothing else does. */
		page.complaints = page.complaints.filter(text => !/TrustedHTML|TrustedScript|trusted-types/.test(text));
	});
}

/* Every way to show the two bodies. */
async function everyView(page) {
	for (const side of [/^Request /, /^Answer /]) {
		await page.getByRole("button", { name: side }).click();
		await page.getByRole("button", { name: side, pressed: true }).waitFor();
		for (const seg of await page.locator(".body-tools .seg").allInnerTexts()) {
			await view(page, seg).click();
			await page.locator(".body-tools .seg[aria-pressed=true]", { hasText: seg }).waitFor();
		}
	}
}

/* Runs in the page: notes everything that comes to life in it, however shortly it is there. */
function watchForLife() {
	const found = new Set();
	const look = () => document.querySelectorAll("img[src='x'], [onerror], [onload], body script, iframe, object, embed, style, [style*=url]")
		.forEach(el => found.add(el.outerHTML));

	new MutationObserver(look).observe(document, { subtree: true, childList: true, attributes: true });
	window.alive = () => {
		look();
		return [...found];
	};
}

const run = suite(realRig);

/* Each case gets a page of its own, that has to have nothing to complain of at the end. */
function it(name, check) {
	run(name, async ({ rig, browser }) => {
		const page = await browser.page(rig.url);

		await page.locator("#state.online").waitFor();
		try {
			await check({ page, rig, browser });
		} catch (err) {
			await shot(page, `failed-${name.replace(/\W+/g, "-").slice(0, 40)}`).catch(() => {});
			err.message += `\ncomplaints: ${JSON.stringify(page.complaints)}`;
			throw err;
		}
		quiet(page);
	});
}

liveCases();
tabCases();
replayCases();
accessCases();
safetyCases();
