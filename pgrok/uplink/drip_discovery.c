/* What a Drip server says of itself before anything else. */
#include "pgrok/uplink/drip_discovery.h"

#include "common/base/log.h"
#include "common/http/head.h"
#include "pgrok/config/limits.h"
#include "pgrok/uplink/question.h"

struct drip_discovery {
	const struct drip_conf *conf;
	drip_discovery_fn *fn;
	void *arg;
	struct connect *attempt; /* waits for the connector */
	struct question q;       /* waits for the answer's end; s NULL: is not asked yet */
	struct http_head head;
	struct loop_timer deadline; /* over all */
};

/* ---- the end ---- */

static void discovery_free(void *p)
{
	struct drip_discovery *d = p;

	question_end(&d->q);
	free(d);
}

void drip_discovery_cancel(struct drip_discovery *d)
{
	if (d->attempt)
		connect_cancel(d->attempt);
	if (d->q.s)
		stream_close(d->q.s, false);
	loop_timer_stop(&d->deadline);
	loop_free_later(d->conf->loop, d, discovery_free);
}

bool drip_discovery_read(const char *answer, size_t len, struct drip_msg *m)
{
	struct http_head head = {0};
	struct err err;
	size_t body;

	if (http_response_scan(&head, answer, len) != HTTP_OK || head.status != 200 || head.chunked)
		return false;
	body = len - head.head_len;
	if (head.has_length && head.length > body)
		return false;
	if (head.has_length)
		body = (size_t)head.length;
	return drip_decode(DRIP_DISCOVER, answer + head.head_len, body, m, &err);
}

static void end(struct drip_discovery *d, const char *why)
{
	struct drip_msg m = drip_new(DRIP_DISCOVER);
	bool good = !why && drip_discovery_read(d->q.in.p, d->q.in.len, &m);

	if (!good)
		log_debug("drip", "Nothing discovered: %s", why ? why : "another answer");
	drip_discovery_cancel(d);
	d->fn(d->arg, good ? &m.discover : NULL);
	if (good)
		drip_free(&m);
}

/* ---- the answer ---- */

/* Has it all come, as far as that can be known before the connection ends? */
static bool complete(struct drip_discovery *d)
{
	const struct text *in = &d->q.in;

	switch (http_response_scan(&d->head, in->p, in->len)) {
	case HTTP_MORE:
		return false;
	case HTTP_OK:
		return d->head.status != 200 ||
		       (d->head.has_length && in->len - d->head.head_len >= d->head.length);
	default:
		return true;
	}
}

static bool heard(void *arg)
{
	struct drip_discovery *d = arg;
	bool all = complete(d);

	if (all)
		end(d, NULL);
	return all;
}

static void ended(void *arg, const char *why)
{
	struct drip_discovery *d = arg;

	end(d, why || d->q.in.len ? why : "closed by the server");
}

/* ---- the question ---- */

static void on_connected(void *arg, struct stream *s, const char *error)
{
	struct drip_discovery *d = arg;

	d->attempt = NULL;
	if (!s) {
		end(d, error);
		return;
	}
	d->q = (struct question){
		.s = s, .most = LIMIT_DRIP_DISCOVER, .heard = heard, .ended = ended, .arg = d};
	text_fmt(&d->q.out,
		 "GET " DRIP_DISCOVER_PATH " HTTP/1.1\r\nHost: %s\r\nUser-Agent: pgrok\r\n"
		 "Connection: close\r\n\r\n",
		 d->conf->config->server.text);
	question_ask(&d->q);
}

static void on_late(void *arg)
{
	end(arg, "no answer in time");
}

struct drip_discovery *drip_discovery_start(const struct drip_conf *conf, drip_discovery_fn *fn,
					    void *arg)
{
	struct drip_discovery *d = xcalloc(1, sizeof(*d));

	d->conf = conf;
	d->fn = fn;
	d->arg = arg;
	loop_timer_init(&d->deadline, conf->loop, on_late, d);
	loop_after(&d->deadline, LIMIT_DRIP_DISCOVER_MS);
	d->attempt = connect_start(conf->connector, on_connected, d);
	return d;
}
