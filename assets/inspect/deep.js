// header: and body: terms. The list has neither: the server is asked for all at once if it can search; what
// it does not settle (and everything, if it can't) is fetched one by one, newest first, a few at a time.
import { api } from "./api.js";

const AT_ONCE = 6;
const FEW = 20; /* so many are not worth a search through everything */
const MOST_TEXTS = 4000; /* header texts that are remembered */
const BODY_LIMIT = 1 << 20;

const heads = new Map(); /* id -> {rev, text} */

function headText(tx) {
	const lines = [];

	for (const side of [tx.request, tx.response])
		for (const [name, value] of side ? [...side.header_list, ...(side.trailers || [])] : [])
			lines.push(`${name}: ${value}`);
	return lines.join("\n").toLowerCase();
}

async function headOf(entry) {
	const known = heads.get(entry.id);

	if (known && known.rev === entry.rev)
		return known.text;
	const text = headText(await api.transaction(entry.id));
	if (heads.size >= MOST_TEXTS)
		heads.delete(heads.keys().next().value);
	heads.set(entry.id, { rev: entry.rev, text });
	return text;
}

async function bodyOf(entry, side) {
	const got = await api.body(entry.id, side, { decode: true, limit: BODY_LIMIT });

	return new TextDecoder().decode(got.bytes).toLowerCase();
}

async function bodyHas(entry, value) {
	if (entry.req_size && (await bodyOf(entry, "request")).includes(value))
		return true;
	return entry.resp_size > 0 && (await bodyOf(entry, "response")).includes(value);
}

/* "name=value" asks for a header by name, anything else for text in the lines "name: value". */
const wanted = term => (term.part === "header" ? term.value.replace(/^([\w-]+)=/, "$1: ") : term.value);

async function holds(entry, terms) {
	for (const term of terms) {
		const value = wanted(term);
		const found = term.part === "header" ? (await headOf(entry)).includes(value) :
			await bodyHas(entry, value);

		if (found === term.not)
			return false;
	}
	return true;
}

/* Settles every record of the store whose hit is open. progress(left) is told now and then. */
export class DeepSearch {
	constructor(store, progress) {
		this.store = store;
		this.progress = progress;
		this.canAsk = false; /* the server searches */
		this.terms = [];
		this.round = 0;
		this.asked = -1;
		this.running = 0;
	}

	setTerms(terms) {
		this.terms = terms;
		this.round++;
		this.running = 0;
	}

	/* Starts on what is open now; called again whenever entries came. */
	run() {
		if (!this.terms.length || this.running)
			return;
		const todo = this.store.all.filter(rec => rec.hit === null).reverse();
		const job = { todo, at: 0, round: this.round, shown: performance.now() };

		if (!todo.length) {
			this.progress(0);
			return;
		}
		if (this.canAsk && this.asked !== this.round && todo.length > FEW) {
			this.asked = this.round;
			this.running = 1;
			this.ask(job);
			return;
		}
		this.running = Math.min(AT_ONCE, todo.length);
		for (let i = 0, n = this.running; i < n; i++)
			this.work(job);
	}

	async ask(job) {
		const terms = this.terms;

		this.progress(job.todo.length);
		try {
			const found = await Promise.all(terms.map(term => api.search(term.part, wanted(term))));
			if (job.round !== this.round)
				return;
			const sets = found.map(got => new Set(got.ids));
			for (const rec of job.todo)
				if (rec.entry.state !== "open" && rec.hit === null)
					this.store.settle(rec, terms.every((term, i) => sets[i].has(rec.entry.id) !== term.not));
			this.store.flush("search");
		} catch (err) {
			/* one by one, then */
		}
		if (job.round !== this.round)
			return;
		this.running = 0;
		this.run();
	}

	async work(job) {
		while (job.round === this.round && job.at < job.todo.length) {
			const rec = job.todo[job.at++];
			const rev = rec.entry.rev;
			let hit = false;

			try {
				hit = await holds(rec.entry, this.terms);
			} catch (err) {
				/* it left the store meanwhile */
			}
			if (job.round !== this.round)
				return;
			if (rec.entry.rev === rev)
				this.store.settle(rec, hit);
			if (performance.now() - job.shown > 120) {
				job.shown = performance.now();
				this.store.flush("search");
				this.progress(job.todo.length - job.at);
			}
		}
		if (job.round !== this.round || --this.running)
			return;
		this.store.flush("search");
		this.progress(0);
		this.run();
	}
}
