/* What goes from the lobby to the worker where a client is at home. */
#include "pgrokd/core/parcel.h"

#include <stdlib.h>
#include <unistd.h>

#include "pgrokd/client/client.h"
#include "pgrokd/visitor/visitor.h"

struct parcel *parcel_new(enum parcel_kind kind, const struct addr *peer)
{
	struct parcel *p = xcalloc(1, sizeof(*p));

	p->kind = kind;
	p->peer = *peer;
	p->fd = -1;
	return p;
}

/* What the taker has not taken. */
static void parcel_free(struct parcel *p)
{
	SSL_free(p->ssl);
	if (p->fd >= 0)
		close(p->fd);
	msg_free(&p->first);
	route_unref(p->route);
	free(p->unread);
	free(p);
}

static void parcel_adopt(struct parcel *p, struct worker *w, struct stream *s)
{
	switch (p->kind) {
	case PARCEL_AUTH:
		control_adopt(w, s, p);
		break;
	case PARCEL_REGPROXY:
		control_adopt_proxy(w, s, p);
		break;
	case PARCEL_VISITOR:
		public_adopt(w, s, p);
		break;
	}
	parcel_free(p);
}

static void parcel_deliver(struct loop_msg *m, struct loop *l)
{
	struct parcel *p = (struct parcel *)m;
	struct stream *s = stream_new_direct(l, p->fd, p->ssl);

	p->fd = -1;
	p->ssl = NULL;
	parcel_adopt(p, p->to, s);
}

/* The home's loop is gone. */
static void parcel_drop(struct loop_msg *m)
{
	struct parcel *p = (struct parcel *)m;

	if (p->kind == PARCEL_AUTH)
		registry_leave(p->to->server->registry, p->client_id);
	parcel_free(p);
}

void parcel_send(struct parcel *p, struct worker *from, int home, struct stream *s)
{
	p->to = &from->server->worker[home];
	if (p->to == from) {
		parcel_adopt(p, from, s);
		return;
	}
	from->count.moved++;
	p->msg.deliver = parcel_deliver;
	p->msg.drop = parcel_drop;
	stream_detach(s, &p->fd, &p->ssl);
	loop_post(p->to->loop, &p->msg);
}
