// The page: puts the parts together, keeps the address (#id/tab), the divider and the keys.
import { $, ask, h, memory, setText, toast } from "./dom.js";
import { Live, api } from "./api.js";
import { Detail, TABS } from "./detail.js";
import { KEYS, parseFilter } from "./filter.js";
import { bindKeys, showKeys } from "./keys.js";
import { count, plural } from "./format.js";
import { DeepSearch } from "./deep.js";
import { Header } from "./header.js";
import { List } from "./list.js";
import { Store } from "./store.js";
import { saveHar } from "./copy.js";

const NARROW = matchMedia("(max-width: 699px)");
const store = new Store();
const header = new Header(store, { clearFilter: () => setFilter("") });
const waiting = { id: null, tab: null }; /* a replay that will be shown when it comes */
let loading = true;
let searching = 0;
let filter = parseFilter("");

const list = new List(store, { open: (id, focus) => open(id, null, focus), now: () => header.now(), shown: fillNote });
const detail = new Detail(store, {
	open: (id, tab) => open(id, tab), close: () => closeDetail(), tab: name => setHash(list.selected, name),
	now: () => header.now(), tunnels: () => (header.state ? header.state.tunnels : []),
	watch: id => live && live.watch(id), put: entry => putAll([entry]), beforeRemove: stepAway, openWhenThere,
});
const deep = new DeepSearch(store, {
	left: n => {
		searching = n;
		fillNote();
	},
	failed: text => toast(`The search failed: ${text}`),
});

function putAll(entries, why) {
	for (const entry of entries)
		store.put(entry);
	store.flush(why);
	deep.run();
}

/* ---- what comes from the server ---- */

async function loadAll() {
	const round = ++store.round;
	let before;

	loading = true;
	try {
		for (let limit = 500; ; limit = 5000) {
			const got = await api.entries(limit, before);
			if (round !== store.round)
				return;
			putAll(got.entries, "load");
			loading = false;
			if (!got.more || !got.entries.length)
				break;
			before = got.entries[got.entries.length - 1].id;
		}
		store.drop(rec => rec.round < round);
		store.flush("load");
		followHash();
	} catch (err) {
		toast(`The list did not load: ${err.message}`);
	}
	loading = false;
	fillNote();
}

function onEvents(events) {
	const frames = [];
	let touched = false;

	for (const event of events) {
		if (event.ev === "hello") {
			header.setState(event.state);
			loadAll();
		} else if (event.ev === "state") {
			header.setState(event.state);
		} else if (event.ev === "frame") {
			frames.push(event);
		} else if (event.ev === "evicted") {
			store.dropIds(event.ids);
			touched = true;
		} else if (event.ev === "cleared") {
			store.keepIds(event.kept);
			touched = true;
		} else if (event.entry) {
			store.put(event.entry);
			touched = true;
		}
	}
	if (frames.length)
		detail.takeFrames(frames);
	if (touched) {
		store.flush("live");
		deep.run();
		if (waiting.id && store.get(waiting.id))
			openWhenThere(waiting.id, waiting.tab);
	}
	fillNote();
}

const live = new Live({ events: onEvents, up: up => header.setUp(up) });

/* ---- filter ---- */

function fillNote() {
	const shown = store.view.length;
	const all = store.all.length;
	let text = filter.empty ? (all ? plural(all, "request") : "") : `${count(shown)} of ${count(all)}`;

	if (filter.errors.length)
		text = filter.errors[0];
	else if (searching)
		text += ` · ${count(searching)} to search`;
	setText($("filter-note"), text);
	$("filter-note").classList.toggle("warn", filter.errors.length > 0);
	$("filter-note").classList.toggle("plain", filter.empty && !filter.errors.length);
	header.fillEmpty(!filter.empty, loading || searching > 0);
	$("clear").disabled = all === 0;
	$("har").disabled = shown === 0;
}

function setFilter(text) {
	$("filter").value = text;
	filter = parseFilter(text);
	deep.setTerms(filter.deep);
	store.setMatch(entry => (filter.shallow(entry) ? (filter.deep.length ? null : true) : false));
	searching = 0;
	store.flush("filter");
	deep.run();
	fillNote();
}

function fillHints() {
	const input = $("filter");

	$("filter-hints").replaceChildren(...KEYS.map(([key, example]) => h("button", {
		type: "button", class: "hint", tabindex: "-1", title: example, "aria-label": `Filter by ${example}`,
		on: { mousedown: event => event.preventDefault(), click: () => {
			const before = input.value.replace(/\s*$/, "");
			input.value = (before ? before + " " : "") + key;
			input.focus();
			input.dispatchEvent(new Event("input"));
		} },
	}, h("span", { class: "mono", text: key }), h("span", { class: "muted", text: example.replace(key, "") }))));
}

function bindFilter() {
	const input = $("filter");
	const hints = $("filter-hints");
	let timer = null;

	fillHints();
	/* Only until something is typed: then the list below is what counts. */
	const showHints = () => {
		hints.hidden = input.value !== "" || document.activeElement !== input;
	};

	input.addEventListener("input", () => {
		hints.hidden = true;
		clearTimeout(timer);
		timer = setTimeout(() => setFilter(input.value), store.all.length > 5000 ? 120 : 30);
	});
	input.addEventListener("focus", showHints);
	input.addEventListener("blur", showHints);
	input.addEventListener("keydown", event => {
		if (event.key === "Escape") {
			if (input.value)
				setFilter("");
			else
				$("list").focus();
			event.preventDefault();
		} else if (event.key === "Enter" || event.key === "ArrowDown") {
			clearTimeout(timer);
			setFilter(input.value);
			$("list").focus();
			event.preventDefault();
		}
	});
}

/* ---- selection and address ---- */

function setHash(id, tab) {
	const hash = id ? `#${id}/${tab || detail.tab}` : "";

	if (location.hash === hash || (!hash && !location.hash))
		return;
	const deeper = id && !location.hash;
	const url = location.pathname + location.search + hash;
	/* One step of history between list and detail: "back" on a phone leads to the list. */
	history[deeper ? "pushState" : "replaceState"](null, "", url);
}

function showPanes(openDetail) {
	const was = !$("detail").hidden;

	$("detail").hidden = !openDetail;
	$("divider").hidden = !openDetail;
	$("panes").classList.toggle("split", openDetail);
	document.body.classList.toggle("reading", openDetail);
	if (was !== openDetail)
		list.rows.draw(true);
}

function open(id, tab, focus) {
	waiting.id = null;
	list.select(id);
	showPanes(true);
	setHash(id, tab);
	list.reveal(id);
	detail.show(id, tab);
	if (focus || NARROW.matches)
		$("page").focus({ preventScroll: true });
}

function openWhenThere(id, tab) {
	if (store.get(id)) {
		open(id, tab);
		return;
	}
	waiting.id = id;
	waiting.tab = tab;
}

function closeDetail() {
	waiting.id = null;
	detail.hide();
	list.select(null);
	showPanes(false);
	setHash(null);
	$("list").focus({ preventScroll: true });
}

/* The one that is shown is about to be deleted: its neighbour takes its place. */
function stepAway(id) {
	const at = store.indexOf(id);
	const next = store.at(at + 1) || store.at(at - 1);

	if (next)
		open(next.id, null);
	else
		closeDetail();
}

function followHash() {
	const m = /^#([0-9a-f]{1,32})(?:\/(\w+))?$/.exec(location.hash);

	if (m && (m[1] !== detail.id || (m[2] && m[2] !== detail.tab)))
		open(m[1], TABS.includes(m[2]) ? m[2] : null);
	else if (!m && detail.id)
		closeDetail();
}

/* ---- divider ---- */

function bindDivider() {
	const divider = $("divider");
	const panes = $("panes");
	let share = memory.get("split", 42);
	const set = value => {
		share = Math.max(20, Math.min(75, value));
		panes.style.setProperty("--split", `${share}%`);
		divider.setAttribute("aria-valuenow", Math.round(share));
		memory.set("split", share);
	};

	divider.setAttribute("aria-valuemin", 20);
	divider.setAttribute("aria-valuemax", 75);
	set(share);
	divider.addEventListener("pointerdown", event => {
		divider.setPointerCapture(event.pointerId);
		divider.classList.add("dragging");
		event.preventDefault();
	});
	divider.addEventListener("pointermove", event => {
		if (!divider.hasPointerCapture(event.pointerId))
			return;
		const box = panes.getBoundingClientRect();
		set((event.clientX - box.left) / box.width * 100);
	});
	divider.addEventListener("pointerup", () => divider.classList.remove("dragging"));
	divider.addEventListener("dblclick", () => set(42));
	divider.addEventListener("keydown", event => {
		const by = { ArrowLeft: -2, ArrowRight: 2, Home: -100, End: 100 }[event.key];

		if (!by)
			return;
		set(share + by);
		event.preventDefault();
		event.stopPropagation();
	});
}

/* ---- commands ---- */

async function clearAll() {
	const pinned = store.all.some(rec => rec.entry.pinned);
	const text = pinned ? "All requests are forgotten; the pinned ones stay." : "All requests are forgotten.";

	if (!store.all.length || !(await ask("Clear the list", text, "Clear")))
		return;
	try {
		await api.clear(pinned);
	} catch (err) {
		toast(err.message);
	}
}

function saveShown() {
	const ids = store.view.map(rec => rec.entry.id);

	if (filter.empty)
		saveHar(null);
	else if (ids.length > 300)
		toast("More than 300 are shown: filter further, or clear the filter to save all");
	else
		saveHar(ids);
}

function move(by) {
	const id = list.step(by);

	if (!id)
		return;
	if (detail.id || !NARROW.matches)
		open(id, null);
	if (!$("detail").contains(document.activeElement))
		$("list").focus({ preventScroll: true });
}

function escape() {
	if ($("detail").contains(document.activeElement) && !NARROW.matches)
		$("list").focus({ preventScroll: true });
	else if (detail.id)
		closeDetail();
	else if (!filter.empty)
		setFilter("");
}

/* In a scrolled reading area the arrows and pages scroll; j and k always go to another request. */
const reading = event => $("detail").contains(event.target);

function bindAll() {
	const d = (keys, run) => ({ keys, run, detail: true });
	const far = by => event => (reading(event) ? false : move(by()));

	bindKeys([
		{ keys: ["j"], run: () => move(1) }, { keys: ["k"], run: () => move(-1) },
		{ keys: ["ArrowDown"], run: far(() => 1) }, { keys: ["ArrowUp"], run: far(() => -1) },
		{ keys: ["PageDown"], run: far(() => list.rows.pageRows()) }, { keys: ["PageUp"], run: far(() => -list.rows.pageRows()) },
		{ keys: ["Home"], run: far(() => -1e9) }, { keys: ["End"], run: far(() => 1e9) },
		{ keys: ["g"], run: () => move(-1e9) }, { keys: ["G"], run: () => move(1e9) },
		{ keys: ["Enter"], run: () => (detail.id ? $("page").focus() : move(0)) },
		{ keys: ["Escape"], run: escape },
		{ keys: ["/"], run: () => $("filter").select() || $("filter").focus() },
		{ keys: ["C"], run: clearAll }, { keys: ["h"], run: saveShown },
		{ keys: ["?"], run: showKeys }, { keys: ["i"], run: () => header.showStatus() },
		...TABS.map((name, i) => d([String(i + 1)], () => detail.showTab(name))),
		d(["]", "ArrowRight"], () => detail.stepTab(1)), d(["[", "ArrowLeft"], () => detail.stepTab(-1)),
		d(["s"], () => detail.switchSide()), d(["w"], () => detail.wrap()),
		d(["r"], () => detail.replay()), d(["e"], () => detail.edit()), d(["x"], () => detail.times()),
		d(["c"], () => detail.copyCurl()), d(["y"], () => detail.copyMenu()),
		d(["p"], () => detail.pin()), d(["m"], () => detail.mark()), d(["n"], () => detail.note()),
		d(["d"], () => detail.remove()),
	], () => Boolean(detail.id));
	$("help").addEventListener("click", showKeys);
	$("clear").addEventListener("click", clearAll);
	$("har").addEventListener("click", saveShown);
	window.addEventListener("popstate", followHash);
	window.addEventListener("hashchange", followHash);
}

bindFilter();
bindDivider();
bindAll();
showPanes(false);
header.tick();
fillNote();
