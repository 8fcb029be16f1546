/* Look-ups on a real loop: numeric hosts, names, cancelling, a loop that goes first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <netdb.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "common/net/resolve.h"

#define THREADS 16

/* ---- a name server that is slow when told so ---- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool slow;
static int asking; /* look-ups that wait for it */

/* Instead of the C library's, for the whole program. */
int getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
		struct addrinfo **list)
{
	int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

	*(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
	pthread_mutex_lock(&lock);
	asking++;
	pthread_cond_broadcast(&changed);
	while (slow)
		pthread_cond_wait(&changed, &lock);
	asking--;
	pthread_mutex_unlock(&lock);
	return real(host, port, hints, list);
}

static void set_slow(bool now)
{
	pthread_mutex_lock(&lock);
	slow = now;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

/* How many look-ups wait, once these do or after a second. */
static int await_asking(int n)
{
	struct timespec end;
	int rc = 0;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec++;
	pthread_mutex_lock(&lock);
	while (asking < n && rc == 0)
		rc = pthread_cond_timedwait(&changed, &lock, &end);
	n = asking;
	pthread_mutex_unlock(&lock);
	return n;
}

/* ---- look-ups ---- */

struct answer {
	struct loop *loop;
	int calls, left; /* the loop stops when none is left */
	bool failed;
	char error[64];
	int n;
	struct addr first;
};

static void on_answer(void *arg, const struct resolve_result *r)
{
	struct answer *a = arg;

	a->calls++;
	a->failed = r->error != NULL;
	strncpy(a->error, r->error ? r->error : "", sizeof(a->error) - 1);
	a->n = r->n;
	a->first = r->addr[0];
	if (--a->left == 0)
		loop_stop(a->loop);
}

static struct answer look_up(const char *host, uint16_t port)
{
	struct answer a = {.loop = loop_new(), .left = 1};

	assert_non_null(resolve_start(a.loop, host, port, on_answer, &a));
	assert_int_equal(a.calls, 0); /* never from inside the call */
	loop_run(a.loop);
	loop_free(a.loop);
	assert_int_equal(a.calls, 1);
	return a;
}

static void test_good(void **state)
{
	static const struct {
		const char *host, *text; /* NULL: any loopback address */
	} good[] = {
		{"127.0.0.1", "127.0.0.1:80"},
		{"::1", "[::1]:80"},
		{"localhost", NULL},
		{"", NULL},
	};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct answer a = look_up(good[i].host, 80);
		char text[ADDR_TEXT];

		assert_false(a.failed);
		assert_true(a.n > 0 && a.n <= RESOLVE_MAX);
		assert_true(addr_is_loopback(&a.first));
		assert_int_equal(addr_get_port(&a.first), 80);
		if (good[i].text)
			assert_string_equal(addr_text(&a.first, text), good[i].text);
	}
}

static void test_bad(void **state)
{
	char long_name[300];
	struct answer a;

	memset(long_name, 'a', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	a = look_up(long_name, 80);
	assert_string_equal(a.error, "no such host");
	/* an empty label can't be asked for at all: no name server is needed to refuse it */
	a = look_up("a..b", 80);
	assert_string_equal(a.error, "no such host");
}

/* More than there are threads; all are answered, from the loop's thread. */
static void test_many(void **state)
{
	struct answer a = {.loop = loop_new(), .left = 100};

	for (int i = 0; i < 100; i++)
		assert_non_null(
			resolve_start(a.loop, i % 3 ? "localhost" : "::1", 80, on_answer, &a));
	loop_run(a.loop);
	assert_int_equal(a.calls, 100);
	loop_free(a.loop);
}

/* A name server that does not answer holds so many threads, and no more. */
static void test_so_many_threads(void **state)
{
	struct answer a = {.loop = loop_new(), .left = 100};

	set_slow(true);
	for (int i = 0; i < 100; i++)
		assert_non_null(resolve_start(a.loop, "localhost", 80, on_answer, &a));
	assert_int_equal(await_asking(THREADS), THREADS);
	assert_int_equal(await_asking(THREADS + 1), THREADS);
	set_slow(false);
	loop_run(a.loop);
	assert_int_equal(a.calls, 100);
	assert_false(a.failed);
	loop_free(a.loop);
}

/* Cancelled in every state: queued, at work, posted, numeric. Only the last is answered. */
static void test_cancel(void **state)
{
	for (int round = 0; round < 20; round++) {
		struct answer dead = {.left = -1}, live = {.left = 1};
		struct resolve *r[40];

		live.loop = dead.loop = loop_new();
		for (int i = 0; i < 40; i++)
			r[i] = resolve_start(dead.loop, i % 4 ? "localhost" : "127.0.0.1", 80,
					     on_answer, &dead);
		if (round % 2)
			usleep((useconds_t)round * 100);
		for (int i = 0; i < 40; i++)
			resolve_cancel(r[round % 4 ? i : 39 - i]);
		assert_non_null(resolve_start(live.loop, "localhost", 80, on_answer, &live));
		loop_run(live.loop);
		assert_int_equal(dead.calls, 0);
		assert_int_equal(live.calls, 1);
		loop_free(live.loop);
	}
}

/*
 * The loop is freed while helpers are at work: nothing is called, nothing leaks, nothing crashes.
 */
static void test_loop_goes(void **state)
{
	for (int round = 0; round < 20; round++) {
		struct answer a = {.left = -1};

		a.loop = loop_new();
		for (int i = 0; i < 40; i++)
			assert_non_null(resolve_start(a.loop, "localhost", 80, on_answer, &a));
		if (round % 2)
			usleep((useconds_t)round * 100);
		loop_free(a.loop);
		assert_int_equal(a.calls, 0);
	}
	/* for leak checkers: what the helpers still hold is freed in a moment */
	usleep(100000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),   cmocka_unit_test(test_bad),
		cmocka_unit_test(test_many),   cmocka_unit_test(test_so_many_threads),
		cmocka_unit_test(test_cancel), cmocka_unit_test(test_loop_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
