// The transactions this page knows, in the order they began, and those of them that the filter lets through.

export class Store {
	constructor() {
		this.byId = new Map();
		this.all = []; /* ascending by seq */
		this.view = []; /* those that match, same order */
		this.round = 0; /* grows with each hello: what was not seen again since has left the server */
		this.match = () => true;
		this.listeners = [];
		this.sorted = true;
		this.stale = false;
		this.changed = new Set();
	}

	onChange(listener) {
		this.listeners.push(listener);
	}

	get(id) {
		const rec = this.byId.get(id);
		return rec ? rec.entry : null;
	}

	/* Newer knowledge wins; returns whether this was news. */
	put(entry) {
		const rec = this.byId.get(entry.id);

		if (!rec) {
			const last = this.all[this.all.length - 1];
			const hit = this.match(entry);
			const fresh = { entry, hit, open: hit === null, round: this.round };

			this.byId.set(entry.id, fresh);
			if (last && last.entry.seq > entry.seq)
				this.sorted = false;
			this.all.push(fresh);
			if (fresh.hit && this.sorted && !this.stale)
				this.view.push(fresh);
			this.changed.add(entry.id);
			return true;
		}
		rec.round = this.round;
		if (entry.rev <= rec.entry.rev)
			return false;
		rec.entry = entry;
		let hit = this.match(entry);
		rec.open = hit === null;
		if (rec.open && rec.hit)
			hit = true; /* found before: it stays until more of it has been looked at */
		if (hit !== rec.hit) {
			rec.hit = hit;
			this.stale = true;
		}
		this.changed.add(entry.id);
		return true;
	}

	drop(gone) {
		const before = this.all.length;

		this.all = this.all.filter(rec => {
			if (!gone(rec))
				return true;
			this.byId.delete(rec.entry.id);
			this.changed.add(rec.entry.id);
			return false;
		});
		if (this.all.length !== before)
			this.stale = true;
	}

	dropIds(ids) {
		const set = new Set(ids);
		this.drop(rec => set.has(rec.entry.id));
	}

	keepIds(ids) {
		const set = new Set(ids);
		this.drop(rec => !set.has(rec.entry.id));
	}

	/* What was open (match() said null: it needs headers or a body to be known) has been found out. */
	settle(rec, hit) {
		rec.open = false;
		if (rec.hit === hit)
			return;
		rec.hit = hit;
		this.stale = true;
	}

	setMatch(match) {
		this.match = match;
		for (const rec of this.all) {
			rec.hit = match(rec.entry);
			rec.open = rec.hit === null;
		}
		this.stale = true;
	}

	/* Puts the order right after any number of changes and tells everybody once. */
	flush(why) {
		if (!this.sorted) {
			this.all.sort((a, b) => a.entry.seq - b.entry.seq);
			this.sorted = true;
			this.stale = true;
		}
		if (this.stale) {
			this.view = this.all.filter(rec => rec.hit);
			this.stale = false;
		}
		const changed = this.changed;
		this.changed = new Set();
		for (const listener of this.listeners)
			listener(changed, why);
	}

	/* Where in the view, newest first; -1: not there. */
	indexOf(id) {
		const rec = this.byId.get(id);

		if (!rec || !rec.hit)
			return -1;
		let low = 0;
		let high = this.view.length - 1;
		while (low <= high) {
			const mid = (low + high) >> 1;
			const seq = this.view[mid].entry.seq;

			if (seq === rec.entry.seq)
				return this.view.length - 1 - mid;
			if (seq < rec.entry.seq)
				low = mid + 1;
			else
				high = mid - 1;
		}
		return -1;
	}

	at(index) {
		const rec = this.view[this.view.length - 1 - index];
		return rec ? rec.entry : null;
	}
}
