/* A connection to the service of a tunnel: dial, or open the folder -> (TLS) -> done. */
#include "pgrok/visit/local.h"

#include <stdlib.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/net/dial.h"
#include "common/net/tls.h"
#include "pgrok/config/limits.h"
#include "pgrok/files/files.h"

struct local {
	struct loop *loop;
	const struct endpoint *to;
	local_fn *fn;
	void *arg;
	struct dial *dial; /* waits for the connection */
	struct stream *s;  /* waits for the handshake; timer: deadline */
	struct loop_timer deadline;
	struct loop_tick tick; /* a folder, or a fault: waits for the next tick */
	struct err err;
};

/* ---- the end ---- */

static void quiet(struct local *o)
{
	if (o->dial)
		dial_cancel(o->dial);
	o->dial = NULL;
	loop_timer_stop(&o->deadline);
	loop_tick_cancel(o->loop, &o->tick);
	loop_free_later(o->loop, o, NULL);
}

void local_cancel(struct local *o)
{
	if (o->s)
		stream_close(o->s, true);
	quiet(o);
}

/* Hands on what there is: the stream, or the reason. */
static void report(void *arg)
{
	struct local *o = arg;
	struct stream *s = o->s;

	o->s = NULL;
	if (s) {
		stream_on_ready(s, NULL, NULL);
		stream_want(s, 0);
	}
	quiet(o);
	o->fn(o->arg, s, s ? NULL : o->err.text);
}

static void fail(struct local *o)
{
	if (o->s)
		stream_close(o->s, true);
	o->s = NULL;
	report(o);
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

	err_set(&o->err, "%s: no answer to the TLS handshake", o->to->text);
	fail(o);
}

static void refused(struct local *o)
{
	const char *hint = o->to->checked ? " (insecure: true, or -insecure, accepts any)" : "";

	err_set(&o->err, "%s: %s%s", o->to->text, o->err.text, hint);
	fail(o);
}

static void on_tls_ready(void *arg, int dirs)
{
	struct local *o = arg;
	char pin[TLS_PIN_TEXT];
	enum stream_rc rc = stream_handshake(o->s);

	if (rc == STREAM_AGAIN)
		return;
	bool good = tls_check_server(stream_ssl(o->s), &trust[o->to->checked], pin, &o->err);

	if (rc == STREAM_OK && good) {
		report(o);
	} else if (*o->err.text) {
		refused(o);
	} else {
		err_set(&o->err, "%s: TLS handshake: %s", o->to->text, stream_error(o->s));
		fail(o);
	}
}

/* Takes fd. */
static void start_tls(struct local *o, int fd)
{
	SSL_CTX *ctx = context(o->to->checked, &o->err);
	SSL *ssl = ctx ? tls_connect_ssl(ctx, &trust[o->to->checked], o->to->host) : NULL;

	if (!ssl) {
		close(fd);
		if (ctx)
			err_set(&o->err, "%s: no name that a certificate could have", o->to->text);
		report(o);
		return;
	}
	o->s = stream_new(o->loop, fd, ssl);
	loop_after(&o->deadline, LIMIT_LOCAL_DIAL_MS);
	stream_on_ready(o->s, on_tls_ready, o);
	on_tls_ready(o, 0);
}

/* ---- the beginning ---- */

static void on_dialled(void *arg, int fd, const char *error)
{
	struct local *o = arg;

	o->dial = NULL;
	if (fd < 0) {
		err_set(&o->err, "%s", error);
		report(o);
	} else if (o->to->tls) {
		start_tls(o, fd);
	} else {
		o->s = stream_new(o->loop, fd, NULL);
		report(o);
	}
}

/* The folder's own end of a connection is there at once. */
static void open_folder(struct local *o)
{
	int fd = files_connect(o->loop, o->to->folder, &o->err);

	if (fd >= 0)
		o->s = stream_new(o->loop, fd, NULL);
	loop_next_tick(o->loop, &o->tick);
}

struct local *local_open(struct loop *l, const struct endpoint *to, local_fn *fn, void *arg)
{
	struct local *o = xcalloc(1, sizeof(*o));

	o->loop = l;
	o->to = to;
	o->fn = fn;
	o->arg = arg;
	o->tick.fn = report;
	o->tick.arg = o;
	loop_timer_init(&o->deadline, l, on_deadline, o);
	if (to->folder)
		open_folder(o);
	else if (to->socket)
		o->dial = dial_unix(l, to->socket, LIMIT_LOCAL_DIAL_MS, on_dialled, o);
	else
		o->dial = dial_start(l, to->here ? "" : to->host, to->port, LIMIT_LOCAL_DIAL_MS,
				     on_dialled, o);
	return o;
}
