/*
 * What may change while the server runs; what can't is in the config. Never changed once made: a
 * reload makes a new one, and each worker gets it by one message. Counted, since one thread may
 * still look at the old one while another has the new one already.
 */
#ifndef PGROKD_CORE_SETTINGS_H
#define PGROKD_CORE_SETTINGS_H

#include <stdatomic.h>

#include "common/base/err.h"
#include "pgrokd/core/worker.h"
#include "pgrokd/names/reserved.h"

struct settings {
	atomic_uint refs;
	SSL_CTX *tls[PORTS];       /* NULL: http, or a port that is not listened on */
	SSL_CTX *admin_tls;        /* of the admin listener; NULL: it has none */
	bool tls_kept;             /* these stay in a reload: others could only have another key */
	struct reserved *reserved; /* names of no tunnel, some from the certificate */
	struct limits limits;
	struct tokens *tokens; /* a reference; NULL: they are not checked */
};

/*
 * Loads what c names, whose tokens no other settings have had. was: the settings in force, NULL at
 * the start. Returns owned, one reference; NULL: err names the option and the file.
 */
struct settings *settings_load(const struct core *core, const struct config *c,
			       const struct settings *was, struct err *err) MUSTCHECK;
/*
 * As was, but with these tokens (taken). Returns owned, one reference.
 */
struct settings *settings_but(const struct core *core, const struct settings *was,
			      struct tokens *tokens) MUSTCHECK;
struct settings *settings_ref(struct settings *s);
/* The last one frees; NULL is fine. */
void settings_unref(struct settings *s);

/*
 * From the main thread: brings s into force on every worker, with a reference for each; there
 * core->settled is called then.
 */
void settings_publish(const struct core *core, struct settings *s);

#endif
