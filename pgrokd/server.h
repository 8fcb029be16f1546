/* The server as a whole, as the main thread sees it. */
#ifndef PGROKD_SERVER_H
#define PGROKD_SERVER_H

#include "pgrokd/config/config.h"
#include "pgrokd/names/registry.h"

struct server;

/* Binds, loads certificates, makes the workers. NULL: err names the option. */
struct server *server_new(const struct config *c, char err[static 256]) MUSTCHECK;
/* Borrowed. */
struct registry *server_registry(struct server *s);
/* Starts the threads and says so in the log. */
void server_start(struct server *s);
/*
 * New certificates for connections from now on; what can't be loaded is logged, the old ones stay.
 */
void server_reload_tls(struct server *s);
/* Closes everything, ends and joins the threads. */
void server_stop(struct server *s);
void server_free(struct server *s);

#endif
