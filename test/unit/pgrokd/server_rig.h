/*
 * For tests of what comes to a server: one worker on the test's loop, and the far ends of socket
 * pairs that play who comes. A test that includes this has included cmocka.
 */
#ifndef TEST_UNIT_PGROKD_SERVER_RIG_H
#define TEST_UNIT_PGROKD_SERVER_RIG_H

#include <sys/socket.h>
#include <unistd.h>

#include "pgrokd/client/client.h"
#include "pgrokd/core/settings.h"
#include "pgrokd/front/door.h"
#include "pgrokd/front/lobby.h"
#include "test/unit/common/mux_pipe.h"

struct rig {
	struct config config;
	struct settings settings;
	struct core core;
	struct worker worker;
};

/* What the test wants besides is set before or behind. So many half-open ones of an address. */
static inline struct rig *server_new(int per_address)
{
	struct rig *r = xcalloc(1, sizeof(*r));

	r->config.mux = true;
	r->core.config = &r->config;
	r->core.registry = registry_new(1);
	r->core.door = door_new(per_address, true);
	r->core.site.domain = "t.test";
	r->core.n_workers = 1;
	r->core.worker = &r->worker;
	worker_init(&r->worker, &r->core, 0, &r->settings);
	return r;
}

static inline void server_free(struct rig *r)
{
	lobby_close_all(&r->worker);
	assert_int_equal(r->worker.n_guests, 0);
	client_close_all(&r->worker, "the test is over");
	turns(r->worker.loop, 4);
	worker_free(&r->worker);
	door_free(r->core.door);
	registry_free(r->core.registry);
	free(r);
}

/* Turns that let the loop see what is in its sockets. */
static inline void pass(struct rig *r)
{
	turns(r->worker.loop, 8);
}

/* The visitor's or client's end. */
static inline int come_from(struct rig *r, enum port port, const char *ip)
{
	struct addr peer;
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
	assert_true(addr_numeric(ip, 1234, &peer));
	lobby_accept(&r->worker, port, fd[0], &peer);
	pass(r);
	return fd[1];
}

static inline int come(struct rig *r, enum port port)
{
	return come_from(r, port, "127.0.0.1");
}

static inline void say(struct rig *r, int fd, const void *bytes, size_t len)
{
	assert_int_equal(write(fd, bytes, len), len);
	pass(r);
}

#endif
