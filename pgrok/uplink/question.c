/* One request and its answer. */
#include "pgrok/uplink/question.h"

static void hear(struct question *q)
{
	size_t n;

	while (q->in.len < q->most) {
		size_t room = q->most - q->in.len;

		switch (stream_read(q->s, text_room(&q->in, room), room, &n)) {
		case STREAM_OK:
			q->in.len += n;
			if (q->heard(q->arg))
				return;
			break;
		case STREAM_AGAIN:
			stream_want(q->s, STREAM_READ | (q->out.len ? STREAM_WRITE : 0));
			return;
		case STREAM_EOF:
			q->ended(q->arg, NULL);
			return;
		case STREAM_ABORT:
			q->ended(q->arg, stream_error(q->s));
			return;
		}
	}
	q->ended(q->arg, "the server's answer is too long");
}

static void on_ready(void *arg, int dirs)
{
	struct question *q = arg;
	enum stream_rc rc = STREAM_OK;
	size_t n;

	while (q->out.len && rc == STREAM_OK) {
		rc = stream_write(q->s, q->out.p, q->out.len, &n);
		if (rc == STREAM_OK)
			text_drop(&q->out, n);
	}
	if (rc == STREAM_ABORT)
		q->ended(q->arg, stream_error(q->s));
	else
		hear(q);
}

void question_ask(struct question *q)
{
	stream_on_ready(q->s, on_ready, q);
	stream_want(q->s, STREAM_WRITE);
}

void question_end(struct question *q)
{
	text_free(&q->out);
	text_free(&q->in);
}
