// multipart bodies into their parts, over bytes: files in them are rarely text.
import { headerValue, parseType } from "./format.js";

function find(data, what, from) {
	for (let i = data.indexOf(what[0], from); i >= 0; i = data.indexOf(what[0], i + 1)) {
		let k = 1;

		while (k < what.length && data[i + k] === what[k])
			k++;
		if (k === what.length)
			return i;
	}
	return -1;
}

function headersOf(text) {
	return text.split(/\r?\n/).filter(line => line.includes(":")).map(line => {
		const at = line.indexOf(":");
		return [line.slice(0, at).trim(), line.slice(at + 1).trim()];
	});
}

function onePart(data) {
	const encoder = new TextEncoder();
	let gap = find(data, encoder.encode("\r\n\r\n"), 0);
	let skip = 4;

	if (data[0] === 13 && data[1] === 10) {
		gap = 0;
		skip = 2;
	}
	if (gap < 0)
		return { headers: [], name: "", file: "", data };
	const headers = headersOf(new TextDecoder().decode(data.subarray(0, gap)));
	const { params } = parseType(headerValue(headers, "content-disposition"));
	return { headers, name: params.name || "", file: params.filename || "", data: data.subarray(gap + skip) };
}

/* [{headers, name, file, data}], [] if the boundary is not in it. */
export function parseMultipart(data, boundary) {
	const mark = new TextEncoder().encode("--" + boundary);
	const parts = [];
	let at = boundary ? find(data, mark, 0) : -1;

	while (at >= 0 && parts.length < 500) {
		let from = at + mark.length;

		if (data[from] === 45 && data[from + 1] === 45)
			break;
		from = data.indexOf(10, from) + 1;
		if (!from)
			break;
		const next = find(data, mark, from);
		let stop = next < 0 ? data.length : next;
		if (data[stop - 1] === 10)
			stop--;
		if (data[stop - 1] === 13)
			stop--;
		parts.push(onePart(data.subarray(from, Math.max(from, stop))));
		at = next;
	}
	return parts;
}
