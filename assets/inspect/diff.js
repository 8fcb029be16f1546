// What differs between two texts, line by line, and between two header lists.
import { button, h } from "./dom.js";
import { plural } from "./format.js";

const MOST_STEPS = 1500; /* edits that are looked for; beyond, the middle counts as replaced */
const CONTEXT = 3;

/* Myers' greedy search between a and b: the trace of the furthest ends, or null when it gets too long. */
function search(a, b) {
	const n = a.length;
	const m = b.length;
	const most = Math.min(n + m, MOST_STEPS);
	let v = new Int32Array(2 * most + 3);
	const mid = most + 1;
	const trace = [];

	for (let d = 0; d <= most; d++) {
		trace.push(v.slice(mid - d - 1, mid + d + 2));
		for (let k = -d; k <= d; k += 2) {
			const down = k === -d || (k !== d && v[mid + k - 1] < v[mid + k + 1]);
			let x = down ? v[mid + k + 1] : v[mid + k - 1] + 1;

			while (x < n && x - k < m && a[x] === b[x - k])
				x++;
			v[mid + k] = x;
			if (x >= n && x - k >= m)
				return trace;
		}
	}
	return null;
}

/* Walks the trace back: [" "|"-"|"+", text] pairs. */
function path(a, b, trace) {
	const out = [];
	let x = a.length;
	let y = b.length;

	for (let d = trace.length - 1; d >= 0; d--) {
		const v = trace[d];
		const at = k => v[k + d + 1];
		const k = x - y;
		const down = k === -d || (k !== d && at(k - 1) < at(k + 1));
		const before = down ? k + 1 : k - 1;
		const fromX = d ? at(before) : 0;
		const fromY = fromX - before;

		while (x > 0 && y > 0 && (d === 0 || (x > fromX && y > fromY)) && a[x - 1] === b[y - 1]) {
			out.push([" ", a[x - 1]]);
			x--;
			y--;
		}
		if (d) {
			out.push(down ? ["+", b[fromY]] : ["-", a[fromX]]);
			x = fromX;
			y = fromY;
		}
	}
	return out.reverse();
}

export function diffLines(textA, textB) {
	const a = textA.split("\n");
	const b = textB.split("\n");
	let head = 0;
	let tail = 0;

	while (head < a.length && head < b.length && a[head] === b[head])
		head++;
	while (tail < a.length - head && tail < b.length - head && a[a.length - 1 - tail] === b[b.length - 1 - tail])
		tail++;
	const midA = a.slice(head, a.length - tail);
	const midB = b.slice(head, b.length - tail);
	const trace = search(midA, midB);
	const middle = trace ? path(midA, midB, trace) :
		[...midA.map(line => ["-", line]), ...midB.map(line => ["+", line])];
	return [...a.slice(0, head).map(line => [" ", line]), ...middle,
		...a.slice(a.length - tail).map(line => [" ", line])];
}

const SAY = { "-": "removed", "+": "added" };

function lineEl([sign, text]) {
	return h("div", { class: "d-line " + (SAY[sign] || "same") },
		h("span", { class: "d-sign", "aria-label": SAY[sign] || null, text: sign }), h("span", { class: "d-text", text }));
}

function gap(lines) {
	const el = button({ text: `${plural(lines.length, "equal line")}`, class: "d-gap", click: () => {
		el.replaceWith(...lines.map(lineEl));
	} });
	return el;
}

/* The lines with long equal stretches folded away. */
export function diffView(lines) {
	const box = h("div", { class: "diff mono", role: "group", "aria-label": "Differences" });
	let same = [];
	let first = true;
	const flush = last => {
		const keepHead = first ? 0 : CONTEXT;
		const keepTail = last ? 0 : CONTEXT;

		if (same.length > keepHead + keepTail + 3) {
			box.append(...same.slice(0, keepHead).map(lineEl), gap(same.slice(keepHead, same.length - keepTail)),
				...(keepTail ? same.slice(-keepTail).map(lineEl) : []));
		} else {
			box.append(...same.map(lineEl));
		}
		same = [];
	};

	for (const line of lines) {
		if (line[0] === " ") {
			same.push(line);
			continue;
		}
		flush(false);
		first = false;
		box.append(lineEl(line));
	}
	flush(true);
	return box;
}

/* [{name, a, b}] of the headers whose values differ; names compare without case. */
export function diffHeaders(listA, listB) {
	const collect = list => {
		const map = new Map();

		for (const [name, value] of list) {
			const key = name.toLowerCase();
			map.set(key, map.has(key) ? `${map.get(key)}\n${value}` : value);
		}
		return map;
	};
	const a = collect(listA);
	const b = collect(listB);
	const names = new Map([...listA, ...listB].map(([name]) => [name.toLowerCase(), name]));

	return [...names].filter(([key]) => a.get(key) !== b.get(key))
		.map(([key, name]) => ({ name, a: a.get(key), b: b.get(key) }));
}
