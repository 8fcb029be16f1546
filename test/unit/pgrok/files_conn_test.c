/* A connection to a served folder, by the clock: it waits for a request, not for who takes it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pgrok/files/files.h"
#include "test/unit/common/mux_pipe.h"

#define SCALE "0.01"   /* FILES_IDLE_MS are 600 ms */
#define BIG (8u << 20) /* more than any socket holds */

struct place {
	struct loop *loop;
	char root[64], path[80];
	int fd; /* the visitor's end */
};

static int set_up(void **state)
{
	static struct place p;
	struct err err;
	int file;

	strcpy(p.root, "/tmp/pgrok-conn-XXXXXX");
	assert_non_null(mkdtemp(p.root));
	snprintf(p.path, sizeof(p.path), "%s/big", p.root);
	file = open(p.path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(file >= 0);
	assert_int_equal(ftruncate(file, BIG), 0);
	close(file);
	p.loop = loop_new();
	p.fd = files_connect(p.loop, p.root, &err);
	assert_true(p.fd >= 0);
	*state = &p;
	return 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;

	if (p->fd >= 0)
		close(p->fd);
	turns(p->loop, 3);
	loop_free(p->loop);
	unlink(p->path);
	rmdir(p->root);
	return 0;
}

static void say(struct place *p, const char *text)
{
	assert_int_equal(send(p->fd, text, strlen(text), 0), (ssize_t)strlen(text));
}

static void idle_for(struct place *p, double times)
{
	turns_for(p->loop, (int)((double)loop_scaled(FILES_IDLE_MS) * times));
}

/* Has the other end closed? Nothing else may have come. */
static bool ended(struct place *p)
{
	char c;
	ssize_t n = recv(p->fd, &c, 1, MSG_DONTWAIT);

	assert_true(n == 0 || (n < 0 && errno == EAGAIN));
	return n == 0;
}

/* Takes what is there, up to max bytes. */
static size_t take(struct place *p, size_t max)
{
	static char buf[64u << 10];
	size_t all = 0;
	ssize_t n;

	while (all < max) {
		n = recv(p->fd, buf, max - all < sizeof(buf) ? max - all : sizeof(buf),
			 MSG_DONTWAIT);
		if (n <= 0)
			break;
		all += (size_t)n;
	}
	return all;
}

static void waits_so_long(void **state)
{
	struct place *p = *state;

	idle_for(p, 0.5);
	assert_false(ended(p));
	idle_for(p, 1);
	assert_true(ended(p));
}

/* Each request, each piece of one, begins the time again. */
static void waits_again(void **state)
{
	struct place *p = *state;
	static const char *const pieces[] = {"HEAD /big HT", "TP/1.1\r\n", "Host: x\r\n\r\n"};

	for (size_t i = 0; i < 3; i++) {
		idle_for(p, 0.55);
		assert_false(ended(p));
		say(p, pieces[i]);
	}
	turns(p->loop, 4);
	assert_true(take(p, SIZE_MAX) > 0);
	idle_for(p, 0.55);
	assert_false(ended(p));
	idle_for(p, 1);
	assert_true(ended(p));
}

/* Who takes nothing for a while gets the rest all the same, and may ask again. */
static void is_taken_slowly(void **state)
{
	struct place *p = *state;
	size_t all;

	say(p, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
	turns(p->loop, 4);
	all = take(p, 100);
	assert_int_equal(all, 100);
	idle_for(p, 2);
	for (int i = 0; i < 100000 && all < BIG; i++) {
		all += take(p, SIZE_MAX);
		turns(p->loop, 1);
	}
	assert_in_range(all, BIG, BIG + 1000);
	say(p, "HEAD /big HTTP/1.1\r\nHost: x\r\n\r\n");
	turns(p->loop, 4);
	assert_true(take(p, SIZE_MAX) > 100);
	/* From here on it waits for a request. */
	idle_for(p, 1.5);
	assert_true(ended(p));
}

/* It ends with a visitor who leaves in the middle. */
static void ends_with_its_visitor(void **state)
{
	struct place *p = *state;
	int before, fds[3];

	say(p, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
	turns(p->loop, 4);
	before = open("/dev/null", O_RDONLY | O_CLOEXEC);
	close(p->fd);
	p->fd = -1;
	turns(p->loop, 4);
	/* Its socket, its file and its folder are closed: three lower descriptors are free. */
	for (int i = 0; i < 3; i++) {
		fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
		assert_in_range(fds[i], 0, before);
	}
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	close(before);
}

int main(void)
{
	setenv("PGROK_TIME_SCALE", SCALE, 1);
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(waits_so_long),
		TEST(waits_again),
		TEST(is_taken_slowly),
		TEST(ends_with_its_visitor),
	};

	return cmocka_run_group_tests_name("pgrok_files_conn", tests, NULL, NULL);
}
