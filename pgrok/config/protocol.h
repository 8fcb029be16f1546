/* What the server speaks, and what a tunnel can't have there. */
#ifndef PGROK_CONFIG_PROTOCOL_H
#define PGROK_CONFIG_PROTOCOL_H

#include "common/base/err.h"
#include "pgrok/config/config.h"

/* "pgrok", "drip". Static. */
const char *protocol_name(enum protocol p);
/* Is there more than one way to its servers? */
bool protocol_has_transports(enum protocol p);
/* False: err says why. */
bool protocol_parse(const char *text, enum protocol *out, struct err *err) MUSTCHECK;
bool transport_parse(const char *text, enum transport *out, struct err *err) MUSTCHECK;

/*
 * Makes t, which is complete, one for the servers of c's protocol. False: err says what they can't
 * do, and *which (a static text) is its key. Fitting what fits is fine.
 */
bool protocol_fit(const struct config *c, struct config_tunnel *t, const char **which,
		  struct err *err) MUSTCHECK;
/*
 * The same for all tunnels that are to start. *which is NULL if err names file, line and key: that
 * of a tunnel in the file.
 */
bool protocol_fit_all(struct config *c, const char **which, struct err *err) MUSTCHECK;

#endif
