// As much of the WebSocket protocol as a test server needs: accept, text frames both ways, ping, close.
import crypto from "node:crypto";

const MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

export function frame(opcode, data) {
	const n = data.length;
	const head = n < 126 ? Buffer.from([0x80 | opcode, n]) : n < 65536 ?
		Buffer.from([0x80 | opcode, 126, n >> 8, n & 255]) : Buffer.alloc(10);

	if (n >= 65536) {
		head[0] = 0x80 | opcode;
		head[1] = 127;
		head.writeBigUInt64BE(BigInt(n), 2);
	}
	return Buffer.concat([head, data]);
}

/* One whole frame at the start of the buffer, or null. */
export function parse(buf) {
	if (buf.length < 2)
		return null;
	let n = buf[1] & 127;
	let at = 2;
	if (n === 126) {
		if (buf.length < 4)
			return null;
		n = buf.readUInt16BE(2);
		at = 4;
	} else if (n === 127) {
		if (buf.length < 10)
			return null;
		n = Number(buf.readBigUInt64BE(2));
		at = 10;
	}
	const masked = Boolean(buf[1] & 128);
	const mask = masked ? buf.subarray(at, at + 4) : null;
	at += masked ? 4 : 0;
	if (buf.length < at + n)
		return null;
	const data = Buffer.from(buf.subarray(at, at + n));
	for (let i = 0; masked && i < n; i++)
		data[i] ^= mask[i & 3];
	return { opcode: buf[0] & 15, data, rest: buf.subarray(at + n) };
}

/* Takes an upgrade; on.text(string), on.close(). -> {send(text), close(), end()} */
export function accept(req, socket, on) {
	const key = crypto.createHash("sha1").update(req.headers["sec-websocket-key"] + MAGIC).digest("base64");
	let buf = Buffer.alloc(0);

	socket.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		`Sec-WebSocket-Accept: ${key}\r\n\r\n`);
	socket.on("data", chunk => {
		buf = Buffer.concat([buf, chunk]);
		for (let got = parse(buf); got; got = parse(buf)) {
			buf = got.rest;
			if (got.opcode === 1)
				on.text(got.data.toString());
			else if (got.opcode === 9)
				socket.write(frame(10, got.data));
			else if (got.opcode === 8)
				socket.end(frame(8, got.data));
		}
	});
	socket.on("error", () => {});
	socket.on("close", () => on.close && on.close());
	return {
		send: text => socket.writable && socket.write(frame(1, Buffer.from(text))),
		close: () => socket.end(frame(8, Buffer.from([3, 232]))),
		end: () => socket.destroy(),
	};
}
