/*
 * Fuzzes the capture with dialogues. Each is played three times. With room for everything, in whole
 * segments and in pieces: the splits may not change what is read out of it. With hardly any room,
 * on two connections at once: what is kept stays within the bound, whatever has to go for it.
 * Input: segments {who and splits: 1 byte, length: 2 bytes little-endian, bytes}.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pgrok/capture/capture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SMALL_TOTAL 12000

struct digest {
	uint64_t hash;
};

static void check(bool good)
{
	if (!good)
		abort();
}

static void mix(struct digest *d, const void *p, size_t len)
{
	const unsigned char *c = p;

	for (size_t i = 0; i < len; i++)
		d->hash = (d->hash ^ c[i]) * UINT64_C(0x100000001b3);
	d->hash = (d->hash ^ len) * UINT64_C(0x100000001b3);
}

static void mix_number(struct digest *d, uint64_t n)
{
	mix(d, &n, sizeof(n));
}

static void mix_blob(struct digest *d, const struct blob *b)
{
	char *text = blob_text(b);

	mix(d, text, b->len);
	free(text);
}

static void mix_body(struct digest *d, const struct capture_body *b)
{
	mix_number(d, b->size);
	mix_number(d, b->complete);
	mix_blob(d, &b->blob);
}

static void mix_txn(struct digest *d, const struct capture_txn *t)
{
	mix_number(d, (uint64_t)t->kind << 32 | (uint64_t)t->state);
	mix_number(d, (uint64_t)t->status);
	mix(d, t->req_head.text, t->req_head.len);
	mix(d, t->resp_head.text, t->resp_head.len);
	mix(d, t->req_trailers.text, t->req_trailers.len);
	mix(d, t->resp_trailers.text, t->resp_trailers.len);
	mix_body(d, &t->req);
	mix_body(d, &t->resp);
	mix_number(d, t->interim_n);
	mix_number(d, t->frames_n);
	for (const struct capture_frame *f = t->frames; f; f = f->next) {
		mix_number(d, (uint64_t)f->type << 8 | f->from_client);
		/* How far broken data can be decoded depends on how much of it came at once. */
		if (!f->compressed)
			mix_number(d, f->size);
		if (!f->compressed)
			mix_blob(d, &f->blob);
		if (f->event)
			mix(d, f->event, strlen(f->event));
		if (f->last_id)
			mix(d, f->last_id, strlen(f->last_id));
	}
}

static void on_event(void *arg, enum capture_event ev, const struct capture_txn *t,
		     const struct capture_frame *f)
{
	struct capture *s = arg;
	struct capture_stats stats;

	capture_stats(s, &stats);
	check(stats.memory <= capture_limits_of(s)->max_total);
	check(ev == CAPTURE_EV_CLEARED || capture_find(s, t->id) == t);
}

static struct capture_conn *open_conn(struct capture *s)
{
	struct capture_conn *c = capture_conn_new(s, &(struct capture_conn_info){
							     .name = "n",
							     .url = "u",
							     .local = "l",
							     .visitor = "v",
							     .proto = PROTO_HTTP,
						     });

	capture_conn_connected(c);
	return c;
}

static void say(struct capture_conn *c, enum side from, const uint8_t *p, size_t len, size_t step)
{
	for (size_t at = 0; at < len; at += step)
		capture_conn_bytes(c, from, (const char *)p + at,
				   len - at < step ? len - at : step);
}

/* small: with hardly any room, two connections in turns, some transactions pinned or deleted. */
static uint64_t play(const uint8_t *data, size_t size, bool pieces, bool small)
{
	struct capture_limits limits = {small ? 3000 : 1u << 20, small ? SMALL_TOTAL : 64u << 20};
	struct capture *s = capture_new(&limits);
	struct capture_watch watch = {.fn = on_event, .arg = s};
	struct capture_conn *c[2] = {open_conn(s), open_conn(s)};
	struct digest d = {UINT64_C(0xcbf29ce484222325)};
	bool yes = true;

	capture_watch(s, &watch);
	while (size >= 3) {
		unsigned op = data[0];
		size_t len = data[1] | (size_t)data[2] << 8;
		struct capture_conn *to = c[small && (op & 2)];
		enum side from = op & 1 ? SIDE_VISITOR : SIDE_SERVICE;

		data += 3;
		size -= 3;
		len = len < size ? len : size;
		say(to, from, data, len, pieces ? 1 + (op >> 4) : 1u << 20);
		if ((op & 12) == 4)
			capture_conn_eof(to, from);
		if (small && (op & 12) == 8 && capture_newest(s))
			(void)!capture_annotate(s, capture_newest(s)->id, &yes, "m", "note");
		if (small && (op & 12) == 12 && capture_oldest(s))
			check(capture_delete(s, capture_oldest(s)->id));
		data += len;
		size -= len;
	}
	capture_conn_close(c[0], NULL);
	capture_conn_close(c[1], "cut");
	for (const struct capture_txn *t = capture_oldest(s); t; t = t->next)
		mix_txn(&d, t);
	capture_unwatch(s, &watch);
	capture_free(s);
	return d.hash;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check(play(data, size, false, false) == play(data, size, true, false));
	(void)play(data, size, true, true);
	return 0;
}
