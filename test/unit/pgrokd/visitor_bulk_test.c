/* Visitors that read fast: whose socket may queue more, and how many of them at once. */
#include "test/unit/pgrokd/visitor_rig.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/net/socket.h"
#include "pgrokd/visitor/parts.h"

/* One with a socket of its own, joined; *far: the other end. */
static struct visitor *come_by_tcp(struct rig *r, int *far)
{
	struct addr to, peer;
	int ln = socket_new(AF_INET), fd;

	assert_true(addr_numeric("127.0.0.1", 0, &to));
	assert_int_equal(bind(ln, &to.sa.any, to.len), 0);
	assert_int_equal(listen(ln, 1), 0);
	to = addr_of_local(ln);
	assert_true(socket_connect(&to, far));
	assert_int_equal(poll(&(struct pollfd){.fd = ln, .events = POLLIN}, 1, 5000), 1);
	fd = accept4(ln, NULL, NULL, SOCK_NONBLOCK);
	assert_true(fd >= 0);
	close(ln);
	socket_short_queue(fd);
	peer = addr_of_local(*far);
	struct parcel *p = parcel_new(visitor_adopt, NULL, &peer);

	p->route = route_ref(r->at.route);
	p->unread = xstrdup(GET);
	p->unread_len = strlen(GET);
	parcel_send(p, &r->worker, 0, stream_new(r->worker.loop, fd, NULL));
	pass(r);
	return TAILQ_LAST(&r->worker.visitors, visitor_list);
}

static int queue_of(const struct visitor *v)
{
	int value = -1;
	socklen_t len = sizeof(value);
	int fd = stream_fd(pair_stream(v->pair, SIDE_VISITOR));

	assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &value, &len), 0);
	return value;
}

static void bulk(struct visitor *v, uint64_t ms)
{
	v->bulk_since = loop_now(v->worker->loop) - ms;
	visitor_tap(v, SIDE_SERVICE, NULL, LIMIT_BULK);
}

static void test_fast(void **state)
{
	struct rig *r = *state;
	struct fake *c = connection(r);
	int far;
	struct visitor *v = come_by_tcp(r, &far);

	visitor_tap(v, SIDE_SERVICE, NULL, LIMIT_BULK - 1);
	visitor_tap(v, SIDE_VISITOR, NULL, LIMIT_BULK);
	assert_int_equal(queue_of(v), SOCKET_UNSENT);
	bulk(v, LIMIT_BULK_MS + 1);
	assert_int_equal(queue_of(v), SOCKET_UNSENT);
	bulk(v, LIMIT_BULK_MS);
	assert_int_equal(queue_of(v), 0);
	bulk(v, 2 * LIMIT_BULK_MS);
	assert_int_equal(queue_of(v), 0);
	bulk(v, 4 * LIMIT_BULK_MS + 1);
	assert_int_equal(queue_of(v), SOCKET_UNSENT);
	close(far);
	pass(r);
	hang_up(r, c);
}

static void test_so_many(void **state)
{
	enum { N = LIMIT_BULK_VISITORS + 1 };

	struct rig *r = *state;
	struct visitor *v[N];
	struct fake *c[N];
	int far[N];

	for (int i = 0; i < N; i++) {
		c[i] = connection(r);
		v[i] = come_by_tcp(r, &far[i]);
		bulk(v[i], 0);
		assert_int_equal(queue_of(v[i]), i < LIMIT_BULK_VISITORS ? 0 : SOCKET_UNSENT);
	}
	close(far[0]);
	hang_up(r, c[0]);
	bulk(v[N - 1], 0);
	assert_int_equal(queue_of(v[N - 1]), 0);
	for (int i = 1; i < N; i++) {
		close(far[i]);
		hang_up(r, c[i]);
	}
	pass(r);
	assert_true(TAILQ_EMPTY(&r->worker.visitors));
}

int main(void)
{
	rig_scale();
	const struct CMUnitTest tests[] = {TEST(test_fast), TEST(test_so_many)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
