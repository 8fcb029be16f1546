// JSON as it was sent: numbers keep their digits, repeated keys stay, and an error has a place.

export class PlaceError extends Error {
	constructor(msg, at) {
		super(msg);
		this.at = at;
	}
}

const MOST_DEPTH = 400;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const SPACE = /[ \t\r\n]*/y;

/*
 * Nodes: {kind: "object", keys: [raw...], vals: [node...]}, {kind: "array", vals},
 * {kind: "string"|"number"|"word", raw}.
 */
class Reader {
	constructor(text) {
		this.text = text;
		this.at = 0;
	}

	skip() {
		SPACE.lastIndex = this.at;
		SPACE.exec(this.text);
		this.at = SPACE.lastIndex;
	}

	fail(expected) {
		const got = this.at >= this.text.length ? "the end" : JSON.stringify(this.text[this.at]);
		throw new PlaceError(`expected ${expected}, got ${got}`, this.at);
	}

	take(regex, expected) {
		regex.lastIndex = this.at;
		const m = regex.exec(this.text);

		if (!m)
			this.fail(expected);
		this.at = regex.lastIndex;
		return m[0];
	}

	value(depth) {
		this.skip();
		const c = this.text[this.at];

		if (depth > MOST_DEPTH)
			throw new PlaceError("nested too deep to show", this.at);
		if (c === "{")
			return this.object(depth);
		if (c === "[")
			return this.array(depth);
		if (c === '"')
			return { kind: "string", raw: this.string() };
		for (const word of ["true", "false", "null"])
			if (this.text.startsWith(word, this.at)) {
				this.at += word.length;
				return { kind: "word", raw: word };
			}
		return { kind: "number", raw: this.take(NUMBER, "a value") };
	}

	/* A long string can be more than a regular expression's stack takes: then by hand. */
	string() {
		STRING.lastIndex = this.at;
		const m = STRING.exec(this.text);

		if (m) {
			this.at = STRING.lastIndex;
			return m[0];
		}
		let i = this.at + 1;
		while (i < this.text.length && this.text[i] !== '"') {
			if (this.text.charCodeAt(i) < 32)
				throw new PlaceError("a control character inside a string", i);
			if (this.text[i] === "\\" && !/^\\(["\\/bfnrt]|u[0-9a-fA-F]{4})/.test(this.text.slice(i, i + 6)))
				throw new PlaceError("an unknown escape inside a string", i);
			i += this.text[i] === "\\" ? 2 : 1;
		}
		if (i >= this.text.length)
			throw new PlaceError("a string without an end", this.at);
		const raw = this.text.slice(this.at, i + 1);
		this.at = i + 1;
		return raw;
	}

	/* After a value inside brackets: true: another one follows. */
	more(end) {
		this.skip();
		if (this.text[this.at] === ",") {
			this.at++;
			return true;
		}
		if (this.text[this.at] !== end)
			this.fail(`"," or "${end}"`);
		this.at++;
		return false;
	}

	object(depth) {
		const node = { kind: "object", keys: [], vals: [] };

		this.at++;
		this.skip();
		if (this.text[this.at] === "}") {
			this.at++;
			return node;
		}
		do {
			this.skip();
			if (this.text[this.at] !== '"')
				this.fail("a key in quotes");
			node.keys.push(this.string());
			this.skip();
			if (this.text[this.at] !== ":")
				this.fail('":"');
			this.at++;
			node.vals.push(this.value(depth + 1));
		} while (this.more("}"));
		return node;
	}

	array(depth) {
		const node = { kind: "array", vals: [] };

		this.at++;
		this.skip();
		if (this.text[this.at] === "]") {
			this.at++;
			return node;
		}
		do
			node.vals.push(this.value(depth + 1));
		while (this.more("]"));
		return node;
	}
}

export function parseJson(text) {
	const reader = new Reader(text.charCodeAt(0) === 0xfeff ? " " + text.slice(1) : text);
	const node = reader.value(0);

	reader.skip();
	if (reader.at < text.length)
		reader.fail("the end");
	return node;
}

/* One string, indented: what is copied and compared. sort: keys in order, so that only content counts. */
export function printJson(node, indent = "", sort = false) {
	if (!node.vals)
		return node.raw;
	const [open, close] = node.kind === "object" ? "{}" : "[]";
	if (!node.vals.length)
		return open + close;
	const deeper = indent + "  ";
	const order = node.vals.map((_, i) => i);
	if (sort && node.keys)
		order.sort((a, b) => (node.keys[a] < node.keys[b] ? -1 : node.keys[a] > node.keys[b] ? 1 : a - b));
	const lines = order.map(i =>
		deeper + (node.keys ? node.keys[i] + ": " : "") + printJson(node.vals[i], deeper, sort));
	return `${open}\n${lines.join(",\n")}\n${indent}${close}`;
}

/* Line and column of a place, from 1. */
export function lineAndColumn(text, at) {
	const before = text.slice(0, at);
	const line = before.split("\n").length;

	return [line, at - before.lastIndexOf("\n")];
}
