// A list of any length of which only the rows in sight are elements.

export class VirtualList {
	/*
	 * make() -> an empty row; fill(row, item, index); key(item) -> a string that stays with the item.
	 * length and at(index) say what there is; indexOf(key) finds an item again.
	 */
	constructor(port, what) {
		this.port = port;
		this.what = what;
		this.rowHeight = what.rowHeight;
		this.rows = new Map();
		this.spare = [];
		this.space = document.createElement("div");
		this.space.className = "vspace";
		this.space.setAttribute("role", "presentation");
		port.append(this.space);
		this.mine = -1; /* a scroll position set by this list itself, not by a person */
		port.addEventListener("scroll", () => {
			const own = Math.abs(port.scrollTop - this.mine) < 1;

			this.mine = -1;
			this.draw();
			if (what.scrolled)
				what.scrolled(own);
		}, { passive: true });
		new ResizeObserver(() => this.draw()).observe(port);
	}

	setRowHeight(px) {
		if (px === this.rowHeight)
			return;
		const top = this.port.scrollTop / this.rowHeight;

		this.rowHeight = px;
		this.refresh();
		this.scrollTo(top * px);
	}

	scrollTo(top) {
		this.mine = Math.max(0, Math.min(top, this.space.offsetHeight - this.port.clientHeight));
		this.port.scrollTop = this.mine;
		this.draw();
	}

	/* The rows in the window as they were drawn last, top first: some of them are found again after a change. */
	remember() {
		const first = Math.floor(this.port.scrollTop / this.rowHeight);
		const last = Math.min(this.what.length(), first + 60);

		this.seen = [];
		for (let i = first; i < last; i++)
			this.seen.push([this.what.key(this.what.at(i)), i]);
	}

	/* Rows came or went above: what was being read stays where it is. */
	hold() {
		for (const [key, was] of this.seen || []) {
			const now = this.what.indexOf(key);

			if (now < 0)
				continue;
			if (now !== was)
				this.scrollTo(this.port.scrollTop + (now - was) * this.rowHeight);
			return;
		}
	}

	/* The contents changed: every row in sight is filled again. */
	refresh(hold) {
		const height = `${this.what.length() * this.rowHeight}px`;

		if (this.space.style.height !== height)
			this.space.style.height = height;
		if (hold)
			this.hold();
		this.draw(true);
	}

	reveal(index) {
		const top = index * this.rowHeight;
		const port = this.port;

		if (top < port.scrollTop)
			this.scrollTo(top);
		else if (top + this.rowHeight > port.scrollTop + port.clientHeight)
			this.scrollTo(top + this.rowHeight - port.clientHeight);
	}

	range() {
		const over = 6;
		const first = Math.floor(this.port.scrollTop / this.rowHeight) - over;
		const last = Math.ceil((this.port.scrollTop + this.port.clientHeight) / this.rowHeight) + over;

		return [Math.max(0, first), Math.min(this.what.length(), last)];
	}

	draw(all) {
		const [first, last] = this.range();
		const want = new Map();

		for (let i = first; i < last; i++)
			want.set(this.what.key(this.what.at(i)), i);
		for (const [key, row] of this.rows) {
			if (want.has(key))
				continue;
			this.rows.delete(key);
			row.el.hidden = true;
			this.spare.push(row);
		}
		for (const [key, index] of want)
			this.place(key, index, all);
		while (this.spare.length > 40)
			this.spare.pop().el.remove();
		this.remember();
	}

	place(key, index, again) {
		let row = this.rows.get(key);
		let fresh = again;

		if (!row) {
			row = this.spare.pop();
			if (!row) {
				row = { el: this.what.make(), index: -1 };
				this.space.append(row.el);
			}
			row.el.hidden = false;
			row.index = -1;
			this.rows.set(key, row);
			fresh = true;
		}
		if (row.index !== index) {
			row.index = index;
			row.el.style.transform = `translateY(${index * this.rowHeight}px)`;
			fresh = true;
		}
		if (fresh)
			this.what.fill(row.el, this.what.at(index), index);
	}

	pageRows() {
		return Math.max(1, Math.floor(this.port.clientHeight / this.rowHeight) - 1);
	}
}
