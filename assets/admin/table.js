// A table of any length: sorted by a column, filtered by words, drawn only where it is in sight.
import { $, button, h, setText } from "./dom.js";
import { count } from "./format.js";
import { VirtualList } from "./vlist.js";

/*
 * Columns: {key, name, width, class, right, text(row), value(row) to sort by, href(row)}; the last one may be
 * {act: {text, click(row)}}.
 */
export class Table {
	constructor(filter) {
		this.all = [];
		this.shown = [];
		this.index = new Map();
		this.filter = filter;
		this.kind = null;
	}

	/* In an element of its own: the one before goes with its listeners. */
	makeList() {
		const port = h("div", { id: "rows", class: "rows", role: "rowgroup", tabindex: "0", "aria-label": this.kind.name });

		$("rows").replaceWith(port);
		this.list = new VirtualList(port, {
			rowHeight: 32,
			make: () => this.makeRow(),
			fill: (el, row, index) => this.fill(el, row, index),
			key: row => this.kind.id(row),
			length: () => this.shown.length,
			at: index => this.shown[index],
			indexOf: key => (this.index.has(key) ? this.index.get(key) : -1),
		});
	}

	/* Shows another kind of rows: {name, columns, id(row), words(row), sort: [key, down], empty, least}. */
	show(kind) {
		this.kind = kind;
		this.sort = kind.sort;
		this.all = [];
		this.makeList();
		$("table").setAttribute("aria-label", kind.name);
		$("table").style.setProperty("--columns", kind.columns.map(c => c.width).join(" "));
		$("table").style.setProperty("--least", kind.least);
		$("heads").replaceChildren(...kind.columns.map(c => this.makeHead(c)));
		this.refresh();
	}

	makeHead(column) {
		const head = h("span", { role: "columnheader", class: column.right ? "right" : null });

		if (column.act)
			head.append(h("span", { class: "off-screen", text: "Action" }));
		else
			head.append(h("button", { type: "button", text: column.name, on: { click: () => {
				const again = this.sort[0] === column.key;
				this.sort = [column.key, again ? !this.sort[1] : Boolean(column.right)];
				this.refresh();
			} } }));
		head.dataset.key = column.key;
		return head;
	}

	markSort() {
		for (const head of $("heads").children) {
			if (head.dataset.key === this.sort[0])
				head.setAttribute("aria-sort", this.sort[1] ? "descending" : "ascending");
			else
				head.removeAttribute("aria-sort");
		}
	}

	makeRow() {
		const el = h("div", { class: "line", role: "row" });

		el.cells = this.kind.columns.map(c => {
			const cell = h("span", { role: "cell", class: [c.class, c.right ? "right" : "", c.act ? "act" : ""].join(" ").trim() || null });

			if (c.act)
				cell.append(button({ text: c.act.text, class: "button small", click: () => c.act.click(el.row) }));
			else if (c.href)
				cell.append(h("a", { target: "_blank", rel: "noreferrer noopener" }));
			return cell;
		});
		el.append(...el.cells);
		return el;
	}

	fill(el, row, index) {
		el.row = row;
		el.setAttribute("aria-rowindex", index + 2);
		this.kind.columns.forEach((c, i) => {
			const cell = el.cells[i];

			if (c.act) {
				cell.firstChild.setAttribute("aria-label", `${c.act.text} ${this.kind.id(row)}`);
				return;
			}
			const to = c.href ? cell.firstChild : cell;
			setText(to, c.text(row));
			cell.title = c.title ? c.title(row) : "";
			if (c.href && c.href(row))
				to.href = c.href(row);
			else if (c.href)
				to.removeAttribute("href");
		});
	}

	set(rows) {
		this.all = rows;
		this.refresh();
	}

	refresh() {
		const words = this.filter.value.toLowerCase().split(/\s+/).filter(Boolean);
		const [key, down] = this.sort;
		const column = this.kind.columns.find(c => c.key === key);
		const value = column.value || column.text;
		const sign = down ? -1 : 1;

		this.shown = this.all.filter(row => {
			const text = this.kind.words(row).toLowerCase();

			return words.every(word => text.includes(word));
		}).map(row => [value(row), row]).sort(([a, ra], [b, rb]) => {
			if (a !== b)
				return (a < b ? -1 : 1) * sign;
			return this.kind.id(ra) < this.kind.id(rb) ? -1 : 1;
		}).map(([, row]) => row);
		this.index = new Map(this.shown.map((row, i) => [this.kind.id(row), i]));
		this.markSort();
		$("table").setAttribute("aria-rowcount", this.shown.length + 1);
		setText($("note"), this.shown.length === this.all.length ? count(this.all.length) :
			`${count(this.shown.length)} of ${count(this.all.length)}`);
		this.list.refresh();
		$("empty").hidden = this.shown.length > 0;
		setText($("empty"), this.all.length ? "No row matches the filter." : this.kind.empty);
	}
}
