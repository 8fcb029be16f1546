/* A parcel reaches its home: at once, by message, or not at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pgrokd/core/parcel.h"
#include "test/unit/pgrokd/crew.h"

static struct crew crew;
static int peer_fd; /* the other end of the parcel's connection */

static struct {
	int adopted, dropped;
	struct worker *worker;
	pthread_t thread;
	char client_id[LIMIT_CLIENT_ID + 1], said[16], peer[ADDR_TEXT];
	struct stream *stream;
	int status;
} seen;

static void adopt(struct worker *w, struct stream *s, struct parcel *p)
{
	size_t n = 0;

	seen.adopted++;
	seen.worker = w;
	seen.thread = pthread_self();
	seen.stream = s;
	seen.status = p->status;
	addr_text(&p->peer, seen.peer);
	memcpy(seen.client_id, p->client_id, sizeof(seen.client_id));
	/* What was read before, and what is still in the socket. */
	assert_memory_equal(p->unread, "GET", p->unread_len);
	assert_int_equal(stream_read(s, seen.said, sizeof(seen.said), &n), STREAM_OK);
	assert_int_equal(n, 4);
	stream_close(s, false);
}

static void drop(struct parcel *p)
{
	seen.dropped++;
	seen.worker = p->to;
	memcpy(seen.client_id, p->client_id, sizeof(seen.client_id));
}

static struct route *make_route(void)
{
	struct route *r = route_new(PROTO_HTTP, xstrdup("http://a.x"), NULL);

	assert_non_null(r);
	return r;
}

/* Sends one from worker 0 to `home`; returns a reference to the route in it. */
static struct route *send_to(int home, parcel_drop_fn *drop_fn, struct stream **stream)
{
	struct route *route = make_route();
	struct addr peer;
	int fd[2];

	memset(&seen, 0, sizeof(seen));
	crew_make(&crew, NULL);
	assert_true(addr_numeric("192.0.2.7", 1234, &peer));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	assert_int_equal(write(fd[1], "more", 4), 4);
	peer_fd = fd[1];

	struct parcel *p = parcel_new(adopt, drop_fn, &peer);

	snprintf(p->client_id, sizeof(p->client_id), "cafe");
	p->route = route_ref(route);
	p->unread = xstrdup("GET");
	p->unread_len = 3;
	p->status = 404;
	*stream = stream_new_direct(crew.worker[0].loop, fd[0], NULL);
	parcel_send(p, &crew.worker[0], home, *stream);
	return route;
}

/* The adopter left its route and bytes in the parcel: they went with it. */
static void end(struct route *route)
{
	char byte;

	assert_int_equal(atomic_load(&route->refs), 1);
	route_unref(route);
	crew_free(&crew);
	/* Closed: an end, or an error if "more" was not read. */
	assert_true(read(peer_fd, &byte, 1) == 0 || errno == ECONNRESET);
	close(peer_fd);
}

static void test_at_once(void **state)
{
	struct stream *s;
	struct route *route = send_to(0, drop, &s);

	assert_int_equal(seen.adopted, 1);
	assert_ptr_equal(seen.worker, &crew.worker[0]);
	assert_true(pthread_equal(seen.thread, pthread_self()));
	assert_ptr_equal(seen.stream, s); /* not taken apart */
	assert_string_equal(seen.client_id, "cafe");
	assert_string_equal(seen.peer, "192.0.2.7:1234");
	assert_int_equal(seen.status, 404);
	assert_int_equal(crew.worker[0].count.moved, 0);
	end(route);
	assert_int_equal(seen.dropped, 0);
}

static void test_posted(void **state)
{
	struct stream *s;
	struct route *route = send_to(2, drop, &s);

	assert_int_equal(seen.adopted, 0);
	crew_run(&crew);
	assert_int_equal(seen.adopted, 1);
	assert_ptr_equal(seen.worker, &crew.worker[2]);
	assert_false(pthread_equal(seen.thread, pthread_self()));
	assert_string_equal(seen.client_id, "cafe");
	assert_string_equal(seen.peer, "192.0.2.7:1234");
	assert_memory_equal(seen.said, "more", 4);
	assert_int_equal(seen.status, 404);
	assert_int_equal(crew.worker[0].count.moved, 1);
	assert_int_equal(crew.worker[2].count.moved, 0);
	end(route);
	assert_int_equal(seen.dropped, 0);
}

static void test_dropped(void **state)
{
	struct stream *s;
	struct route *route = route_ref(send_to(1, drop, &s));

	assert_int_equal(atomic_load(&route->refs), 3); /* here twice, and in the parcel */
	route_unref(route);
	worker_free(&crew.worker[1]); /* it never ran */
	assert_int_equal(seen.adopted, 0);
	assert_int_equal(seen.dropped, 1);
	assert_ptr_equal(seen.worker, &crew.worker[1]);
	assert_string_equal(seen.client_id, "cafe");
	worker_init(&crew.worker[1], &crew.core, 1, NULL);
	end(route);
}

/* Most have nothing to undo. */
static void test_dropped_silently(void **state)
{
	struct stream *s;
	struct route *route = send_to(1, NULL, &s);

	worker_free(&crew.worker[1]);
	assert_int_equal(seen.dropped, 0);
	worker_init(&crew.worker[1], &crew.core, 1, NULL);
	end(route);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_at_once),
		cmocka_unit_test(test_posted),
		cmocka_unit_test(test_dropped),
		cmocka_unit_test(test_dropped_silently),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
