/* The server as a whole, as the main thread sees it. */
#ifndef PGROKD_SERVER_H
#define PGROKD_SERVER_H

#include "common/base/err.h"
#include "pgrokd/config/config.h"
#include "pgrokd/core/census.h"
#include "pgrokd/names/registry.h"

struct server;

/*
 * Binds, the admin listener too, loads certificates, makes the workers. NULL: err names the option.
 */
struct server *server_new(const struct config *c, struct err *err) MUSTCHECK;
/* Borrowed. */
struct registry *server_registry(struct server *s);
/* Starts the threads, and the admin listener on l, the main thread's; says so in the log. */
void server_start(struct server *s, struct loop *l);
/* Both logs go on in files of their names. */
void server_reopen_logs(struct server *s);
/*
 * Loads the settings again, as c says: certificates for connections from now on, tokens for all
 * clients. What can't be loaded is logged, and the old settings stay.
 */
void server_reload(struct server *s, const struct config *c);
/* As census_ask(), from the loop of the main thread. */
void server_census(struct server *s, struct loop *home, census_fn *done, void *arg);
/* It is about to be stopped: not ready for what is new. */
void server_stopping(struct server *s);
/* Closes everything, ends and joins the threads. The main thread's loop has ended. */
void server_stop(struct server *s);
void server_free(struct server *s);

#endif
