/* For fuzzers of servers on a loop of their own: a client that never waits. */
#ifndef TEST_FUZZ_HTTP_FAR_H
#define TEST_FUZZ_HTTP_FAR_H

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/addr.h"
#include "common/base/text.h"
#include "common/http/head.h"
#include "test/unit/common/mux_pipe.h"

static inline void check(bool good)
{
	if (!good)
		abort();
}

/* It will close with a reset: thousands of connections that linger would use up all ports. */
static inline int far_dial(uint16_t port)
{
	struct linger now = {.l_onoff = 1};
	struct addr a;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	check(fd >= 0 && addr_numeric("127.0.0.1", port, &a));
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	check(connect(fd, &a.sa.any, a.len) == 0);
	check(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
	return fd;
}

/* What has come, behind what came before. False: that was all. */
static inline bool far_hear(int fd, struct text *heard)
{
	ssize_t n = recv(fd, text_room(heard, 64u << 10), 64u << 10, 0);

	if (n > 0)
		heard->len += (size_t)n;
	return n != 0;
}

/*
 * All of it, in pieces, the loop having its turns between them. False: it is not wanted any more.
 */
static inline bool far_say(struct loop *l, int fd, const void *data, size_t len, size_t piece,
			   struct text *heard)
{
	const char *at = data;

	for (int tries = 0; len && tries < 1000; tries++) {
		ssize_t n = send(fd, at, len < piece ? len : piece, MSG_NOSIGNAL);

		turns(l, 1);
		if (!far_hear(fd, heard))
			return false;
		if (n > 0) {
			at += n;
			len -= (size_t)n;
		}
	}
	return len == 0;
}

/* What was heard begins with the head of an answer, or nothing was said. */
static inline int far_status(const struct text *heard)
{
	struct http_head h = {0};

	if (!heard->len)
		return 0;
	check(http_response_scan(&h, heard->p, heard->len) != HTTP_BAD);
	return h.status;
}

#endif
