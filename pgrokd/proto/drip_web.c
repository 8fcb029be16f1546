/*
 * What Drip's clients ask for over HTTP: which transports there are, and a WebSocket for those that
 * get through as nothing else. On the port for clients nothing else is there; on the https port
 * tunnels are, and whose name is asked for has these paths, too.
 */
#include <stdlib.h>
#include <string.h>

#include "common/http/upgrade.h"
#include "common/stream/ws.h"
#include "pgrokd/access/origin.h"
#include "pgrokd/core/counters.h"
#include "pgrokd/front/guest.h"
#include "pgrokd/front/http.h"
#include "pgrokd/proto/drip_in.h"
#include "pgrokd/visitor/reply.h"

/* ---- answers; each takes g ---- */

static void refuse(struct guest *g, int status)
{
	(void)reply_send(guest_leave(g), &(struct reply_page){.status = status});
}

static void tell_about(struct guest *g)
{
	static const char *const transports[] = {DRIP_TCP, DRIP_WSS};
	static const char *const types[] = {"http", "https", "tcp"};
	struct drip_msg m = drip_new(DRIP_DISCOVER);
	struct text fields = {0};
	size_t len;

	m.discover = (struct drip_discover){
		.preferred = DRIP_TCP,
		.transports = {transports, 2},
		.tunnel_types = {types, 3},
		.version = "1",
	};
	char *body = drip_encode(&m, &len);
	const struct reply_told told = {&fields, body, len};
	bool head_only = http_span_is(g->buf, g->head.method, "HEAD");

	text_put(&fields, "Content-Type: application/json\r\nCache-Control: no-cache\r\n");
	(void)reply_send(guest_leave(g), &(struct reply_page){.status = 200,
							      .told = &told,
							      .head_only = head_only});
	text_free(&fields);
	free(body);
}

/* Wrong tokens are not a trusted proxy's own. False: g is gone. */
static bool take_origin(struct guest *g)
{
	struct addr from = origin_of(g->worker->core->trusted, &g->peer, &g->head, g->buf);

	return addr_same_ip(&from, &g->peer) || guest_is_from(g, &from);
}

/* In it the same is said as outside. */
static void open_ws(struct guest *g)
{
	struct text head = {0};
	size_t at = g->head.head_len, n = 0;

	if (!upgrade_grant(&head, g->buf, &g->head)) {
		refuse(g, 400);
		return;
	}
	if (!take_origin(g)) {
		text_free(&head);
		return;
	}
	bool ok = stream_write(g->stream, head.p, head.len, &n) == STREAM_OK && n == head.len;

	text_free(&head);
	if (!ok) {
		guest_close(g, LOG_DEBUG, "its upgrade could not be answered");
		return;
	}
	guest_becomes(g, stream_ws_new(g->stream, WS_SERVER, g->buf + at, g->len - at),
		      &drip_proto);
	guest_soon(g);
}

/* ---- requests ---- */

/* HTTP_OK: there is a whole head. MORE: not yet, or g is gone. */
static enum http_rc read_head(struct guest *g)
{
	enum http_rc rc;

	/* Bytes that told which protocol it is are scanned first. */
	while ((rc = http_request_scan(&g->head, g->buf, g->len)) == HTTP_MORE)
		if (!guest_read(g, HTTP_HEAD_MAX))
			return HTTP_MORE;
	return rc;
}

static bool asks_for(const struct guest *g, const char *path)
{
	return http_span_is(g->buf, g->head.target, path);
}

static enum looks web_looks_like(const char *buf, size_t len)
{
	return http_proto.looks_like(buf, len);
}

static void web_hello(struct guest *g)
{
	enum http_rc rc = read_head(g);

	if (rc == HTTP_MORE)
		return;
	if (rc == HTTP_BAD)
		refuse(g, g->head.status);
	else if (asks_for(g, DRIP_DISCOVER_PATH))
		tell_about(g);
	else if (asks_for(g, DRIP_WS_PATH))
		open_ws(g);
	else
		refuse(g, 404);
}

/* ---- beside tunnels ---- */

#define BEGIN "GET /_dr" /* as much as is looked at */

static enum looks beside_looks_like(const char *buf, size_t len)
{
	size_t n = len < strlen(BEGIN) ? len : strlen(BEGIN);

	if (n && memcmp(buf, BEGIN, n) != 0)
		return LOOKS_NO;
	return n == strlen(BEGIN) ? LOOKS_YES : LOOKS_MORE;
}

/* All that a tunnel has is its own. */
static bool of_tunnel(const struct guest *g)
{
	char key[ROUTE_KEY_MAX];
	struct http_span host = g->head.authority;
	struct route *route = route_key(PROTO_HTTPS, g->buf + host.off, host.len, key)
				      ? registry_find(g->worker->core->registry, key)
				      : NULL;

	route_unref(route);
	return route;
}

static void beside_hello(struct guest *g)
{
	enum http_rc rc = read_head(g);

	if (rc == HTTP_MORE)
		return;
	bool ours = rc == HTTP_OK && !g->plain && !of_tunnel(g);

	if (ours && asks_for(g, DRIP_DISCOVER_PATH)) {
		tell_about(g);
	} else if (ours && asks_for(g, DRIP_WS_PATH)) {
		open_ws(g);
	} else {
		memset(&g->head, 0, sizeof(g->head));
		g->proto = &http_proto;
		g->proto->hello(g);
	}
}

/* ---- the protocols ---- */

const struct proto_ops drip_web_proto = {
	.name = "drip-web",
	.late = "no request in time",
	.looks_like = web_looks_like,
	.hello = web_hello,
};

const struct proto_ops drip_beside_proto = {
	.name = "drip-beside",
	.late = "no request in time",
	.looks_like = beside_looks_like,
	.hello = beside_hello,
};
