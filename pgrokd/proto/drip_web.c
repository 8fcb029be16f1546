/* What Drip's clients look for over HTTP on the port for clients; all else is not there. */
#include <stdlib.h>
#include <string.h>

#include "pgrokd/core/counters.h"
#include "pgrokd/front/guest.h"
#include "pgrokd/front/http.h"
#include "pgrokd/proto/drip_in.h"
#include "pgrokd/visitor/reply.h"

static enum looks web_looks_like(const char *buf, size_t len)
{
	return http_proto.looks_like(buf, len);
}

/* Which transports there are, and for what. Owned. */
static char *about(size_t *len)
{
	static const char *const transports[] = {DRIP_TCP}, *const types[] = {"http", "https",
									      "tcp"};
	struct drip_msg m = drip_new(DRIP_DISCOVER);

	m.discover = (struct drip_discover){
		.preferred = DRIP_TCP,
		.transports = {transports, 1},
		.tunnel_types = {types, 3},
		.version = "1",
	};
	return drip_encode(&m, len);
}

/* Takes g. */
static void tell(struct guest *g, int status, const char *mime, const char *body, size_t len)
{
	struct text fields = {0};
	const struct reply_told told = {&fields, body, len};
	bool head_only = http_span_is(g->buf, g->head.method, "HEAD");

	text_fmt(&fields, "Content-Type: %s\r\nCache-Control: no-cache\r\n", mime);
	(void)reply_send(guest_leave(g), &(struct reply_page){.status = status,
							      .told = &told,
							      .head_only = head_only});
	text_free(&fields);
}

/* A client that asks for a websocket must be told: it waits for no other answer. */
static void answer(struct guest *g)
{
	static const char no_ws[] = "WebSocket transport not allowed on this server\n";
	const struct http_head *h = &g->head;
	size_t len;

	if (http_span_is(g->buf, h->target, DRIP_DISCOVER_PATH)) {
		char *body = about(&len);

		tell(g, 200, "application/json", body, len);
		free(body);
	} else if (http_span_is(g->buf, h->target, DRIP_WS_PATH)) {
		tell(g, 403, "text/plain; charset=utf-8", no_ws, strlen(no_ws));
	} else {
		(void)reply_send(guest_leave(g), &(struct reply_page){.status = 404});
	}
}

static void web_hello(struct guest *g)
{
	/* Bytes that told which protocol it is are scanned first. */
	for (;;) {
		switch (http_request_scan(&g->head, g->buf, g->len)) {
		case HTTP_OK:
			answer(g);
			return;
		case HTTP_BAD:
			(void)reply_send(guest_leave(g),
					 &(struct reply_page){.status = g->head.status});
			return;
		case HTTP_MORE:
			break;
		}
		if (!guest_read(g, HTTP_HEAD_MAX))
			return;
	}
}

const struct proto_ops drip_web_proto = {
	.name = "drip-web",
	.late = "no request in time",
	.looks_like = web_looks_like,
	.hello = web_hello,
};
