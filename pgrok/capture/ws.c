/* WebSocket messages out of both directions' bytes (RFC 6455, RFC 7692). */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>

#include "pgrok/capture/frames.h"

/* What zlib takes for a window of 32 KiB, roughly (its documentation: 1 << 15 and about 7 KiB). */
#define INFLATE_COST (44u << 10)
#define CONTROL_MAX 125
#define HEADER_MAX 14 /* two bytes, a length of eight, a mask of four */
#define SCRATCH 4096

enum opcode { OP_CONT, OP_TEXT, OP_BINARY, OP_CLOSE = 8, OP_PING, OP_PONG };

struct direction {
	bool from_client;
	/* The frame being read. */
	unsigned char header[HEADER_MAX];
	size_t header_len; /* bytes of it that are there */
	bool in_payload;
	bool fin, masked;
	enum opcode op;
	unsigned char mask[4];
	unsigned mask_at;
	uint64_t left; /* of the payload */
	char control[CONTROL_MAX];
	size_t control_len;
	/* The message that its frames are of. */
	bool in_message, deflated;
	struct capture_frame *message; /* NULL: no room for it */
	uint64_t inflated;             /* bytes that came out of it */
	/* permessage-deflate */
	bool fresh;     /* each message starts with an empty window */
	bool exhausted; /* no decoding any more: an error, a bomb, no memory */
	z_stream *z;
};

struct capture_ws {
	struct capture *store;
	struct capture_txn *txn;
	bool deflate;
	struct direction dir[2]; /* 1: from the client */
};

/* ---- set up ---- */

/* Is name among the parameters of the extension? */
static bool has_param(const char *ext, size_t len, const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i + n <= len; i++) {
		if (strncasecmp(ext + i, name, n) != 0)
			continue;
		if ((i == 0 || strchr("; \t,", ext[i - 1])) &&
		    (i + n == len || strchr("; \t,=", ext[i + n])))
			return true;
	}
	return false;
}

struct capture_ws *capture_ws_new(struct capture *s, struct capture_txn *t, const char *ext,
				  size_t ext_len)
{
	struct capture_ws *ws = xcalloc(1, sizeof(*ws));

	ws->store = s;
	ws->txn = t;
	ws->deflate = has_param(ext, ext_len, "permessage-deflate");
	ws->dir[1].from_client = true;
	ws->dir[0].fresh = has_param(ext, ext_len, "server_no_context_takeover");
	ws->dir[1].fresh = has_param(ext, ext_len, "client_no_context_takeover");
	return ws;
}

static void end_inflate(struct capture_ws *ws, struct direction *d)
{
	if (!d->z)
		return;
	inflateEnd(d->z);
	free(d->z);
	d->z = NULL;
	store_refund(ws->store, NULL, INFLATE_COST);
}

void capture_ws_free(struct capture_ws *ws)
{
	if (!ws)
		return;
	for (int i = 0; i < 2; i++) {
		end_inflate(ws, &ws->dir[i]);
		if (ws->dir[i].message)
			ws->dir[i].message->complete = true;
	}
	free(ws);
}

/* ---- messages ---- */

static void message_begin(struct capture_ws *ws, struct direction *d, bool deflated)
{
	d->in_message = true;
	d->deflated = deflated;
	d->inflated = 0;
	d->message = store_add_frame(ws->store, ws->txn,
				     d->op == OP_TEXT ? CAPTURE_FRAME_TEXT : CAPTURE_FRAME_BINARY,
				     d->from_client);
	if (!d->message)
		return;
	d->message->compressed = deflated;
	d->message->encoded = deflated && d->exhausted;
}

/* Room for a window may cost other transactions their place, but not this one. */
static bool begin_inflate(struct capture_ws *ws, struct direction *d)
{
	if (d->z)
		return true;
	if (!store_charge(ws->store, ws->txn, INFLATE_COST))
		return false;
	ws->txn->memory -= INFLATE_COST; /* it is the connection's */
	d->z = xcalloc(1, sizeof(*d->z));
	if (inflateInit2(d->z, -MAX_WBITS) == Z_OK)
		return true;
	free(d->z);
	d->z = NULL;
	store_refund(ws->store, NULL, INFLATE_COST);
	return false;
}

/* Nothing can be decoded any more, since later messages lean on earlier ones. */
static void give_up_decoding(struct capture_ws *ws, struct direction *d)
{
	d->exhausted = true;
	end_inflate(ws, d);
	if (d->message && !d->message->size)
		d->message->encoded = true;
}

static void inflate_bytes(struct capture_ws *ws, struct direction *d, const char *data, size_t len)
{
	char out[SCRATCH];
	int rc = Z_OK;

	if (!begin_inflate(ws, d)) {
		give_up_decoding(ws, d);
		return;
	}
	d->z->next_in = (Bytef *)(uintptr_t)data;
	d->z->avail_in = (uInt)len;
	do {
		d->z->next_out = (Bytef *)out;
		d->z->avail_out = sizeof(out);
		rc = inflate(d->z, Z_SYNC_FLUSH);
		size_t n = sizeof(out) - d->z->avail_out;

		d->inflated += n;
		if (d->message && n)
			store_grow_frame(ws->store, ws->txn, d->message, out, n);
		/* A peer that ends its stream starts a new one: what zlib calls the end is none. */
		if (rc == Z_STREAM_END)
			rc = inflateReset(d->z);
		if (d->inflated > CAPTURE_INFLATE_MAX)
			rc = Z_MEM_ERROR;
	} while (rc == Z_OK && (d->z->avail_in || !d->z->avail_out));
	if (rc != Z_OK && rc != Z_BUF_ERROR)
		give_up_decoding(ws, d);
}

static void message_bytes(struct capture_ws *ws, struct direction *d, const char *data, size_t len)
{
	if (d->deflated && !d->exhausted)
		inflate_bytes(ws, d, data, len);
	if (!d->message || (d->deflated && !d->exhausted))
		return;
	if (d->deflated && !d->message->encoded)
		d->message->size += len; /* decoded as far as it went: the rest is missing */
	else
		store_grow_frame(ws->store, ws->txn, d->message, data, len);
}

static void message_end(struct capture_ws *ws, struct direction *d)
{
	struct capture_frame *f = d->message;

	/* RFC 7692 section 7.2.2: what the sender took off. */
	if (d->deflated && !d->exhausted)
		inflate_bytes(ws, d, "\0\0\xff\xff", 4);
	if (d->fresh && d->z)
		(void)inflateReset(d->z);
	if (d->fresh)
		d->exhausted = false;
	d->in_message = false;
	d->message = NULL;
	if (!f)
		return;
	f->complete = true;
	store_tell(ws->store, CAPTURE_EV_FRAME, ws->txn, f);
}

/* A frame that is a message by itself, its payload in d->control. */
static void control_end(struct capture_ws *ws, struct direction *d)
{
	static const enum capture_frame_type types[] = {CAPTURE_FRAME_CLOSE, CAPTURE_FRAME_PING,
							CAPTURE_FRAME_PONG};
	struct capture_frame *f =
		store_add_frame(ws->store, ws->txn, types[d->op - OP_CLOSE], d->from_client);
	size_t skip = 0;

	if (!f)
		return;
	f->fragments = 1;
	if (d->op == OP_CLOSE && d->control_len >= 2) {
		f->code = (uint16_t)((unsigned char)d->control[0] << 8 |
				     (unsigned char)d->control[1]);
		skip = 2;
	}
	store_grow_frame(ws->store, ws->txn, f, d->control + skip, d->control_len - skip);
	f->complete = true;
	store_tell(ws->store, CAPTURE_EV_FRAME, ws->txn, f);
}

/* ---- frames ---- */

/* Bytes that the header of which `header` is the beginning has. */
static size_t header_size(const unsigned char *header, size_t have)
{
	size_t size = 2;

	if (have < 2)
		return 2;
	if ((header[1] & 0x7f) == 126)
		size += 2;
	else if ((header[1] & 0x7f) == 127)
		size += 8;
	return size + (header[1] & 0x80 ? 4 : 0);
}

static uint64_t payload_size(const unsigned char *header)
{
	unsigned n = header[1] & 0x7f, bytes = n == 126 ? 2 : 8;
	uint64_t size = 0;

	if (n < 126)
		return n;
	for (unsigned i = 0; i < bytes; i++)
		size = size << 8 | header[2 + i];
	return size;
}

/* What is wrong with the frame whose header is complete; NULL: nothing. */
static const char *frame_fault(const struct capture_ws *ws, const struct direction *d)
{
	bool control = d->op >= OP_CLOSE;

	if (d->header[0] & 0x30)
		return "a reserved bit is set";
	if ((d->op > OP_BINARY && d->op < OP_CLOSE) || d->op > OP_PONG)
		return "unknown kind of frame";
	if ((d->header[0] & 0x40) && (!ws->deflate || control || d->op == OP_CONT))
		return "compressed, which was not agreed on";
	if (control && (!d->fin || d->left > CONTROL_MAX))
		return "control frame too long or in pieces";
	if (d->op == OP_CONT && !d->in_message)
		return "continues no message";
	if (!control && d->op != OP_CONT && d->in_message)
		return "a message before the last one's end";
	return d->left >> 63 ? "impossible length" : NULL;
}

/* The header is there. Returns what is wrong with it, or NULL. */
static const char *frame_begin(struct capture_ws *ws, struct direction *d)
{
	const char *fault;

	d->fin = d->header[0] & 0x80;
	d->op = d->header[0] & 0x0f;
	d->masked = d->header[1] & 0x80;
	d->left = payload_size(d->header);
	d->mask_at = 0;
	if (d->masked)
		memcpy(d->mask, d->header + d->header_len - 4, 4);
	fault = frame_fault(ws, d);
	if (fault)
		return fault;
	d->in_payload = true;
	d->control_len = 0;
	if (d->op == OP_TEXT || d->op == OP_BINARY)
		message_begin(ws, d, d->header[0] & 0x40);
	if (d->op < OP_CLOSE && d->message)
		d->message->fragments++;
	return NULL;
}

static void frame_end(struct capture_ws *ws, struct direction *d)
{
	d->in_payload = false;
	d->header_len = 0;
	if (d->op >= OP_CLOSE)
		control_end(ws, d);
	else if (d->fin)
		message_end(ws, d);
}

/* Does the payload matter, or is it only counted? */
static bool only_counted(const struct capture_ws *ws, const struct direction *d)
{
	if (d->op >= OP_CLOSE || (d->deflated && !d->exhausted))
		return false;
	return !d->message || d->message->size >= capture_limits_of(ws->store)->max_body;
}

static void unmask(struct direction *d, const char *from, char *to, size_t n)
{
	for (size_t i = 0; i < n; i++)
		to[i] = (char)(from[i] ^ d->mask[(d->mask_at + i) & 3]);
	d->mask_at = (unsigned)(d->mask_at + n) & 3;
}

/* Takes what is there of the payload; returns how much that was. */
static size_t payload(struct capture_ws *ws, struct direction *d, const char *buf, size_t len)
{
	char plain[SCRATCH];
	size_t n = d->left < len ? (size_t)d->left : len;

	if (only_counted(ws, d)) {
		if (d->message)
			d->message->size += n;
		d->mask_at = (unsigned)(d->mask_at + n) & 3;
		d->left -= n;
		return n;
	}
	if (d->masked) {
		n = n < sizeof(plain) ? n : sizeof(plain);
		unmask(d, buf, plain, n);
		buf = plain;
	}
	d->left -= n;
	if (d->op < OP_CLOSE) {
		message_bytes(ws, d, buf, n);
	} else {
		memcpy(d->control + d->control_len, buf, n);
		d->control_len += n;
	}
	return n;
}

static void broken(struct capture_ws *ws, struct direction *d, const char *why)
{
	struct capture_frame *f =
		store_add_frame(ws->store, ws->txn, CAPTURE_FRAME_ERROR, d->from_client);

	if (!f)
		return;
	store_grow_frame(ws->store, ws->txn, f, why, strlen(why));
	f->complete = true;
	store_tell(ws->store, CAPTURE_EV_FRAME, ws->txn, f);
}

bool capture_ws_bytes(struct capture_ws *ws, bool from_client, const char *buf, size_t len)
{
	struct direction *d = &ws->dir[from_client];

	while (len > 0) {
		size_t n = 1;

		if (d->in_payload) {
			n = payload(ws, d, buf, len);
		} else {
			d->header[d->header_len++] = (unsigned char)*buf;
			if (d->header_len >= 2 &&
			    d->header_len == header_size(d->header, d->header_len)) {
				const char *fault = frame_begin(ws, d);

				if (fault) {
					broken(ws, d, fault);
					return false;
				}
			}
		}
		if (d->in_payload && !d->left)
			frame_end(ws, d);
		buf += n;
		len -= n;
	}
	return true;
}
