// The right side: one transaction with its request line, actions and tabs.
import { $, button, charWidth, h, menu, setText, toast } from "./dom.js";
import { bodyTab, headersTab, rawTab, summaryTab, timingTab } from "./tabs.js";
import { copyCurl, copyMenu } from "./copy.js";
import { editAndReplay, replayOnce, replayTimes } from "./replay.js";
import { CompareTab, replaysOf, rootOf, statusBadge } from "./compare.js";
import { duration, shorten } from "./format.js";
import { FramesTab } from "./frames.js";
import { api } from "./api.js";

export const TABS = ["summary", "headers", "body", "timing", "frames", "compare", "raw"];
const LABELS = { summary: "Summary", headers: "Headers", body: "Body", timing: "Timing", frames: "Frames",
	compare: "Compare", raw: "Raw" };
const MARKS = ["red", "amber", "green", "blue", "violet"];
const AGAIN_MS = 700; /* an open one is read anew so often at most */

export class Detail {
	/* on: open(id, tab), close(), tab(name), now(), tunnels(), watch(id), evicted ids come by store. */
	constructor(store, on) {
		this.store = store;
		this.on = on;
		this.box = $("detail");
		this.id = null;
		this.tx = null;
		this.tab = "summary";
		this.keep = {};
		this.keepFor = new Map(); /* views chosen for one transaction */
		this.frames = new FramesTab();
		this.compare = new CompareTab(store, { replay: () => this.replay(), open: (id, tab) => on.open(id, tab) }, this.keep);
		this.build();
		store.onChange(changed => this.storeChanged(changed));
	}

	build() {
		this.badge = h("span", { class: "d-badge" });
		this.method = h("b", { class: "d-method" });
		this.path = h("span", { class: "d-path mono" });
		new ResizeObserver(() => this.fitPath()).observe(this.path);
		this.time = h("span", { class: "d-time num muted" });
		this.gone = h("p", { class: "notice", hidden: true, text: "This one left pgrok's store: what was not loaded yet is gone." });
		this.pinButton = button({ icon: "pin", label: "Pin", key: "p", pressed: "false", click: () => this.pin() });
		this.markButton = button({ icon: "mark", label: "Mark", key: "m", menu: true, click: () => this.mark() });
		this.copyMenuButton = button({ icon: "copy", text: "Copy", label: "Copy as …", key: "y", menu: true, click: () => this.copyMenu() });
		this.tabs = h("div", { class: "tabs", role: "tablist", "aria-label": "Parts", on: { keydown: e => this.tabKey(e) } });
		for (const name of TABS)
			this.tabs.append(h("button", { type: "button", role: "tab", id: "tab-" + name, "aria-controls": "page", class: "tab",
				tabindex: "-1", on: { click: () => this.showTab(name) } },
			h("span", { text: LABELS[name] }), h("span", { class: "tab-count num" })));
		this.more = h("button", { type: "button", class: "pill at-end", text: "More came: show it", hidden: true,
			on: { click: () => this.redraw() } });
		this.page = h("div", { id: "page", class: "page", role: "tabpanel", tabindex: "0" });
		this.box.append(
			h("header", { class: "d-head" },
				h("div", { class: "d-line1" },
					button({ icon: "back", label: "Back to the list", class: "icon-button only-narrow", click: () => this.on.close() }),
					this.badge, this.method, this.path, this.time,
					button({ icon: "close", label: "Close", key: "Esc", class: "icon-button only-wide", click: () => this.on.close() })),
				h("div", { class: "d-actions", role: "toolbar", "aria-label": "Actions" },
					button({ icon: "replay", text: "Replay", label: "Send it again", key: "r", class: "button primary", click: () => this.replay() }),
					button({ icon: "edit", text: "Edit", label: "Edit and replay", key: "e", click: () => this.edit() }),
					button({ icon: "repeat", text: "× N", label: "Replay several times", key: "x", click: () => this.times() }),
					this.copyMenuButton, h("span", { class: "grow" }), this.pinButton, this.markButton,
					button({ icon: "trash", label: "Delete", key: "d", click: () => this.remove() })),
				this.tabs),
			this.gone, this.page, this.more);
	}

	entry() {
		return this.store.get(this.id) || this.last;
	}

	/* Shows one; tab: null to stay at the tab that is open. */
	async show(id, tab) {
		const fresh = id !== this.id;

		if (tab)
			this.tab = tab;
		if (!fresh) {
			this.fillTabs();
			await this.draw(true);
			return;
		}
		this.id = id;
		this.tx = null;
		this.last = this.store.get(id);
		this.gone.hidden = true;
		this.on.watch(id);
		if (!this.keepFor.has(id))
			this.keepFor.set(id, {});
		if (this.keepFor.size > 200)
			this.keepFor.delete(this.keepFor.keys().next().value);
		if (this.last)
			this.fillHead();
		await this.load(true);
	}

	hide() {
		this.id = null;
		this.tx = null;
		this.on.watch(null);
		this.page.replaceChildren();
		this.more.hidden = true;
		this.drawn = null;
	}

	async load(fresh) {
		const id = this.id;

		this.loading = true;
		this.again = false;
		try {
			const tx = await api.transaction(id);
			if (id !== this.id)
				return;
			const entry = this.store.get(id);
			if (!entry || tx.entry.rev > entry.rev)
				this.last = tx.entry;
			else
				this.last = entry;
			this.tx = tx;
			this.loadedRev = tx.entry.rev;
			this.fillHead();
			await this.draw(fresh);
		} catch (err) {
			if (id === this.id && fresh && !this.tx)
				this.page.replaceChildren(h("p", { class: "notice error",
					text: err.status === 404 ? "This request is no longer in the store." : err.message }));
		} finally {
			this.loading = false;
			if (this.again && id === this.id)
				this.loadSoon();
		}
	}

	loadSoon() {
		this.again = true;
		if (this.loading || this.timer)
			return;
		this.timer = setTimeout(() => {
			this.timer = null;
			if (this.id && this.again)
				this.load(false);
		}, AGAIN_MS);
	}

	storeChanged(changed) {
		if (!this.id)
			return;
		if (changed.has(this.id)) {
			const entry = this.store.get(this.id);

			this.gone.hidden = Boolean(entry);
			if (entry) {
				const done = this.last && this.last.state === "open" && entry.state !== "open";
				this.last = entry;
				this.fillHead();
				if (entry.rev > (this.loadedRev || 0) && done && !this.loading)
					this.load(false);
				else if (entry.rev > (this.loadedRev || 0))
					this.loadSoon();
			}
		}
		if (this.tab === "compare")
			this.compare.update();
		this.fillCounts();
	}

	takeFrames(list) {
		const mine = list.filter(event => event.id === this.id).map(event => event.frame);

		if (mine.length && this.tab === "frames")
			this.frames.add(mine);
	}

	fillHead() {
		const entry = this.entry();

		if (this.badgeKey !== entry.id + entry.rev) {
			this.badgeKey = entry.id + entry.rev;
			this.badge.replaceChildren(statusBadge(entry));
		}
		setText(this.method, entry.method);
		this.fitPath();
		this.path.title = entry.url + entry.path;
		setText(this.time, duration(entry.duration_ms));
		this.pinButton.setAttribute("aria-pressed", entry.pinned);
		this.markButton.className = "icon-button" + (entry.mark ? " marked mark-" + entry.mark : "");
		this.fillTabs();
	}

	fitPath() {
		const entry = this.entry();

		if (entry && this.path.clientWidth)
			setText(this.path, shorten(entry.path, Math.floor(this.path.clientWidth / charWidth(this.path))));
	}

	visibleTabs() {
		const entry = this.entry();
		const frames = entry && (entry.kind !== "http" || entry.frames > 0);

		return TABS.filter(name => name !== "frames" || frames);
	}

	fillTabs() {
		const shown = this.visibleTabs();

		if (!shown.includes(this.tab))
			this.tab = "summary";
		for (const el of this.tabs.children) {
			const name = el.id.slice(4);
			const on = name === this.tab;

			el.hidden = !shown.includes(name);
			el.setAttribute("aria-selected", on);
			el.tabIndex = on ? 0 : -1;
		}
		this.page.setAttribute("aria-labelledby", "tab-" + this.tab);
		this.fillCounts();
	}

	fillCounts() {
		const entry = this.entry();

		if (!entry)
			return;
		const runs = replaysOf(this.store, rootOf(this.store, entry)).length;
		setText($("tab-frames").lastChild, entry.frames ? String(entry.frames) : "");
		setText($("tab-compare").lastChild, runs ? String(runs) : "");
	}

	showTab(name) {
		if (!this.visibleTabs().includes(name))
			return;
		this.tab = name;
		this.on.tab(name);
		this.fillTabs();
		this.draw(true);
	}

	stepTab(by) {
		const shown = this.visibleTabs();
		const at = shown.indexOf(this.tab);

		this.showTab(shown[(at + by + shown.length) % shown.length]);
	}

	tabKey(event) {
		const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];

		if (!by)
			return;
		this.stepTab(by);
		$("tab-" + this.tab).focus();
		event.preventDefault();
		event.stopPropagation();
	}

	/* What the open tab shows; while it only grew, the same key means: leave it alone. */
	pageKey() {
		const tx = this.tx;
		const body = side => (tx[side] ? [tx[side].body.size, tx[side].body.complete, tx[side].status].join() : "-");
		const parts = { frames: "", compare: "", timing: JSON.stringify(tx.timing) + tx.entry.rev,
			headers: body("response").split(",")[2] + tx.entry.state };

		return [this.id, this.tab, this.tab in parts ? parts[this.tab] : body("request") + body("response") + tx.entry.state].join(" ");
	}

	/* Resolves when the open tab stands there; what is on its way already is not begun again. */
	draw(fresh) {
		if (!this.tx)
			return Promise.resolve();
		const key = this.pageKey();
		if (key !== this.drawn) {
			this.drawn = key;
			this.drawing = this.fillPage(key, fresh);
		}
		return this.drawing;
	}

	makeTab() {
		const tx = this.tx;
		const keep = this.keepFor.get(this.id) || {};
		const on = { change: what => this.change(what), open: id => this.on.open(id), now: this.on.now, redraw: () => this.redraw() };
		const make = { summary: () => summaryTab(tx, this.entry(), on, keep), headers: () => headersTab(tx), raw: () => rawTab(tx),
			body: () => bodyTab(tx, on, keep), timing: () => timingTab(tx, this.entry()) };

		return make[this.tab]();
	}

	async fillPage(key, fresh) {
		const tab = this.tab;
		const same = this.drawnTab === this.id + tab;
		let el;

		this.drawnTab = this.id + tab;
		if (!same)
			this.more.hidden = true;
		if (tab === "frames" || tab === "compare") {
			const part = tab === "frames" ? this.frames : this.compare;
			this.page.replaceChildren(part.el);
			part.show(this.entry());
			return;
		}
		try {
			el = await this.makeTab();
		} catch (err) {
			el = h("div", { class: "tab-page" }, h("p", { class: "notice error", text: err.message }));
		}
		if (this.drawn !== key)
			return;
		if (same && !fresh && this.beingRead()) {
			this.more.hidden = false;
			return;
		}
		const top = this.page.scrollTop;
		this.more.hidden = true;
		this.page.replaceChildren(el);
		this.page.scrollTop = same ? top : 0;
	}

	/* Scrolled, or something in it is in use: what came since waits behind a button. */
	beingRead() {
		const active = document.activeElement;

		return this.page.scrollTop > 0 || (active !== this.page && this.page.contains(active));
	}

	redraw() {
		const focus = document.activeElement && this.page.contains(document.activeElement);

		this.drawn = null;
		return this.draw(true).then(() => {
			if (focus)
				this.page.focus();
		});
	}

	switchSide() {
		if (this.tab === "compare") {
			this.keep.side = this.keep.side === "response" ? "request" : "response";
			this.compare.update();
			return;
		}
		const keep = this.keepFor.get(this.id);
		keep.bodySide = (keep.bodySide || "response") === "response" ? "request" : "response";
		if (this.tab === "body")
			this.redraw();
		else
			this.showTab("body");
	}

	wrap() {
		const el = this.page.querySelector(".wrap-button");
		if (el)
			el.click();
	}

	async change(what) {
		try {
			this.on.put(await api.change(this.id, what));
		} catch (err) {
			toast(err.message);
		}
	}

	pin() {
		return this.change({ pinned: !this.entry().pinned });
	}

	mark() {
		const entry = this.entry();
		const items = MARKS.map((name, i) => ({ text: name, key: String(i + 1), class: "mark-item mark-" + name,
			click: () => this.change({ mark: name }) }));

		if (entry.mark)
			items.push({ text: "no mark", key: "0", click: () => this.change({ mark: "" }) });
		menu(this.markButton, items);
	}

	async note() {
		this.showTab("summary");
		await this.draw(true);
		if ($("note"))
			$("note").focus();
	}

	copyMenu() {
		menu(this.copyMenuButton, copyMenu(this.entry()));
	}

	copyCurl() {
		return copyCurl(this.entry());
	}

	async remove() {
		const id = this.id;

		this.on.beforeRemove(id);
		try {
			await api.remove(id);
		} catch (err) {
			toast(err.message);
		}
	}

	/* The replay is shown against its original as soon as it is there. */
	replayed(ids) {
		if (!ids.length)
			return;
		if (ids.length === 1)
			this.on.openWhenThere(ids[0], "compare");
		else
			this.showTab("compare");
	}

	async replay() {
		const entry = this.entry();
		const root = rootOf(this.store, entry);
		/* Replaying an unedited replay means the request itself: the results stay in one table. */
		const what = entry.origin && !entry.edited && this.store.get(entry.origin) ? root : entry;
		const ids = await replayOnce(what);

		if (ids)
			this.replayed(ids);
	}

	times() {
		replayTimes(this.entry(), this.on.tunnels(), ids => this.replayed(ids));
	}

	edit() {
		return editAndReplay(this.entry(), this.on.tunnels(), ids => this.replayed(ids));
	}
}
