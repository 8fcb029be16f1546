// The page's modules that need no page.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import test, { after } from "node:test";
import { fileURLToPath } from "node:url";

const ASSETS = new URL("../../assets/inspect/", import.meta.url);
globalThis.document = { addEventListener() {} }; /* dom.js looks for it when it is loaded */
/* For node a .js file is a module only beside a package.json that says so. */
const modules = fs.mkdtempSync(path.join(os.tmpdir(), "pgrok-modules-"));
fs.cpSync(fileURLToPath(ASSETS), modules, { recursive: true });
fs.writeFileSync(path.join(modules, "package.json"), '{"type":"module"}');
after(() => fs.rmSync(modules, { recursive: true }));
const load = name => import(path.join(modules, name));

const { parseFilter } = await load("filter.js");
const format = await load("format.js");
const { parseJson, printJson, lineAndColumn } = await load("json.js");
const { parseXml, printXml } = await load("xml.js");
const { parseMultipart } = await load("multipart.js");
const { diffHeaders, diffLines } = await load("diff.js");
const { curlCommand, shellWord } = await load("copy.js");
const { Store } = await load("store.js");

const entry = more => ({ id: "1", rev: 1, seq: 1, kind: "http", state: "done", method: "POST", host: "web.example.net", path: "/hook?a=1",
	status: 200, tunnel_name: "web", remote_addr: "203.0.113.9:1", note: "", mark: "", resp_type: "application/json", req_type: "",
	req_size: 10, resp_size: 12000, duration_ms: 250, pinned: false, origin: null, edited: false, ...more });

test("filter terms", () => {
	const yes = ["", "hook", "POST", "hook web", "method:post", "method:get,post", "path:/hook", "status:200", "status:2xx", "status:2", "status:>=200",
		"status:200-299", "-status:4xx", "host:web", "size>10k", "size<1m", "size>=12000", "time>200ms", "time<1s", "time<=0.25s", "type:json", "is:ok",
		"-is:pinned", "tunnel:web", "from:203.0", '"/hook?a"', "method:", "status:", "size>", "http://x hook".split(" ")[1]];
	const no = ["nope", "method:get", "path:/x", "status:5xx", "status:>200", "-hook", "size>1m", "time>1s", "is:pinned", "hook nope", "host:api",
		"reqsize>1k", "mark:red"];
	const bad = ["status:abc", "size>lots", "time>5parsecs", "is:blue", "size>1..2"];

	for (const text of yes)
		assert.equal(parseFilter(text).shallow(entry()), true, text);
	for (const text of no)
		assert.equal(parseFilter(text).shallow(entry()), false, text);
	for (const text of bad)
		assert.equal(parseFilter(text).errors.length, 1, text);
	assert.deepEqual(parseFilter('header:x-a=b -body:"two words"').deep, [{ part: "header", value: "x-a=b", not: false },
		{ part: "body", value: "two words", not: true }]);
});

test("numbers for people", () => {
	assert.deepEqual([0.5, 1.234, 12.34, 123.4, 1234, 61000, 3700000].map(format.duration),
		["0.50 ms", "1.23 ms", "12.3 ms", "123 ms", "1.23 s", "1m 01s", "1h 01m"]);
	assert.deepEqual([0, 999, 1000, 12345, 999999, 5e6, 2.5e9].map(format.bytes), ["0 B", "999 B", "1.0 kB", "12 kB", "1.0 MB", "5.0 MB", "2.5 GB"]);
	assert.deepEqual([0, 5000, 65000, 7.3e6, 2e8].map(format.ago), ["now", "5s", "1m", "2h", "2d"]);
	assert.equal(format.shorten("/a/b", 4), "/a/b");
	assert.equal(format.shorten("/api/v2/organizations/latest", 15), "/api/v2/…latest");
	for (const path of ["", "/", "/a😀", "/" + "😀".repeat(14), "/" + "long/".repeat(50)])
		for (let most = 1; most < 30; most++) {
			const text = format.shorten(path, most);
			assert.ok(text.length <= Math.max(2, most), `${text} in ${most}`);
			assert.doesNotMatch(text, /\p{Surrogate}/u, "no half of a pair");
		}
	assert.equal(format.httpUrl("javascript:alert(1)"), null);
	assert.equal(format.httpUrl("https://a.example/"), "https://a.example/");
	assert.deepEqual(format.parseType('multipart/form-data; boundary="a;b\\"c"; x=1'), { type: "multipart/form-data", params: { boundary: 'a;b"c', x: "1" } });
	assert.deepEqual(format.formPairs("a=1&b=%C3%BC+x&c&d=%zz"), [["a", "1"], ["b", "ü x"], ["c", ""], ["d", "%zz"]]);
	const data = Uint8Array.from({ length: 70000 }, (_, i) => i & 255);
	assert.deepEqual(format.fromBase64(format.toBase64(data)), data);
	assert.equal(format.asText(data), null);
	assert.equal(format.asText(new TextEncoder().encode("a\tü\r\n")), "a\tü\r\n");
});

test("JSON: what JSON.parse takes, and nothing else", () => {
	const good = ["{}", "[]", " [1, -2.5e+10, 0]\n", '{"a":{"b":[true,false,null]},"a":1}', '"\\u00e9\\n\\"x"', "12345678901234567890.10", '"' + "x".repeat(300000) + '"',
		'{"' + "k".repeat(100) + '":"\\\\"}'];
	const bad = [["", 0], ["{", 1], ["[1,]", 3], ["[1 2]", 3], ["{a:1}", 1], ['{"a" 1}', 5], ["01", 1], ["1.", 1], ['"a\nb"', 2], ['"\\x"', 1],
		["[1]]", 3], ["nul", 0], ['{"a":1,}', 7], ['"open', 0], ["+1", 0]];

	for (const text of good) {
		const again = printJson(parseJson(text));
		assert.deepEqual(JSON.parse(again), JSON.parse(text));
	}
	assert.equal(printJson(parseJson('{"n":12345678901234567890,"n":1.0}')), '{\n  "n": 12345678901234567890,\n  "n": 1.0\n}');
	for (const [text, at] of bad) {
		assert.throws(() => JSON.parse(text), text);
		assert.throws(() => parseJson(text), err => err.at === at || assert.fail(`${text}: at ${err.at}, not ${at}: ${err.message}`));
	}
	assert.throws(() => parseJson("[".repeat(100000)), /too deep/);
	assert.deepEqual(lineAndColumn("ab\ncd", 4), [2, 2]);
});

test("XML", () => {
	const good = ["<a/>", "<?xml version='1.0'?>\n<!DOCTYPE a [<!ENTITY x '>'>]>\n<!-- c --><a b=\"1>2\" c='x'>t<b/><![CDATA[<x>]]></a>\n", "<ns:a xmlns:ns='u'><ns:b>1</ns:b></ns:a>"];
	const bad = ["", "text", "<a>", "<a></b>", "<a b=1/>", "<a/>x", "<a><!-- x</a>", "</a>", "<a <b/></a>", "<a/><", "<!DOCTYPE a"];

	for (const text of good)
		assert.ok(parseXml(printXml(parseXml(text))).length, text);
	for (const text of bad)
		assert.throws(() => parseXml(text), err => err.at >= 0, text);
	assert.equal(printXml(parseXml("<a><b>1</b><c/></a>")), "<a>\n  <b>1</b>\n  <c/>\n</a>");
});

test("multipart", () => {
	const enc = text => new TextEncoder().encode(text);
	const parts = parseMultipart(enc('pre\r\n--b\r\nContent-Disposition: form-data; name="a"\r\n\r\none\r\n\r\n--b\r\nContent-Disposition: form-data; name="f"; ' +
		'filename="x.bin"\r\nContent-Type: a/b\r\n\r\n\u0000--\r\n--b--\r\nafter'), "b");
	assert.deepEqual(parts.map(p => [p.name, p.file, new TextDecoder().decode(p.data)]), [["a", "", "one\r\n"], ["f", "x.bin", "\u0000--"]]);
	for (const text of ["", "--b", "--b\r\n", "--b\r\n--b--", "x--b\r\nno head"])
		assert.ok(Array.isArray(parseMultipart(enc(text), "b")), text);
	assert.deepEqual(parseMultipart(enc("--b\r\n\r\nx\r\n--b--"), ""), []);
});

test("differences: applying them gives the other side", () => {
	let seed = 7;
	const random = n => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) % n;
	const pairs = [["", ""], ["a", ""], ["", "a"], ["a\nb\nc", "a\nc"], ["a\nb", "b\na"]];

	for (let i = 0; i < 200; i++) {
		const a = Array.from({ length: random(30) }, () => "l" + random(6));
		const b = a.flatMap(line => (random(4) ? [line] : random(2) ? [] : ["n" + random(3), line]));
		pairs.push([a.join("\n"), b.join("\n")]);
	}
	pairs.push([Array.from({ length: 4000 }, (_, i) => "a" + i).join("\n"), Array.from({ length: 4000 }, (_, i) => "b" + i).join("\n")]);
	for (const [a, b] of pairs) {
		const lines = diffLines(a, b);
		assert.equal(lines.filter(l => l[0] !== "+").map(l => l[1]).join("\n"), a);
		assert.equal(lines.filter(l => l[0] !== "-").map(l => l[1]).join("\n"), b);
	}
	assert.deepEqual(diffLines("a\nb\nc\nd", "a\nx\nc\nd").map(l => l.join("")), [" a", "-b", "+x", " c", " d"]);
	assert.deepEqual(diffHeaders([["A", "1"], ["B", "2"], ["b", "3"]], [["a", "1"], ["B", "2"], ["C", ""]]),
		[{ name: "B", a: "2\n3", b: "2" }, { name: "C", a: undefined, b: "" }]);
});

test("shell words survive a shell", () => {
	for (const text of ["plain", "", "it's", "$HOME `id` \\ \"", "a\nb", "\u001b[31mred", "ü\u0085x", "-n", "!!", "tab\tcr\r", "'$'"]) {
		const got = execFileSync("bash", ["-c", `printf %s ${shellWord(text)}`], { env: { ...process.env, LC_ALL: "C.UTF-8" } }).toString();
		assert.equal(got, text, shellWord(text));
	}
	const tx = { request: { method: "POST", uri: "/x", header_list: [["Host", "a"], ["X-Empty", ""], ["Content-Length", "2"]] } };
	assert.equal(curlCommand(tx, "https://a.example", new Uint8Array([1, 255])),
		"printf %s Af8= | base64 -d | curl https://a.example/x \\\n  -H 'X-Empty;' \\\n  --data-binary @-");
});

test("the store keeps order, takes the newest, follows the filter", () => {
	const store = new Store();
	const ids = () => store.view.map(rec => rec.entry.id).join("");
	const put = (id, seq, rev, more) => store.put(entry({ id, seq, rev, ...more }));

	put("b", 2, 1);
	put("a", 1, 1);
	put("c", 3, 5);
	store.flush();
	assert.equal(ids(), "abc");
	assert.equal(store.at(0).id, "c");
	assert.equal(store.indexOf("a"), 2);
	assert.equal(put("c", 3, 4, { status: 500 }), false, "an older revision changes nothing");
	store.setMatch(e => e.status === 200);
	put("b", 2, 2, { status: 500 });
	store.flush();
	assert.equal(ids(), "ac");
	assert.equal(store.indexOf("b"), -1);
	put("b", 2, 3, { status: 200 });
	store.dropIds(["a"]);
	store.flush();
	assert.equal(ids(), "bc");
	store.keepIds(["b"]);
	store.flush();
	assert.equal(ids(), "b");
});

test("no source of the page makes HTML of text, loads from elsewhere or carries inline code", () => {
	const folder = fileURLToPath(ASSETS);

	for (const name of fs.readdirSync(folder)) {
		const text = fs.readFileSync(folder + name, "utf8");
		if (name.endsWith(".js")) {
			assert.doesNotMatch(text, /innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc|parseFromString|createContextualFragment/, name);
			assert.ok(text.split("\n").length <= 800, `${name} is too long`);
		}
		if (name.endsWith(".html")) {
			assert.doesNotMatch(text, /\sstyle=|\son\w+=|<style/i, name);
			for (const m of text.matchAll(/<script\b([^>]*)>([^<]*)/g))
				assert.ok(/src="\/static\//.test(m[1]) && !m[2].trim(), m[0]);
		}
		if (!name.endsWith(".md"))
			assert.doesNotMatch(text.replace(/http:\/\/www\.w3\.org\/\d+\/\w+/g, ""), /["'(]https?:\/\/[a-z]/i, name);
	}
});
