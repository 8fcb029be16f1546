/*
 * The first messages of the pgrok protocol: an Auth makes a control connection, a RegProxy a
 * connection for visitors. And the first message the other way on such a connection: StartProxy.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "msg/pgrok/frame.h"
#include "pgrokd/client/client.h"
#include "pgrokd/proto/pgrok_in.h"

/* ---- a connection for visitors ---- */

static bool start_proxy(struct stream *s, const char *url, const char *visitor)
{
	char err[256];
	struct msg m = msg_new(MSG_START_PROXY);
	size_t len, n = 0;

	m.start_proxy.url = url;
	m.start_proxy.client_addr = visitor;
	char *frame = frame_make(&m, FRAME_GO_MAX, &len, err);
	bool ok = frame && stream_write(s, frame, len, &n) == STREAM_OK && n == len;

	free(frame);
	return ok;
}

static bool pgrok_begin(void *arg, struct stream *s, const struct carrier_visit *v)
{
	char peer[ADDR_TEXT];

	(void)arg;
	return start_proxy(s, v->url, addr_text(v->peer, peer));
}

void pgrok_proxy_adopt(struct worker *w, struct stream *s, struct parcel *p)
{
	struct client *c = client_find(w, p->client_id);
	struct pgrok_control *k = c ? client_session(c, &pgrok_proto) : NULL;
	enum carrier_kind kind = CARRIER_POOLED;

	if (!k || !pgrok_control_up(k)) {
		log_info("lobby", "No client found for identifier: %.8s", p->client_id);
		stream_close(s, false);
		return;
	}
	if (p->first.reg_proxy.mux == MUX_SHARED && pgrok_control_mux(k))
		kind = CARRIER_SHARED;
	else if (p->first.reg_proxy.mux == MUX_REUSED && pgrok_control_mux(k))
		kind = CARRIER_REUSED;
	s = stream_settle(s);
	if (!carrier_wants(client_carrier(c), kind) ||
	    (kind != CARRIER_POOLED && !start_proxy(s, START_PROXY_MUX, ""))) {
		stream_close(s, false);
		return;
	}
	carrier_add(client_carrier(c), kind, s);
}

static const struct carrier_hooks carry = {.ask = pgrok_control_ask, .begin = pgrok_begin};

const struct proto_ops pgrok_proto = {
	.name = "pgrok",
	.carry = &carry,
	.answer = pgrok_control_answer,
	.ask_alive = pgrok_control_ask_alive,
	.seems_alive = pgrok_control_seems_alive,
	.quiet = pgrok_control_quiet,
	.stopped = pgrok_control_stopped,
};
