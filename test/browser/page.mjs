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
