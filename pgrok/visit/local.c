/* A connection to the service of a tunnel: dial, or open the folder -> (TLS) -> done. */
#include "pgrok/visit/local.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/net/dial.h"
#include "common/net/proxy_head.h"
#include "common/net/tls.h"
#include "pgrok/config/limits.h"
#include "pgrok/files/files.h"

struct local {
	struct loop *loop;
	const struct endpoint *to;
	struct addr from; /* the visitor, if the service is to be told; len 0: it is not known */
	local_fn *fn;
	void *arg;
	struct dial *dial; /* waits for the connection */
	struct stream *s;  /* waits for the handshake, or for the next tick */
	/* NULL until needed: most services are plain ports. */
	struct loop_timer *deadline; /* of the handshake */
	struct folder *folder;       /* waits for the next tick */
};

/* A folder is there at once, or not at all; that is told on the next tick. */
struct folder {
	struct loop_tick tick;
	struct err err;
};

/* ---- the end ---- */

static void local_free(void *arg)
{
	struct local *o = arg;

	free(o->deadline);
	free(o->folder);
	free(o);
}

static void quiet(struct local *o)
{
	if (o->dial)
		dial_cancel(o->dial);
	o->dial = NULL;
	if (o->deadline)
		loop_timer_stop(o->deadline);
	if (o->folder)
		loop_tick_cancel(o->loop, &o->folder->tick);
	loop_free_later(o->loop, o, local_free);
}

void local_cancel(struct local *o)
{
	if (o->s)
		stream_close(o->s, true);
	quiet(o);
}

static void fail(struct local *o, const char *why)
{
	if (o->s)
		stream_close(o->s, true);
	o->s = NULL;
	quiet(o);
	o->fn(o->arg, NULL, why);
}

/* Takes s. */
static void succeed(struct local *o, struct stream *s)
{
	o->s = NULL;
	quiet(o);
	o->fn(o->arg, s, NULL);
}

/* ---- TLS ---- */

/* Whose certificate counts, and whose does not: those of this machine change all the time. */
static const struct tls_client_conf trust[] = {
	[false] = {.pin = NULL}, [true] = {.host_roots = true}};

/* Made when first needed, kept until the process ends: the roots of a machine are many. */
static SSL_CTX *context(bool checked, struct err *err)
{
	static SSL_CTX *made[2];

	if (!made[checked])
		made[checked] = tls_client_ctx(&trust[checked], err);
	return made[checked];
}

static void on_deadline(void *arg)
{
	struct local *o = arg;
	struct err err;

	err_set(&err, "%s: no answer to the TLS handshake", o->to->text);
	fail(o, err.text);
}

static void on_tls_ready(void *arg, int dirs)
{
	static const char hint[] = " (insecure: true, or -insecure, accepts any)";
	struct local *o = arg;
	char pin[TLS_PIN_TEXT];
	struct err err;
	enum stream_rc rc = stream_handshake(o->s);

	if (rc == STREAM_AGAIN)
		return;
	bool good = tls_check_server(stream_ssl(o->s), &trust[o->to->checked], pin, &err);

	if (rc == STREAM_OK && good) {
		stream_on_ready(o->s, NULL, NULL);
		stream_want(o->s, 0);
		succeed(o, o->s);
		return;
	}
	if (*err.text)
		err_set(&err, "%s: %s%s", o->to->text, err.text, o->to->checked ? hint : "");
	else
		err_set(&err, "%s: TLS handshake: %s", o->to->text, stream_error(o->s));
	fail(o, err.text);
}

/* Takes fd. */
static void start_tls(struct local *o, int fd)
{
	struct err err;
	SSL_CTX *ctx = context(o->to->checked, &err);
	SSL *ssl = ctx ? tls_connect_ssl(ctx, &trust[o->to->checked], o->to->host) : NULL;

	if (!ssl) {
		close(fd);
		if (ctx)
			err_set(&err, "%s: no name that a certificate could have", o->to->text);
		fail(o, err.text);
		return;
	}
	o->s = stream_new(o->loop, fd, ssl);
	o->deadline = xcalloc(1, sizeof(*o->deadline));
	loop_timer_init(o->deadline, o->loop, on_deadline, o);
	loop_after(o->deadline, LIMIT_LOCAL_DIAL_MS);
	stream_on_ready(o->s, on_tls_ready, o);
	on_tls_ready(o, 0);
}

/* ---- the beginning ---- */

static struct addr address_of(const char *peer)
{
	struct addr a = {.len = 0};
	char host[ADDR_TEXT], port[16];
	const char *why;

	if (!addr_split(peer, host, sizeof(host), port, sizeof(port), &why) ||
	    addr_port(port) < 0 || strchr(host, '%') ||
	    !addr_numeric(host, (uint16_t)addr_port(port), &a))
		a.len = 0;
	return a;
}

/* On a connection just made, where there is room for it. */
static bool say_from(const struct local *o, int fd)
{
	char head[PROXY_HEAD_MADE];
	struct addr to = addr_of_peer(fd);
	size_t len = proxy_head_make(o->to->proxy_proto, o->from.len ? &o->from : NULL, &to, head);

	return send(fd, head, len, MSG_NOSIGNAL) == (ssize_t)len;
}

static void on_dialled(void *arg, int fd, const char *error)
{
	struct local *o = arg;

	o->dial = NULL;
	if (fd >= 0 && o->to->proxy_proto && !say_from(o, fd)) {
		close(fd);
		fd = -1;
		error = "it did not take the PROXY head";
	}
	if (fd < 0)
		fail(o, error);
	else if (o->to->tls)
		start_tls(o, fd);
	else
		succeed(o, stream_new(o->loop, fd, NULL));
}

static void on_folder(void *arg)
{
	struct local *o = arg;

	if (o->s)
		succeed(o, o->s);
	else
		fail(o, o->folder->err.text);
}

static void open_folder(struct local *o)
{
	o->folder = xcalloc(1, sizeof(*o->folder));
	o->folder->tick.fn = on_folder;
	o->folder->tick.arg = o;
	int fd = files_connect(o->loop, o->to->folder, &o->folder->err);

	if (fd >= 0)
		o->s = stream_new(o->loop, fd, NULL);
	loop_next_tick(o->loop, &o->folder->tick);
}

struct local *local_open(struct loop *l, const struct endpoint *to, const char *peer, local_fn *fn,
			 void *arg)
{
	struct local *o = xcalloc(1, sizeof(*o));

	o->loop = l;
	o->to = to;
	o->from = address_of(peer);
	o->fn = fn;
	o->arg = arg;
	if (to->folder)
		open_folder(o);
	else if (to->socket)
		o->dial = dial_unix(l, to->socket, LIMIT_LOCAL_DIAL_MS, on_dialled, o);
	else
		o->dial = dial_start(l, to->here ? "" : to->host, to->port, LIMIT_LOCAL_DIAL_MS,
				     on_dialled, o);
	return o;
}
