/* How long the path of a session is: of many round trips the shortest, since machines are busy. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/net/rtt.h"
#include "test/unit/common/mux_rig.h"

#define FAR_US 10000000 /* whatever this machine does, that is longer */
#define FEW 5           /* one quick answer is enough, but this machine may be busy, too */
#define MOST 100        /* pings; more than a session ever sends at once */

/* The peer answers the ping that is under way, after so long. False: there is none. */
static bool answer(struct rig *r, uint64_t us)
{
	turns(r->loop, 2);
	if (!r->m->ping_us)
		return false;
	r->m->ping_us = clock_us() - us;
	put(r, MUX_PING, MUX_ACK, 0, r->m->ping_id);
	turns(r->loop, 2);
	return true;
}

/* Answers all; returns how many there were. */
static int answer_all(struct rig *r, uint64_t us)
{
	int n = 0;

	while (n < MOST && answer(r, us))
		n++;
	return n;
}

static void assert_about(uint32_t us, uint32_t expected)
{
	assert_true(us >= expected && us < 2 * expected);
}

/* A short answer says it all. */
static void test_near(void **state)
{
	struct rig *r = rig_new(false);

	assert_int_equal(mux_rtt_us(r->m), 0);
	assert_true(answer_all(r, 0) < FEW);
	assert_true(mux_rtt_us(r->m) > 0);
	assert_int_equal(r->measured, 1);
	rig_free(r);
}

/*
 * Both machines are busy, and let their processes wait: one answer among many is as it should be.
 */
static void test_busy(void **state)
{
	for (int slow = 1; slow < 25; slow += 6) {
		struct rig *r = rig_new(slow & 1);

		for (int i = 0; i < slow; i++)
			assert_true(answer(r, FAR_US + 1000 * (uint64_t)i));
		assert_int_equal(r->measured, 0);
		assert_true(answer_all(r, 0) < FEW);
		assert_true(mux_rtt_us(r->m) < FAR_US);
		assert_int_equal(r->measured, 1);
		rig_free(r);
	}
}

/* A path that is long, as far as can be seen: that takes a while, and has an end. */
static void test_far(void **state)
{
	struct rig *r = rig_new(false);
	int n = answer_all(r, FAR_US);

	assert_true(n >= 25 && n < MOST);
	assert_about(mux_rtt_us(r->m), FAR_US);
	assert_int_equal(r->measured, 1);
	/* Later ones are single. */
	mux_measure(r->m);
	assert_int_equal(answer_all(r, FAR_US), 1);
	assert_int_equal(r->measured, 2);
	rig_free(r);
}

/* The queues of a bulk stream are no path; but a path that has become longer is learned. */
static void test_longer(void **state)
{
	struct rig *r = rig_new(false);
	int n = 0;

	(void)answer_all(r, 0);
	for (int i = 0; i < 6; i++) {
		mux_measure(r->m);
		(void)answer(r, FAR_US);
		assert_true(mux_rtt_us(r->m) < FAR_US);
	}
	for (; n < 20 && mux_rtt_us(r->m) < FAR_US; n++) {
		mux_measure(r->m);
		(void)answer(r, FAR_US);
	}
	assert_about(mux_rtt_us(r->m), FAR_US);
	mux_measure(r->m);
	(void)answer(r, 0);
	assert_true(mux_rtt_us(r->m) < FAR_US);
	rig_free(r);
}

static void test_kernel(void **state)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int ln = socket(AF_INET, SOCK_STREAM, 0), fd = socket(AF_INET, SOCK_STREAM, 0), pair[2];
	socklen_t len = sizeof(a);

	assert_int_equal(bind(ln, (struct sockaddr *)&a, len), 0);
	assert_int_equal(listen(ln, 1), 0);
	assert_int_equal(getsockname(ln, (struct sockaddr *)&a, &len), 0);
	assert_int_equal(rtt_least_us(fd), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, len), 0);
#ifdef __linux__
	assert_true(rtt_least_us(fd) > 0 && rtt_least_us(fd) < 1000000);
#endif
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(rtt_least_us(pair[0]), 0);
	assert_int_equal(rtt_least_us(-1), 0);
	close(ln);
	close(fd);
	close(pair[0]);
	close(pair[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_near),   cmocka_unit_test(test_busy),
		cmocka_unit_test(test_far),    cmocka_unit_test(test_longer),
		cmocka_unit_test(test_kernel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
