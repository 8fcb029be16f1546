/* The far end for tests of httpd: a loop on a thread of its own, blocking calls on this one. */
#ifndef TEST_UNIT_COMMON_HTTPD_FAR_H
#define TEST_UNIT_COMMON_HTTPD_FAR_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/httpd/httpd.h"

struct server {
	struct loop *loop;
	struct httpd *h; /* NULL: closed already */
	pthread_t thread;
	uint16_t port;
};

static inline void *server_thread(void *arg)
{
	struct server *s = arg;

	loop_run(s->loop);
	return NULL;
}

static inline void server_start(struct server *s, const struct httpd_config *conf)
{
	struct listener_fds fds;
	struct err err;
	struct addr a;

	s->loop = loop_new();
	if (!listener_bind("127.0.0.1:0", &fds, &err))
		fail_msg("%s", err.text);
	a = listener_addr(&fds);
	s->port = addr_get_port(&a);
	s->h = httpd_start(s->loop, &fds, conf);
}

static inline void server_run(struct server *s)
{
	assert_int_equal(pthread_create(&s->thread, NULL, server_thread, s), 0);
}

struct stopping {
	struct loop_msg msg;
	struct server *server;
};

static inline void server_on_stop(struct loop_msg *m, struct loop *l)
{
	struct stopping *st = (struct stopping *)m;

	if (st->server->h)
		httpd_close(st->server->h);
	st->server->h = NULL;
	loop_stop(l);
	free(m);
}

static inline void server_drop_stop(struct loop_msg *m)
{
	free(m);
}

static inline void server_stop(struct server *s)
{
	struct stopping *st = xcalloc(1, sizeof(*st));

	st->msg.deliver = server_on_stop;
	st->msg.drop = server_drop_stop;
	st->server = s;
	loop_post(s->loop, &st->msg);
	pthread_join(s->thread, NULL);
	loop_free(s->loop);
}

static inline int far_dial(uint16_t port)
{
	struct timeval tv = {.tv_sec = 20};
	struct addr a;
	int fd;

	assert_true(addr_numeric("127.0.0.1", port, &a));
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
	assert_int_equal(connect(fd, (struct sockaddr *)&a.sa, a.len), 0);
	return fd;
}

/* False: the peer took not all of it. */
static inline bool far_send(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len) {
		ssize_t n = send(fd, p, len, MSG_NOSIGNAL);
		if (n <= 0)
			return false;
		p += n;
		len -= (size_t)n;
	}
	return true;
}

static inline void far_say(int fd, const char *text)
{
	assert_true(far_send(fd, text, strlen(text)));
}

/* Exactly len bytes; false: it ended before. */
static inline bool far_get(int fd, void *buf, size_t len)
{
	char *p = buf;

	while (len) {
		ssize_t n = recv(fd, p, len, 0);
		if (n <= 0)
			return false;
		p += n;
		len -= (size_t)n;
	}
	return true;
}

/* All up to the end, NUL-terminated, to be freed; *end = recv's last result. */
static inline char *far_rest(int fd, size_t *len, ssize_t *end)
{
	size_t cap = 1 << 16;
	char *all = xmalloc(cap + 1);
	ssize_t n;

	*len = 0;
	while ((n = recv(fd, all + *len, cap - *len, 0)) > 0) {
		*len += (size_t)n;
		if (*len == cap)
			all = xrealloc(all, (cap *= 2) + 1);
	}
	all[*len] = '\0';
	*end = n;
	return all;
}

/* A head, up to and with its empty line, into buf. */
static inline void far_head(int fd, char *buf, size_t cap)
{
	size_t n = 0;

	while (n + 1 < cap && recv(fd, buf + n, 1, 0) == 1) {
		buf[++n] = '\0';
		if (n >= 4 && memcmp(buf + n - 4, "\r\n\r\n", 4) == 0)
			return;
	}
	buf[n] = '\0';
	fail_msg("no whole head: '%s'", buf);
}

static inline int far_status(const char *head)
{
	int status = 0;

	if (sscanf(head, "HTTP/1.1 %d ", &status) != 1)
		fail_msg("no status line: '%.80s'", head);
	return status;
}

/* ---- asking ---- */

struct answer {
	int status;
	char head[4096];
	char body[4096];
};

/* An answer with a length; only its head if `head_only`. */
static inline struct answer get_answer(int fd, bool head_only)
{
	struct answer a = {0};
	const char *at;
	size_t len = 0;

	far_head(fd, a.head, sizeof(a.head));
	a.status = far_status(a.head);
	if ((at = strstr(a.head, "Content-Length: ")))
		len = strtoul(at + 16, NULL, 10);
	assert_true(len < sizeof(a.body));
	if (!head_only)
		assert_true(far_get(fd, a.body, len));
	return a;
}

/* One request on a connection of its own. */
static inline struct answer ask(uint16_t port, const char *request)
{
	int fd = far_dial(port);
	struct answer a;

	far_say(fd, request);
	a = get_answer(fd, strncmp(request, "HEAD", 4) == 0);
	close(fd);
	return a;
}

static inline void assert_ended(int fd)
{
	char c;

	assert_int_equal(recv(fd, &c, 1, 0), 0);
	close(fd);
}

/* What another thread counts reaches n in time. */
static inline void await(atomic_int *counter, int n)
{
	for (int i = 0; i < 2000 && *counter < n; i++)
		usleep(5000);
	assert_int_equal(*counter, n);
}

#endif
