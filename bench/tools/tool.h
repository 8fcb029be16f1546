/* What the load tools share: time, addresses, connecting, samples, one HTTP answer. */
#ifndef BENCH_TOOL_H
#define BENCH_TOOL_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S 1000000000ull

__attribute__((noreturn, format(printf, 1, 2))) static inline void die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(1);
}

static inline uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

/* Numeric IPv4 only: nothing here looks names up. */
static inline struct sockaddr_in address(const char *host, const char *port)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};

	if (inet_pton(AF_INET, host, &sin.sin_addr) != 1)
		die("not an IPv4 address: %s", host);
	return sin;
}

static inline void no_delay(int fd)
{
	int one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

/* Many descriptors; a write to a connection that is gone is an error, not the end of the tool. */
static inline void tool_init(void)
{
	struct rlimit rl;

	signal(SIGPIPE, SIG_IGN);
	if (getrlimit(RLIMIT_NOFILE, &rl) == 0) {
		rl.rlim_cur = rl.rlim_max;
		setrlimit(RLIMIT_NOFILE, &rl);
	}
}

/* A connecting, non-blocking socket; -1 with errno if it failed at once. */
static inline int connect_start(const struct sockaddr_in *sin)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	no_delay(fd);
	if (connect(fd, (const struct sockaddr *)sin, sizeof(*sin)) < 0 && errno != EINPROGRESS) {
		int saved = errno;
		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

/* A connected, blocking socket that gives up after the given seconds of silence. */
static inline int connect_blocking(const struct sockaddr_in *sin, int seconds)
{
	struct timeval tv = {.tv_sec = seconds};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		die("socket: %s", strerror(errno));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
	no_delay(fd);
	if (connect(fd, (const struct sockaddr *)sin, sizeof(*sin)) < 0)
		die("connect: %s", strerror(errno));
	return fd;
}

/* Latencies in ns, sorted and printed as microseconds. */
struct samples {
	uint64_t *v;
	size_t n, cap;
};

static inline void sample_add(struct samples *s, uint64_t ns)
{
	if (s->n == s->cap) {
		s->cap = s->cap ? s->cap * 2 : 1 << 16;
		s->v = realloc(s->v, s->cap * sizeof(*s->v));
		if (s->v == NULL)
			die("out of memory");
	}
	s->v[s->n++] = ns;
}

static inline int sample_order(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static inline double sample_quantile(const struct samples *s, double q)
{
	size_t i = (size_t)(q * (double)s->n);

	if (s->n == 0)
		return 0;
	return (double)s->v[i < s->n ? i : s->n - 1] / 1000.0;
}

/* One JSON object, the whole result of a tool. */
static inline void samples_print(struct samples *s, uint64_t took_ns, long errors)
{
	if (s->n > 0)
		qsort(s->v, s->n, sizeof(*s->v), sample_order);
	printf("{\"count\":%zu,\"seconds\":%.6f,\"errors\":%ld,"
	       "\"p50\":%.1f,\"p99\":%.1f,\"p999\":%.1f,\"max\":%.1f}\n",
	       s->n, (double)took_ns / 1e9, errors, sample_quantile(s, 0.5),
	       sample_quantile(s, 0.99), sample_quantile(s, 0.999), sample_quantile(s, 1.0));
}

/* One answer being read. It must be a 200 with a Content-Length, and fit into the buffer. */
struct answer {
	char buf[1024];
	size_t have;
};

enum answer_state { ANSWER_MORE, ANSWER_DONE, ANSWER_BAD };

static inline enum answer_state answer_look(struct answer *a)
{
	char *end, *length;

	a->buf[a->have] = '\0';
	end = strstr(a->buf, "\r\n\r\n");
	if (end == NULL)
		return a->have < sizeof(a->buf) - 1 ? ANSWER_MORE : ANSWER_BAD;
	length = strcasestr(a->buf, "\r\nContent-Length:");
	if (strncmp(a->buf, "HTTP/1.1 200", 12) != 0 || length == NULL || length > end)
		return ANSWER_BAD;
	end += 4;
	size_t whole = (size_t)(end - a->buf) + strtoul(length + 17, NULL, 10);
	if (whole > sizeof(a->buf) - 1 || a->have > whole)
		return ANSWER_BAD;
	return a->have == whole ? ANSWER_DONE : ANSWER_MORE;
}

/* Reads what is there; a connection that ends before its answer does is BAD. */
static inline enum answer_state answer_read(struct answer *a, int fd)
{
	ssize_t n = read(fd, a->buf + a->have, sizeof(a->buf) - 1 - a->have);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return ANSWER_MORE;
	if (n <= 0)
		return ANSWER_BAD;
	a->have += (size_t)n;
	return answer_look(a);
}

#endif
