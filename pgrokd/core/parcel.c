/* What goes from the worker that accepted a connection to its client's home. */
#include "pgrokd/core/parcel.h"

#include <stdlib.h>
#include <unistd.h>

#include "common/stream/ws.h"

struct parcel *parcel_new(parcel_adopt_fn *adopt, parcel_drop_fn *drop, const struct addr *peer)
{
	struct parcel *p = xcalloc(1, sizeof(*p));

	p->adopt = adopt;
	p->drop = drop;
	p->peer = p->origin = *peer;
	p->fd = -1;
	return p;
}

/* With what was not taken out. */
static void parcel_free(struct parcel *p)
{
	SSL_free(p->ssl);
	if (p->fd >= 0)
		close(p->fd);
	stream_close(p->shell, true);
	msg_free(&p->first);
	if (p->own)
		p->own_free(p->own);
	route_unref(p->route);
	if (p->unread)
		xfree_secret(p->unread, p->unread_len); /* a head may carry a password */
	xfree_secret(p, sizeof(*p));
}

static void parcel_deliver(struct loop_msg *m, struct loop *l)
{
	struct parcel *p = (struct parcel *)m;
	struct stream *s = stream_new_direct(l, p->fd, p->ssl);

	p->fd = -1;
	p->ssl = NULL;
	if (p->shell) {
		stream_ws_join(p->shell, s);
		s = p->shell;
		p->shell = NULL;
	}
	p->adopt(p->to, s, p);
	parcel_free(p);
}

static void parcel_drop(struct loop_msg *m)
{
	struct parcel *p = (struct parcel *)m;

	if (p->drop)
		p->drop(p);
	parcel_free(p);
}

/* False: it can't be now, s is closed. */
static bool take_apart(struct parcel *p, struct stream *s)
{
	struct stream *low = s;

	if (stream_is_ws(s) && !(low = stream_ws_part(s))) {
		stream_close(s, true);
		return false;
	}
	if (low != s)
		p->shell = s;
	stream_detach(low, &p->fd, &p->ssl);
	return true;
}

void parcel_send(struct parcel *p, struct worker *from, int home, struct stream *s)
{
	p->to = &from->core->worker[home];
	if (p->to == from) {
		p->adopt(from, s, p);
		parcel_free(p);
		return;
	}
	from->count.moved++;
	p->msg.deliver = parcel_deliver;
	p->msg.drop = parcel_drop;
	if (take_apart(p, s))
		loop_post(p->to->loop, &p->msg);
	else
		parcel_drop(&p->msg);
}
