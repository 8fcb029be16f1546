/* How a configuration comes about: defaults, the file, the flags. */
#ifndef PGROK_CONFIG_LOAD_H
#define PGROK_CONFIG_LOAD_H

#include "common/base/err.h"
#include "pgrok/config/config.h"

#define DEFAULT_INSPECT_ADDR "127.0.0.1:4040"

/*
 * Reads path; NULL: .pgrok in the home directory of the password file, which may be missing.
 * False: err names file, line and key.
 */
bool config_load(struct config *c, const char *path, config_warn_fn *warn, void *warn_arg,
		 struct err *err) MUSTCHECK;
/* The same from memory; file is the name for messages. */
bool config_parse(struct config *c, const char *file, const char *text, size_t len,
		  config_warn_fn *warn, void *warn_arg, struct err *err) MUSTCHECK;

/* What the command line says; NULL: not given. Borrowed. */
struct config_flags {
	const char *protocol, *transport;
	const char *auth_token, *server_addr, *inspect_addr;
	const char *tls_client_crt, *tls_client_key, *root_cas;
	bool inspect_public;
};

/*
 * Flag if given, else file, else default; then the addresses are checked. There is no default
 * server: c->server.text stays NULL.
 */
bool config_finish(struct config *c, const struct config_flags *f, struct err *err) MUSTCHECK;

#endif
