/* Binds ports, accepts on them, backs off when descriptors run out. */
#include "common/net/listener.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/net/socket.h"

#define BACKLOG 4096            /* the system cuts it to somaxconn */
#define ACCEPT_PER_WAKE 64      /* then the other sockets of the loop have their turn */
#define DRAIN_MAX (2 * BACKLOG) /* a close ends even while visitors keep coming */
#define PAUSE_MS 100            /* without descriptors */
#define COMPLAIN_EVERY_MS 60000 /* log lines about it */
#define NONE_TO_SPARE (-1)      /* instead of an errno: what is left is for others */
#define SAME_PORT_TRIES 16      /* port 0: both families need one that is free in both */

struct acceptor {
	struct listener *ln;
	struct event ev;
	int fd; /* -1: unused */
};

struct listener {
	struct loop *loop;
	listener_accept_fn *fn;
	void *arg;
	struct acceptor acceptor[LISTENER_FDS];
	struct loop_timer pause;
	int ceiling;    /* descriptors from here on are not for it; 0: all are */
	uint64_t *shed; /* connections that were; NULL: nobody counts them */
	bool closed;
};

/* ---- binding ---- */

static bool bind_failed(const struct addr *a, const char *call, int error, struct err *err)
{
	char where[ADDR_TEXT], why[ERRNO_TEXT];

	err_set(err, "listen tcp %s: %s: %s", addr_text(a, where), call, errno_text(error, why));
	errno = error;
	return false;
}

/* What accepted sockets inherit from the listening one on Linux: no system call per visitor. */
static void set_inherited(int fd)
{
	socket_set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	socket_keepalive(fd);
	socket_short_queue(fd);
}

enum bind_rc { BIND_OK, BIND_FAILED, BIND_NO_FAMILY };

/* Binds and listens. sibling: the port is shared from the start. errno-like detail in *error. */
static enum bind_rc bind_one(const struct addr *a, bool sibling, int *fd, const char **call,
			     int *error)
{
	*call = "socket";
	*fd = socket_new(a->sa.any.sa_family);
	if (*fd < 0)
		goto fail;
	socket_set(*fd, SOL_SOCKET, SO_REUSEADDR, 1);
	/* IPv4 has its own socket: peers then never look like ::ffff:192.0.2.1. */
	if (a->sa.any.sa_family == AF_INET6)
		socket_set(*fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
#ifdef SO_REUSEPORT
	if (sibling)
		socket_set(*fd, SOL_SOCKET, SO_REUSEPORT, 1);
#endif
	*call = "bind";
	if (bind(*fd, (const struct sockaddr *)&a->sa, a->len) < 0)
		goto fail;
#ifdef SO_REUSEPORT
	/* After bind(): a daemon that was here first has refused us, and siblings may join now. */
	if (!sibling)
		socket_set(*fd, SOL_SOCKET, SO_REUSEPORT, 1);
#endif
	set_inherited(*fd);
	*call = "listen";
	if (listen(*fd, BACKLOG) < 0)
		goto fail;
	return BIND_OK;
fail:
	*error = errno;
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	if (*error == EAFNOSUPPORT || *error == EPROTONOSUPPORT || *error == EADDRNOTAVAIL)
		return BIND_NO_FAMILY;
	return BIND_FAILED;
}

static void fds_none(struct listener_fds *fds)
{
	for (int i = 0; i < LISTENER_FDS; i++)
		fds->fd[i] = -1;
}

static bool bind_single(const struct addr *a, struct listener_fds *out, struct err *err)
{
	const char *call;
	int error;

	if (bind_one(a, false, &out->fd[0], &call, &error) == BIND_OK)
		return true;
	return bind_failed(a, call, error, err);
}

/* One try at both families. *again: port 0, and the port found for IPv4 is taken in IPv6. */
static bool bind_both(uint16_t port, struct listener_fds *out, bool *again, struct err *err)
{
	struct addr any4, any6;
	const char *call;
	int error = 0;
	enum bind_rc rc;

	*again = false;
	if (!addr_numeric("0.0.0.0", port, &any4))
		return false;
	rc = bind_one(&any4, false, &out->fd[0], &call, &error);
	if (rc == BIND_FAILED)
		return bind_failed(&any4, call, error, err);
	if (rc == BIND_OK && port == 0) {
		struct addr bound = addr_of_local(out->fd[0]);

		*again = true;
		port = addr_get_port(&bound);
	}
	if (!addr_numeric("::", port, &any6))
		return false;
	rc = bind_one(&any6, false, &out->fd[1], &call, &error);
	if (rc == BIND_OK)
		return true;
	/* A machine with one family is fine, one with none is not. */
	if (rc == BIND_NO_FAMILY && out->fd[0] >= 0)
		return true;
	*again = *again && error == EADDRINUSE;
	listener_fds_close(out);
	return bind_failed(&any6, call, error, err);
}

static bool bind_everywhere(uint16_t port, struct listener_fds *out, struct err *err)
{
	bool again = true;

	for (int i = 0; i < SAME_PORT_TRIES && again; i++)
		if (bind_both(port, out, &again, err))
			return true;
	return false;
}

static bool is_any(const struct addr *a)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)&a->sa;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&a->sa;

	if (a->sa.any.sa_family == AF_INET)
		return in->sin_addr.s_addr == htonl(INADDR_ANY);
	return IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr);
}

/* A name to bind to: its first IPv4 address, else its first one, as in Go. */
static bool look_up(const char *host, uint16_t port, struct addr *out, struct err *err)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct addrinfo *list = NULL, *best;
	char digits[8];
	int rc;

	snprintf(digits, sizeof(digits), "%u", port);
	rc = getaddrinfo(host, digits, &hints, &list);
	if (rc != 0 || !list)
		return err_set(err, "listen tcp: lookup %s: %s", host,
			       rc == EAI_NONAME ? "no such host" : gai_strerror(rc));
	for (best = list; best && best->ai_family != AF_INET; best = best->ai_next)
		;
	if (!best)
		best = list;
	memset(out, 0, sizeof(*out));
	memcpy(&out->sa, best->ai_addr, best->ai_addrlen);
	out->len = best->ai_addrlen;
	freeaddrinfo(list);
	return true;
}

/* "80" or "http"; -1 with a message. */
static int port_number(const char *text, struct err *err)
{
	struct servent entry, *found = NULL;
	char buf[1024];
	int port = addr_port(text);

	if (port >= 0)
		return port;
	if (text[strspn(text, "0123456789")] == '\0') {
		err_set(err, "listen tcp: address %s: invalid port", *text ? text : "''");
		return -1;
	}
	if (getservbyname_r(text, "tcp", &entry, buf, sizeof(buf), &found) != 0 || !found) {
		err_set(err, "listen tcp: lookup tcp/%s: unknown port", text);
		return -1;
	}
	return ntohs((uint16_t)found->s_port);
}

bool listener_bind(const char *addr, struct listener_fds *out, struct err *err)
{
	char host[256], port_text[32];
	const char *why;
	struct addr a;
	int port;

	fds_none(out);
	if (!addr_split(addr, host, sizeof(host), port_text, sizeof(port_text), &why))
		return err_set(err, "listen tcp: address %s: %s", addr, why);
	port = port_number(port_text, err);
	if (port < 0)
		return false;
	if (!host[0])
		return bind_everywhere((uint16_t)port, out, err);
	if (!addr_numeric(host, (uint16_t)port, &a) && !look_up(host, (uint16_t)port, &a, err))
		return false;
	if (is_any(&a))
		return bind_everywhere((uint16_t)port, out, err);
	return bind_single(&a, out, err);
}

bool listener_bind_sibling(const struct listener_fds *first, struct listener_fds *out,
			   struct err *err)
{
	fds_none(out);
	for (int i = 0; i < LISTENER_FDS; i++) {
		struct addr a;
		const char *call;
		int error;

		if (first->fd[i] < 0)
			continue;
		a = addr_of_local(first->fd[i]);
		if (bind_one(&a, true, &out->fd[i], &call, &error) != BIND_OK) {
			listener_fds_close(out);
			return bind_failed(&a, call, error, err);
		}
	}
	return true;
}

struct addr listener_addr(const struct listener_fds *fds)
{
	return addr_of_local(fds->fd[0] >= 0 ? fds->fd[0] : fds->fd[1]);
}

void listener_fds_close(struct listener_fds *fds)
{
	for (int i = 0; i < LISTENER_FDS; i++) {
		if (fds->fd[i] >= 0)
			close(fds->fd[i]);
		fds->fd[i] = -1;
	}
}

/* ---- the reserve descriptor: one per process, held while any listener lives ---- */

static pthread_mutex_t reserve_lock = PTHREAD_MUTEX_INITIALIZER;
static int reserve_fd = -1;
static int reserve_users;

static void reserve_join(void)
{
	pthread_mutex_lock(&reserve_lock);
	if (reserve_users++ == 0)
		reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	pthread_mutex_unlock(&reserve_lock);
}

static void reserve_leave(void)
{
	pthread_mutex_lock(&reserve_lock);
	if (--reserve_users == 0 && reserve_fd >= 0) {
		close(reserve_fd);
		reserve_fd = -1;
	}
	pthread_mutex_unlock(&reserve_lock);
}

static void count_shed(const struct listener *ln)
{
	if (ln->shed)
		++*ln->shed;
}

/* The first visitor in the queue sees a close now instead of waiting for a descriptor. */
static void shed_one(const struct listener *ln, int listen_fd)
{
	int fd;

	pthread_mutex_lock(&reserve_lock);
	if (reserve_fd >= 0)
		close(reserve_fd);
	fd = accept(listen_fd, NULL, NULL);
	if (fd >= 0) {
		close(fd);
		count_shed(ln);
	}
	reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	pthread_mutex_unlock(&reserve_lock);
}

/* ---- accepting ---- */

static void accept_on(struct listener *ln)
{
	for (int i = 0; i < LISTENER_FDS; i++)
		if (ln->acceptor[i].fd >= 0)
			event_add(&ln->acceptor[i].ev, NULL);
}

static void accept_off(struct listener *ln)
{
	for (int i = 0; i < LISTENER_FDS; i++)
		if (ln->acceptor[i].fd >= 0)
			event_del(&ln->acceptor[i].ev);
}

static void on_pause_over(void *arg)
{
	accept_on(arg);
}

static void complain(struct listener *ln, int fd, int error)
{
	struct addr a = addr_of_local(fd);
	char where[ADDR_TEXT], why[ERRNO_TEXT];
	static _Atomic uint64_t complained; /* loop_now() of the last line; 0: never */
	uint64_t now = loop_now(ln->loop), last = atomic_load(&complained);

	if ((last && now < last + COMPLAIN_EVERY_MS) ||
	    !atomic_compare_exchange_strong(&complained, &last, now))
		return;
	log_error("listen", "accept on %s: %s; visitors have to wait (said once a minute)",
		  addr_text(&a, where), errno_text(error, why));
}

/* It can't accept for a reason that must pass first. */
static void take_a_break(struct acceptor *a, int error)
{
	struct listener *ln = a->ln;

	complain(ln, a->fd, error == NONE_TO_SPARE ? EMFILE : error);
	if (error == EMFILE || error == ENFILE)
		shed_one(ln, a->fd);
	/* The event is level-triggered: left on, it would fire again at once, for ever. */
	accept_off(ln);
	loop_after(&ln->pause, PAUSE_MS);
}

static int accept_one(int listen_fd, struct addr *peer)
{
	int fd;

	memset(peer, 0, sizeof(*peer));
	peer->len = sizeof(peer->sa);
#ifdef __linux__
	fd = accept4(listen_fd, (struct sockaddr *)&peer->sa, &peer->len,
		     SOCK_NONBLOCK | SOCK_CLOEXEC);
#else
	fd = accept(listen_fd, (struct sockaddr *)&peer->sa, &peer->len);
	if (fd >= 0) {
		evutil_make_socket_nonblocking(fd);
		evutil_make_socket_closeonexec(fd);
		set_inherited(fd);
	}
#endif
	return fd;
}

/* Faults of the one connection that was being accepted (accept(2)): the next may be good. */
static bool is_peers_fault(int error)
{
	switch (error) {
	case EINTR:
	case ECONNABORTED:
	case EPROTO:
	case EPERM: /* firewall */
	case ENETDOWN:
	case ENETUNREACH:
	case ENOPROTOOPT:
	case EHOSTDOWN:
	case EHOSTUNREACH:
	case EOPNOTSUPP:
#ifdef ENONET
	case ENONET:
#endif
		return true;
	default:
		return false;
	}
}

/* At most max visitors; 0, or the error that stopped it. fn may close the listener (and a->fd). */
static int accept_some(struct acceptor *a, int max)
{
	struct listener *ln = a->ln;

	for (int i = 0; i < max && a->fd >= 0; i++) {
		struct addr peer;
		int fd = accept_one(a->fd, &peer);

		if (fd >= 0 && ln->ceiling && fd >= ln->ceiling) {
			close(fd);
			count_shed(ln);
			return NONE_TO_SPARE;
		}
		if (fd >= 0)
			ln->fn(ln->arg, fd, &peer);
		else if (errno == EAGAIN || errno == EWOULDBLOCK)
			return 0;
		else if (!is_peers_fault(errno))
			return errno;
	}
	return 0;
}

static void on_acceptable(evutil_socket_t fd, short what, void *arg)
{
	struct acceptor *a = arg;
	int error = accept_some(a, ACCEPT_PER_WAKE);

	if (error && !a->ln->closed)
		take_a_break(a, error);
}

struct listener *listener_start(struct loop *l, struct listener_fds *fds, listener_accept_fn *fn,
				void *arg)
{
	struct listener *ln = xcalloc(1, sizeof(*ln));

	ln->loop = l;
	ln->fn = fn;
	ln->arg = arg;
	loop_timer_init(&ln->pause, l, on_pause_over, ln);
	for (int i = 0; i < LISTENER_FDS; i++) {
		struct acceptor *a = &ln->acceptor[i];

		a->ln = ln;
		a->fd = fds->fd[i];
		if (a->fd >= 0)
			event_assign(&a->ev, loop_base(l), a->fd, EV_READ | EV_PERSIST,
				     on_acceptable, a);
	}
	fds_none(fds);
	reserve_join();
	accept_on(ln);
	return ln;
}

void listener_spare(struct listener *ln, int spare, uint64_t *shed)
{
	int most = socket_max_fds();

	ln->shed = shed;
	ln->ceiling = spare && most < INT_MAX && most > spare ? most - spare : 0;
}

void listener_close(struct listener *ln)
{
	/* fn, called below for those who still wait, may come here again. */
	if (!ln || ln->closed)
		return;
	ln->closed = true;
	loop_timer_stop(&ln->pause);
	accept_off(ln);
	for (int i = 0; i < LISTENER_FDS; i++) {
		struct acceptor *a = &ln->acceptor[i];

		if (a->fd < 0)
			continue;
		/* close() resets whoever is queued, though they think that they are connected. */
		(void)accept_some(a, DRAIN_MAX);
		close(a->fd);
		a->fd = -1;
	}
	reserve_leave();
	loop_free_later(ln->loop, ln, NULL);
}
