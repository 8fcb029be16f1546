/* What is said to a Drip server, as frames. They hold secrets: to be wiped. */
#ifndef PGROK_UPLINK_DRIP_SAY_H
#define PGROK_UPLINK_DRIP_SAY_H

#include "common/base/text.h"
#include "pgrok/config/config.h"

/* The name that t asks for, whatever it had before; "": any. Into buf, which is returned. */
#define DRIP_NAME 300
const char *drip_say_name(const struct config_tunnel *t, enum proto p, char buf[static DRIP_NAME]);

/*
 * Appends the Register of t for p; name: what it is to be called, "" any. False: err says why it
 * can't be said.
 */
bool drip_say_register(struct text *out, const struct config *c, const struct config_tunnel *t,
		       enum proto p, const char *name, struct err *err) MUSTCHECK;
/* The DataConnect of that tunnel's n-th one. */
bool drip_say_data(struct text *out, const struct config *c, const char *tunnel_id, uint64_t n,
		   struct err *err) MUSTCHECK;

#endif
