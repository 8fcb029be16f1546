/* Inside of the inspector: what its files share. Others use inspect.h. */
#ifndef PGROK_INSPECT_PARTS_H
#define PGROK_INSPECT_PARTS_H

#include "common/httpd/httpd.h"
#include "pgrok/inspect/inspect.h"
#include "pgrok/inspect/forms.h"
#include "pgrok/inspect/meter.h"
#include "pgrok/replay/replay.h"

#define JSON_TYPE "application/json; charset=utf-8"

struct live;
struct order;

struct inspect {
	struct loop *loop;
	struct inspect_conf conf;
	struct capture *capture, *own; /* own: there is none else, so that everything is empty */
	struct httpd *httpd;
	struct replays *replays;
	struct live *live;
	struct meters meters;
	struct order *orders; /* about tunnels, under way */
	uint64_t order_ids;
	struct model_watch model_watch;
	struct capture_watch capture_watch;
	char *url, *addr, *token;
	struct addr bound;
	int64_t started_us; /* wall clock */
};

/* ---- answer.c ---- */

/* Takes t. */
void answer_text(struct httpd_req *r, int status, const char *mime, struct text *t);
void answer_error(struct httpd_req *r, int status, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* ---- api.c: a walk over the store across turns of the loop, in which some come and go ---- */

struct walk {
	const struct capture *store;
	bool oldest_first;
	uint64_t seq; /* of the last one; 0: none yet */
	char id[CAPTURE_ID];
};

/* The one behind the last; NULL: none. */
const struct capture_txn *walk_next(const struct walk *w);
void walk_to(struct walk *w, const struct capture_txn *x);

/* ---- state.c: tunnels, state, metrics ---- */

void form_state(struct inspect *i, struct text *t);
/* The keys of State without its brackets. */
void form_state_keys(struct inspect *i, struct text *t);
void form_tunnel(struct inspect *i, struct text *t, const struct model_tunnel *m);
void form_metrics(struct inspect *i, struct text *t);
/* By the name that config_tunnel_name() gives it; NULL: there is none. */
const struct model_tunnel *inspect_tunnel_named(const struct inspect *i, const char *name);

/* ---- handlers; arg is the struct inspect ---- */

/* api.c */
httpd_handler_fn api_requests, api_requests_delete, api_har, api_entries, api_one, api_one_patch,
	api_one_delete, api_status, api_metrics, api_qr, api_unknown;
/* search.c */
httpd_handler_fn api_search;
/* body.c */
void api_body(struct inspect *i, struct httpd_req *r, const struct capture_txn *x);
/* tunnels.c */
httpd_handler_fn api_tunnels, api_tunnels_open, api_tunnel, api_tunnel_close;
void orders_free(struct inspect *i);
/* api_replay.c */
httpd_handler_fn api_replay, compat_replay;

/* ---- live.c: the WebSockets ---- */

struct live *live_new(struct inspect *i) MUSTCHECK;
void live_close(struct live *v);
httpd_handler_fn live_upgrade, live_compat_upgrade;
void live_capture(struct live *v, enum capture_event ev, const struct capture_txn *x,
		  const struct capture_frame *f);
/* Tunnels, connection or counters changed. now: not only the counters. */
void live_state(struct live *v, bool now);

#endif
