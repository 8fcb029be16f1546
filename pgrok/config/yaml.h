/* The YAML form of the configuration. */
#ifndef PGROK_CONFIG_YAML_H
#define PGROK_CONFIG_YAML_H

#include "common/base/err.h"
#include "pgrok/config/config.h"

/* Fills c, whose file names the source in messages. */
bool config_yaml_parse(struct config *c, const char *text, size_t len, config_warn_fn *warn,
		       void *warn_arg, struct err *err) MUSTCHECK;
/*
 * Fills t from a mapping with the keys that a tunnel has in the file; JSON is YAML, too. An unknown
 * key is an error. err begins with the key.
 */
bool config_yaml_tunnel(struct config_tunnel *t, const char *text, struct err *err) MUSTCHECK;

#endif
