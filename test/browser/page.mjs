// The page as a person sees it: its rows, its tabs.

export const row = (page, text) => page.locator("#list .row:not([hidden])", { hasText: text });
export const tab = (page, name) => page.locator(`#tab-${name}`);

/* Opens the newest row that shows this path. */
export async function openRow(page, text) {
	await row(page, text).first().click();
	await page.locator("#detail .d-badge .badge").waitFor();
}

export async function openTab(page, name) {
	await tab(page, name).click();
	await page.locator(`#tab-${name}[aria-selected=true]`).waitFor();
}

/* The open tab, once its contents stand there. */
export async function pageText(page, wanted) {
	await page.locator("#page", { hasText: wanted }).waitFor();
	return page.locator("#page").innerText();
}

/* Runs in the page: every text that is seen, against what is painted behind it. */
export function contrastFaults() {
	const parse = text => (text.match(/[\d.]+/g) || [0, 0, 0, 0]).map(Number);
	const light = ([r, g, b]) => [r, g, b].map(v => v / 255).map(v => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
		.reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
	const ground = el => {
		for (let at = el; at; at = at.parentElement) {
			const c = parse(getComputedStyle(at).backgroundColor);
			if (c.length < 4 || c[3] === 1)
				return c;
		}
		return [255, 255, 255];
	};
	const out = new Set();
	let texts = 0;
	const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);

	while (walk.nextNode()) {
		const el = walk.currentNode.parentElement;
		if (!walk.currentNode.data.trim() || !el.checkVisibility({ checkOpacity: true }) || el.closest(":disabled, .skip, noscript"))
			continue;
		const [a, b] = [light(parse(getComputedStyle(el).color)), light(ground(el))];
		const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
		texts++;
		if (ratio < 4.5)
			out.add(`${el.className || el.tagName} ${ratio.toFixed(2)}`);
	}
	return { bad: [...out], texts };
}
