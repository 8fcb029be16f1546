/* What the files of the pgrok protocol share. */
#ifndef PGROKD_PROTO_PGROK_IN_H
#define PGROKD_PROTO_PGROK_IN_H

#include "pgrokd/carrier/carrier.h"
#include "pgrokd/core/parcel.h"
#include "pgrokd/proto/pgrok.h"

/* A client's control connection: the session of pgrok_proto. */

struct pgrok_control;

/* An Auth at home. */
parcel_adopt_fn pgrok_control_adopt;
/* Does it take connections for visitors (not if it is about to close)? And such with mux? */
bool pgrok_control_up(const struct pgrok_control *k);
bool pgrok_control_mux(const struct pgrok_control *k);

/* As in struct proto_ops and struct carrier_hooks; session, arg: struct pgrok_control. */
void pgrok_control_answer(void *session, const struct proto_answer *a);
void pgrok_control_ask_alive(void *session);
bool pgrok_control_seems_alive(void *session);
void pgrok_control_withdrawn(void *session, const char *url, const char *why);
uint32_t pgrok_control_rtt_us(const void *session);
void pgrok_control_quiet(void *session);
void pgrok_control_stopped(void *session);
void pgrok_control_ask(void *arg);

#endif
