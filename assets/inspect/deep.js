// header: and body: terms. The list has neither: the server is asked, about everything or about the few that are open.
import { api } from "./api.js";

const FEW = 300; /* so many are asked for by name */
const PAUSE_MS = 150; /* between two questions while requests arrive and grow */

/* "name=value" asks for a header by name, anything else for text in the lines "Name: value". */
const wanted = term => (term.part === "header" ? term.value.replace(/^([\w-]+)=/, "$1: ") : term.value);

/* Settles every record of the store that is open. on.left(n): so many are; on.failed(text). */
export class DeepSearch {
	constructor(store, on) {
		this.store = store;
		this.on = on;
		this.terms = [];
		this.busy = null; /* the question under way, until its pause is over */
	}

	setTerms(terms) {
		this.terms = terms;
		if (this.busy)
			this.busy.abort();
		this.busy = null;
	}

	/* Starts on what is open now; called again whenever entries came. */
	run() {
		if (!this.terms.length || this.busy)
			return;
		const todo = this.store.all.filter(rec => rec.open);

		this.on.left(todo.length);
		if (!todo.length)
			return;
		this.busy = new AbortController();
		this.ask(todo, todo.map(rec => rec.entry.rev), this.busy);
	}

	async ask(todo, revs, busy) {
		const ids = todo.length <= FEW ? todo.map(rec => rec.entry.id) : null;
		const terms = this.terms;
		let sets = null;

		try {
			const found = await Promise.all(terms.map(term => api.search(term.part, wanted(term), ids, busy.signal)));
			sets = found.map(got => new Set(got.ids));
		} catch (err) {
			if (busy !== this.busy)
				return;
			this.on.failed(err.message);
		}
		if (busy !== this.busy)
			return;
		todo.forEach((rec, i) => {
			/* What has grown meanwhile is asked for again. */
			if (rec.open && (!sets || rec.entry.rev === revs[i]))
				this.store.settle(rec, Boolean(sets) && terms.every((term, k) => sets[k].has(rec.entry.id) !== term.not));
		});
		this.store.flush("search");
		this.on.left(0);
		setTimeout(() => {
			if (busy !== this.busy)
				return;
			this.busy = null;
			this.run();
		}, PAUSE_MS);
	}
}
