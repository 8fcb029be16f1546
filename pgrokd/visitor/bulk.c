/*
 * Who reads fast may have the kernel's whole queue, a few at a time.
 *
 * A short queue (socket_short_queue()) bounds what a visitor who stops reading costs, and takes a
 * quarter off a download that is as fast as the machine: the sender wakes up for every 64 KiB. So
 * it is lifted for those who have shown that they read, and as only LIMIT_BULK_VISITORS have that
 * at once, strangers who read fast and then stop cost the kernel no more than so many queues.
 */
#include <stdatomic.h>

#include "common/net/socket.h"
#include "pgrokd/visitor/parts.h"

static _Atomic int bulk_visitors;

static bool enter(void)
{
	if (atomic_fetch_add_explicit(&bulk_visitors, 1, memory_order_relaxed) <
	    LIMIT_BULK_VISITORS)
		return true;
	atomic_fetch_sub_explicit(&bulk_visitors, 1, memory_order_relaxed);
	return false;
}

void visitor_bulk_end(struct visitor *v)
{
	if (v->bulk)
		atomic_fetch_sub_explicit(&bulk_visitors, 1, memory_order_relaxed);
	v->bulk = false;
}

void visitor_bulk(struct visitor *v)
{
	uint64_t now = loop_now(v->worker->loop), took = now - v->bulk_since;
	int fd = stream_fd(pair_stream(v->pair, SIDE_VISITOR));

	v->bulk_since = now;
	if (!v->bulk && took <= LIMIT_BULK_MS && enter()) {
		v->bulk = true;
		socket_long_queue(fd);
	} else if (v->bulk && took > 4 * LIMIT_BULK_MS) {
		visitor_bulk_end(v);
		socket_short_queue(fd);
	}
}
