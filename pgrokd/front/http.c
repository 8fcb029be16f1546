/* Visitors of http and https tunnels, until it is known whose they are. */
#include "pgrokd/front/http.h"

#include "common/base/memory.h"
#include "pgrokd/core/parcel.h"
#include "pgrokd/front/guest.h"
#include "pgrokd/front/route_visitor.h"
#include "pgrokd/visitor/reply.h"
#include "pgrokd/visitor/visitor.h"

/* A method, or the empty lines that may stand before it (RFC 9112 section 2.2). */
static enum looks http_looks_like(const char *buf, size_t len)
{
	if (!len)
		return LOOKS_MORE;
	return (*buf >= 'A' && *buf <= 'Z') || (*buf >= 'a' && *buf <= 'z') || *buf == '\r' ||
			       *buf == '\n'
		       ? LOOKS_YES
		       : LOOKS_NO;
}

static void answer(struct guest *g, int status, const char *why)
{
	char text[ADDR_TEXT];
	struct worker *w = g->worker;
	bool head_only = http_span_is(g->buf, g->head.method, "HEAD");

	log_debug("lobby", "%d to %s: %s", status, addr_text(&g->peer, text), why);
	w->count.pages++;
	char *buf = g->buf;
	size_t len = g->len;
	struct reply_host host = {buf + g->head.authority.off, g->head.authority.len};

	g->buf = NULL; /* it outlives the guest */
	reply_send(guest_leave(g), status, head_only, host);
	xfree_secret(buf, len);
}

static void visit(struct guest *g)
{
	struct worker *w = g->worker;
	const char *why;
	struct route *route;
	int status = 503;

	why = "memory is short";
	if (!memory_short())
		status = route_visitor(w, g->port, &g->head, g->buf, &g->peer, &route, &why);
	if (status) {
		answer(g, status, why);
		return;
	}
	struct parcel *p = parcel_new(visitor_adopt, NULL, &g->peer);

	p->route = route;
	p->unread = g->buf;
	p->unread_len = g->len;
	p->head_only = http_span_is(g->buf, g->head.method, "HEAD");
	g->buf = NULL;
	struct stream *s = guest_leave(g);

	parcel_send(p, w, route->home, s);
}

static void http_hello(struct guest *g)
{
	/* Bytes that told which protocol it is are scanned first. */
	while ((g->len && !g->head_begun) || guest_read(g, HTTP_HEAD_MAX)) {
		if (!g->head_begun) {
			g->head_begun = true;
			loop_after(&g->timer, LIMIT_HEAD_MS);
		}
		enum http_rc rc = http_request_scan(&g->head, g->buf, g->len);

		if (g->plain && rc != HTTP_MORE) {
			answer(g, REPLY_PLAIN_HTTP, "plain HTTP on the https port");
			return;
		}
		switch (rc) {
		case HTTP_OK:
			visit(g);
			return;
		case HTTP_BAD:
			answer(g, g->head.status, g->head.error);
			return;
		case HTTP_MORE:
			break;
		}
	}
}

const struct proto_ops http_proto = {
	.name = "http",
	.late = "no request in time",
	.looks_like = http_looks_like,
	.hello = http_hello,
};
