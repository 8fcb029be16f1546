/* Connects to host:port: look-up, then each address in turn, under one deadline. */
#include "common/net/dial.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/net/socket.h"
#include "common/net/resolve.h"

#define UNIX_RETRY_MS 20  /* while a Unix socket's queue is full */
#define SHARE_MIN_MS 2000 /* of one address among several, before the next is tried */

enum dial_state {
	DIAL_RESOLVING,  /* waits for the look-up; timer: deadline */
	DIAL_CONNECTING, /* waits for fd to become writable; timers: deadline, share */
	DIAL_RETRYING,   /* a Unix socket whose queue is full; timers: deadline, share */
	DIAL_REPORTING,  /* connected or out of addresses; waits for the next tick */
	DIAL_DONE
};

struct dial {
	struct loop *loop;
	enum dial_state state;
	dial_fn *fn;
	void *arg;
	char *host; /* or the path of a Unix socket */
	bool here;  /* this machine, by any address */
	struct resolve *lookup;
	struct addr addr[RESOLVE_MAX];
	int n, at; /* addresses; the one being tried */
	int fd;    /* -1: none */
	struct event writable;
	struct loop_timer deadline;
	struct loop_timer share; /* of the address being tried; not for the last one */
	uint64_t share_ms;
	struct loop_tick tick;
	char error[256];
};

static void dial_free(void *p)
{
	struct dial *d = p;

	free(d->host);
	free(d);
}

/* Nothing will call back any more, except who holds the memory until the next tick. */
static void quiet(struct dial *d)
{
	if (d->state == DIAL_RESOLVING && d->lookup)
		resolve_cancel(d->lookup);
	d->lookup = NULL;
	if (d->state == DIAL_CONNECTING)
		event_del(&d->writable);
	loop_timer_stop(&d->deadline);
	loop_timer_stop(&d->share);
	loop_tick_cancel(d->loop, &d->tick);
}

static void drop_socket(struct dial *d)
{
	if (d->fd >= 0)
		close(d->fd);
	d->fd = -1;
}

void dial_cancel(struct dial *d)
{
	assert(d->state != DIAL_DONE);
	quiet(d);
	drop_socket(d);
	d->state = DIAL_DONE;
	loop_free_later(d->loop, d, dial_free);
}

/* The end, from the loop: fd, or error, to the owner. */
static void report(void *arg)
{
	struct dial *d = arg;
	int fd = d->fd;

	quiet(d);
	d->state = DIAL_DONE;
	d->fd = -1;
	loop_free_later(d->loop, d, dial_free);
	d->fn(d->arg, fd, fd < 0 ? d->error : NULL);
}

static void report_soon(struct dial *d)
{
	quiet(d);
	d->state = DIAL_REPORTING;
	loop_next_tick(d->loop, &d->tick);
}

/* call: "connect" or "socket"; NULL: error is a time-out, for which Go names no call. */
static void note_error(struct dial *d, const char *call, int error)
{
	char where[ADDR_TEXT], why[ERRNO_TEXT];

	/* That nothing listens at ::1 either is no news, and many machines have no such address. */
	if (d->here && d->at > 0)
		return;
	addr_text(&d->addr[d->at], where);
	if (call)
		snprintf(d->error, sizeof(d->error), "dial tcp %s: %s: %s", where, call,
			 errno_text(error, why));
	else
		snprintf(d->error, sizeof(d->error), "dial tcp %s: i/o timeout", where);
}

/*
 * A connect to a port of this machine that nobody listens on can meet itself: the system picks that
 * very port as the source (RFC 9293 section 3.5, simultaneous open). It is nobody's service.
 */
static bool met_itself(int fd, const struct addr *to)
{
	struct addr here = addr_of_local(fd);

	return addr_get_port(&here) == addr_get_port(to) && addr_same_ip(&here, to);
}

/* Only a port that the system also hands out as a source can be met that way. */
static bool may_meet_itself(const struct addr *to)
{
	static _Thread_local int low = -1;

	if (low < 0) {
		FILE *f = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");

		if (!f || fscanf(f, "%d", &low) != 1)
			low = 1;
		if (f)
			fclose(f);
	}
	return addr_get_port(to) >= low;
}

enum progress { CONNECTED, WAITING, REFUSED };

static void on_writable(evutil_socket_t fd, short what, void *arg);

/* Starts on the address at d->at. */
static enum progress try_address(struct dial *d)
{
	const struct addr *a = &d->addr[d->at];

	if (!socket_connect(a, &d->fd)) {
		note_error(d, errno == EMFILE || errno == ENFILE ? "socket" : "connect", errno);
		return REFUSED;
	}
	/*
	 * Within one machine the handshake is over by now, though connect() said EINPROGRESS: a
	 * second call tells, and saves an event and a turn of the loop.
	 */
	if (connect(d->fd, (const struct sockaddr *)&a->sa, a->len) == 0 || errno == EISCONN) {
		if (!may_meet_itself(a) || !met_itself(d->fd, a))
			return CONNECTED;
		errno = ECONNREFUSED;
	}
	if (errno == EALREADY || errno == EINPROGRESS || errno == EINTR) {
		event_assign(&d->writable, loop_base(d->loop), d->fd, EV_WRITE, on_writable, d);
		event_add(&d->writable, NULL);
		if (d->at + 1 < d->n)
			loop_after(&d->share, d->share_ms);
		return WAITING;
	}
	note_error(d, "connect", errno);
	drop_socket(d);
	return REFUSED;
}

/* From the address at d->at on, until one is not refused at once. */
static void try_from_here(struct dial *d)
{
	for (; d->at < d->n; d->at++) {
		switch (try_address(d)) {
		case CONNECTED:
			report_soon(d);
			return;
		case WAITING:
			d->state = DIAL_CONNECTING;
			return;
		case REFUSED:
			break;
		}
	}
	report_soon(d);
}

/* The address being tried is out; its reason is noted. */
static void next_address(struct dial *d)
{
	event_del(&d->writable);
	loop_timer_stop(&d->share);
	drop_socket(d);
	d->at++;
	try_from_here(d);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct dial *d = arg;
	int error = 0;
	socklen_t len = sizeof(error);

	if (getsockopt(d->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	if (!error && met_itself(d->fd, &d->addr[d->at]))
		error = ECONNREFUSED;
	if (!error) {
		report(d);
		return;
	}
	note_error(d, "connect", error);
	next_address(d);
}

static void on_share_over(void *arg)
{
	struct dial *d = arg;

	note_error(d, NULL, 0);
	next_address(d);
}

static void on_deadline(void *arg)
{
	struct dial *d = arg;

	if (d->state == DIAL_RESOLVING)
		snprintf(d->error, sizeof(d->error), "dial tcp: lookup %s: i/o timeout", d->host);
	else if (d->state != DIAL_RETRYING)
		note_error(d, NULL, 0);
	quiet(d);
	drop_socket(d);
	report(d);
}

/* d->n addresses are known. */
static void begin(struct dial *d)
{
	d->share_ms /= (uint64_t)d->n;
	if (d->share_ms < SHARE_MIN_MS)
		d->share_ms = SHARE_MIN_MS;
	try_from_here(d);
}

static void on_resolved(void *arg, const struct resolve_result *r)
{
	struct dial *d = arg;

	d->lookup = NULL;
	if (r->error) {
		snprintf(d->error, sizeof(d->error), "dial tcp: lookup %s: %s", d->host, r->error);
		report(d);
		return;
	}
	d->n = r->n;
	memcpy(d->addr, r->addr, sizeof(d->addr));
	begin(d);
}

static struct dial *dial_new(struct loop *l, const char *host, uint64_t timeout_ms, dial_fn *fn,
			     void *arg)
{
	struct dial *d = xcalloc(1, sizeof(*d));

	d->loop = l;
	d->fn = fn;
	d->arg = arg;
	d->host = xstrdup(host);
	d->fd = -1;
	d->share_ms = timeout_ms;
	d->tick.fn = report;
	d->tick.arg = d;
	loop_timer_init(&d->deadline, l, on_deadline, d);
	loop_timer_init(&d->share, l, on_share_over, d);
	loop_after(&d->deadline, timeout_ms);
	return d;
}

struct dial *dial_start(struct loop *l, const char *host, uint16_t port, uint64_t timeout_ms,
			dial_fn *fn, void *arg)
{
	struct dial *d = dial_new(l, host, timeout_ms, fn, arg);

	d->here = !*host;
	if (addr_numeric(d->here ? "127.0.0.1" : host, port, &d->addr[0])) {
		d->n = 1 + (d->here && addr_numeric("::1", port, &d->addr[1]));
		begin(d);
	} else {
		d->lookup = resolve_start(l, host, port, on_resolved, d);
	}
	return d;
}

/* ---- Unix sockets ---- */

bool dial_unix_fits(const char *path)
{
	return strlen(path) < sizeof(((struct sockaddr_un *)NULL)->sun_path);
}

/* It is there at once, or not at all, or its queue is full: no event tells when that has room. */
static void try_path(void *arg)
{
	struct dial *d = arg;
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	char why[ERRNO_TEXT];

	snprintf(to.sun_path, sizeof(to.sun_path), "%s", d->host);
	d->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (d->fd >= 0 && connect(d->fd, (const struct sockaddr *)&to, sizeof(to)) == 0) {
		report_soon(d);
		return;
	}
	int error = errno;

	drop_socket(d);
	snprintf(d->error, sizeof(d->error), "dial unix %s: connect: %s", d->host,
		 errno_text(error, why));
	if (error == EAGAIN) {
		d->state = DIAL_RETRYING;
		loop_after(&d->share, UNIX_RETRY_MS);
	} else {
		report_soon(d);
	}
}

struct dial *dial_unix(struct loop *l, const char *path, uint64_t timeout_ms, dial_fn *fn,
		       void *arg)
{
	struct dial *d = dial_new(l, path, timeout_ms, fn, arg);

	loop_timer_init(&d->share, l, try_path, d);
	try_path(d);
	return d;
}
