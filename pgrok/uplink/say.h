/* What the client says on its control connection. Texts are borrowed from what is given. */
#ifndef PGROK_UPLINK_SAY_H
#define PGROK_UPLINK_SAY_H

#include "common/base/err.h"
#include "msg/pgrok/msg.h"
#include "pgrok/config/config.h"
#include "pgrok/model/model.h"
#include "pgrok/uplink/requests.h"

/* client_id: of the last session, "" for the first one. */
struct msg say_auth(const struct config *c, const char *client_id);
/* What a tunnel was given unasked in the last session: a name, a port. */
struct say_last {
	char name[64]; /* "": none */
	uint16_t port; /* 0: none */
};

/* mux: its visitors may share a connection. */
struct msg say_req_tunnel(const struct request *r, bool mux, const struct say_last *last,
			  char protos[static PROTOS_TEXT]);
/* t's URL is given back. */
struct msg say_closed(const struct model_tunnel *t);

/*
 * Is m small enough for a server without our extensions? If not, no second attempt helps. False:
 * err says why.
 */
bool say_fits(const struct msg *m, struct err *err) MUSTCHECK;

#endif
