/* Messages over a stream: assembling what comes, queueing what goes. */
#include "msg/pgrok/chan.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * A frame that waits to be written. Frames are never joined: each is offered to the stream as one
 * piece, so that it leaves in one TLS record, and offered again unchanged after AGAIN.
 */
struct piece {
	struct piece *next;
	char *data;
	size_t len, off; /* off: how much of it the stream took */
};

struct chan {
	struct stream *s;
	size_t max;       /* the largest frame this peer takes */
	size_t queue_max; /* as queued */

	/* The frame that is coming in. */
	unsigned char head[FRAME_HEADER];
	size_t head_have;
	char *body; /* NULL until the header is whole and its length is good */
	size_t body_len, body_have;
	bool bad; /* what follows a bad message has no meaning */

	struct piece *first, **last;
	size_t queued; /* bytes not yet taken by the stream, and what their pieces take */
	struct err err;
};

struct chan *chan_new(struct stream *s)
{
	struct chan *c = xcalloc(1, sizeof(*c));

	c->s = s;
	c->max = FRAME_GO_MAX;
	c->queue_max = CHAN_QUEUE_MAX;
	c->last = &c->first;
	return c;
}

void chan_feed(struct chan *c, const void *buf, size_t len)
{
	assert(!c->head_have && !c->body && len <= FRAME_HEADER);
	if (len)
		memcpy(c->head, buf, len);
	c->head_have = len;
}

static void drop_first(struct chan *c)
{
	struct piece *p = c->first;

	c->first = p->next;
	if (!c->first)
		c->last = &c->first;
	c->queued -= p->len - p->off + sizeof(*p);
	xfree_secret(p->data, p->len);
	free(p);
}

static void drop_body(struct chan *c)
{
	xfree_secret(c->body, c->body_len);
	c->body = NULL;
	c->body_len = c->body_have = c->head_have = 0;
}

void chan_free(struct chan *c)
{
	if (!c)
		return;
	while (c->first)
		drop_first(c);
	drop_body(c);
	free(c);
}

void chan_set_max(struct chan *c, size_t max)
{
	c->max = max;
}

void chan_set_queue(struct chan *c, size_t max)
{
	c->queue_max = max;
}

bool chan_waiting(const struct chan *c)
{
	return c->first != NULL;
}

const char *chan_error(const struct chan *c)
{
	return c->err.text;
}

static void note_abort(struct chan *c)
{
	const char *why = stream_error(c->s);

	err_set(&c->err, "%s", *why ? why : "connection aborted");
}

/* Reads until buf, of which *have bytes are there, holds want bytes: OK, or why not yet. */
static enum chan_rc read_up_to(struct chan *c, void *buf, size_t *have, size_t want)
{
	size_t n;

	while (*have < want) {
		switch (stream_read(c->s, (char *)buf + *have, want - *have, &n)) {
		case STREAM_OK:
			*have += n;
			break;
		case STREAM_AGAIN:
			return CHAN_AGAIN;
		case STREAM_EOF:
			if (!c->head_have)
				return CHAN_EOF;
			err_set(&c->err, "the peer closed in the middle of a message");
			return CHAN_ABORT;
		case STREAM_ABORT:
			note_abort(c);
			return CHAN_ABORT;
		}
	}
	return CHAN_OK;
}

static enum chan_rc decode_body(struct chan *c, struct msg *out)
{
	enum msg_rc rc = msg_decode(c->body, c->body_len, out, &c->err);

	drop_body(c);
	if (rc == MSG_BAD) {
		c->bad = true;
		return CHAN_BAD;
	}
	return rc == MSG_NULL ? CHAN_NULL : CHAN_OK;
}

enum chan_rc chan_recv(struct chan *c, struct msg *out)
{
	enum chan_rc rc;

	if (c->bad)
		return CHAN_BAD;
	rc = read_up_to(c, c->head, &c->head_have, FRAME_HEADER);
	if (rc != CHAN_OK)
		return rc;
	if (!c->body) {
		if (frame_parse(c->head, FRAME_HEADER, &c->body_len) == FRAME_BAD) {
			c->bad = true;
			err_set(&c->err, "bad length of a message");
			return CHAN_BAD;
		}
		c->body = xmalloc(c->body_len);
	}
	rc = read_up_to(c, c->body, &c->body_have, c->body_len);
	if (rc != CHAN_OK)
		return rc;
	return decode_body(c, out);
}

bool chan_send(struct chan *c, const struct msg *m)
{
	size_t len;
	char *frame = frame_make(m, c->max, &len, &c->err);
	struct piece *p;

	if (!frame)
		return false;
	if (c->first && c->queued + len + sizeof(*p) > c->queue_max) {
		err_set(&c->err, "the peer does not read: %zu bytes wait", c->queued);
		xfree_secret(frame, len);
		return false;
	}
	p = xcalloc(1, sizeof(*p));
	p->data = frame;
	p->len = len;
	*c->last = p;
	c->last = &p->next;
	c->queued += len + sizeof(*p);
	return chan_flush(c) != STREAM_ABORT;
}

enum stream_rc chan_flush(struct chan *c)
{
	enum stream_rc rc;
	size_t n;

	while (c->first) {
		struct piece *p = c->first;

		rc = stream_write(c->s, p->data + p->off, p->len - p->off, &n);
		if (rc == STREAM_AGAIN)
			return rc;
		if (rc != STREAM_OK) {
			note_abort(c);
			return STREAM_ABORT;
		}
		p->off += n;
		c->queued -= n;
		if (p->off == p->len)
			drop_first(c);
	}
	return STREAM_OK;
}
