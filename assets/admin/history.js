// What the last minutes were: samples of counters, and lines drawn of them.
import { h, setText, svg } from "./dom.js";

const SAMPLES = 90;

/* Per second, between two samples {at, value} of a counter; null: nothing to compare with, or it began again. */
export function rate(before, after) {
	if (!before || after.value < before.value || after.at <= before.at)
		return null;
	return (after.value - before.value) * 1000 / (after.at - before.at);
}

/* A path over the box 90 x 26, newest at the right, nothing where there is no value. */
export function sparkPath(values, most) {
	const top = Math.max(most, ...values.filter(v => v !== null));
	let pen = false;
	let d = "";

	values.forEach((v, i) => {
		if (v === null) {
			pen = false;
			return;
		}
		const x = 90 - (values.length - 1 - i) * (90 / (SAMPLES - 1));
		d += `${pen ? "L" : "M"}${x.toFixed(1)} ${(25 - v / top * 23).toFixed(1)}`;
		pen = true;
	});
	return d;
}

/* One number with its past. */
export class Card {
	constructor(name, most, say) {
		this.values = [];
		this.most = most;
		this.say = say;
		this.value = h("p", { class: "card-value" });
		this.path = svg("path", { d: "" });
		this.el = h("li", { class: "card" }, h("p", { class: "card-name", text: name }), this.value,
			svg("svg", { class: "spark", viewBox: "0 0 90 26", preserveAspectRatio: "none", "aria-hidden": "true" }, this.path));
	}

	add(value) {
		this.values.push(value);
		if (this.values.length > SAMPLES)
			this.values.shift();
		setText(this.value, value === null ? "–" : this.say(value));
		this.path.setAttribute("d", sparkPath(this.values, this.most) || "M0 0");
	}
}
