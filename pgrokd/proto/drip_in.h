/* What the files of the Drip protocol share. */
#ifndef PGROKD_PROTO_DRIP_IN_H
#define PGROKD_PROTO_DRIP_IN_H

#include "msg/drip/drip.h"
#include "pgrokd/core/parcel.h"
#include "pgrokd/proto/drip.h"

/* Says m on a connection that has said nothing yet. False: it can't be said at once. */
bool drip_say(struct stream *s, const struct drip_msg *m) MUSTCHECK;
/* Takes s, says why it is refused. */
void drip_refuse(struct stream *s, const struct drip_msg *why);
/* Both kinds of it; the texts are borrowed by what is returned. */
struct drip_msg drip_error_of(const char *code, const char *message);
struct drip_msg drip_no_data(const char *message);

/* Of a code and its text in a DataConnectAck. */
#define DRIP_NO_TOKEN "authentication_failed: Invalid authentication token"
#define DRIP_NO_TUNNEL "join_failed: Tunnel not found"
#define DRIP_NO_ROOM "join_failed: Too many connections"
/* Of an Error. */
#define DRIP_BAD_TOKEN "Invalid authentication token"
#define DRIP_TOO_OFTEN "tunnel registration failed: rate limit exceeded, try again later"

/* At home: a Register, a DataConnect, as struct drip_msg in the parcel's own. */
parcel_adopt_fn drip_control_adopt, drip_control_join;

enum drip_kind { KIND_NONE, KIND_WEB, KIND_TCP };
/* What the server has for this tunnel_type. */
enum drip_kind drip_kind_of(const struct core *core, const char *tunnel_type);

/* As in struct proto_ops and struct carrier_hooks; session, arg: struct drip_control. */
void drip_control_answer(void *session, const struct proto_answer *a);
void drip_control_ask_alive(void *session);
bool drip_control_seems_alive(void *session);
void drip_control_withdrawn(void *session, const char *url, const char *why);
uint32_t drip_control_rtt_us(const void *session);
void drip_control_quiet(void *session);
void drip_control_stopped(void *session);
void drip_control_ask(void *arg);
void drip_control_ended(void *arg, const char *why);
void drip_control_alive(void *arg);

#endif
