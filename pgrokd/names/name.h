/* Public names: which are allowed, how a Host becomes a key, how a URL is written. Pure. */
#ifndef PGROKD_NAMES_NAME_H
#define PGROKD_NAMES_NAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/xalloc.h"
#include "msg/pgrok/proto.h"
#include "pgrokd/limits.h"

/*
 * A name a client may ask for, lower-case already: 1-253 of [a-z0-9.-_], no empty label but for one
 * trailing dot; with_port allows ":port" behind it. False: *why is a text for the client.
 */
bool name_valid(const char *name, bool with_port, const char **why) MUSTCHECK;
/* A copy, blanks around it taken off, lower-cased. Owned. */
char *name_clean(const char *name) MUSTCHECK;

#define ROUTE_KEY_MAX (sizeof("https://") + LIMIT_NAME)

/*
 * The one function for registration and look-up: "http://" + the host in lower case, without port
 * and without trailing dot. False: this can be no tunnel's host (empty, too long, blanks in it).
 */
bool route_key(enum proto p, const char *host, size_t len,
	       char key[static ROUTE_KEY_MAX]) MUSTCHECK;

/* The same for the port of a tcp tunnel: "tcp://:5000". Owned. */
char *port_key(uint16_t port) MUSTCHECK;
/* The port of such a key, 0 for any other key. */
uint16_t key_port(const char *key);

/* Where the server stands, as far as URLs are concerned. */
struct name_site {
	const char *domain, *vhost; /* vhost NULL: not set */
	uint16_t http_port, https_port;
};

/*
 * Is host, as it stands in a key, below the domain or vhost? What stands before that, into below.
 */
bool name_below(const struct name_site *site, const char *host, char below[static ROUTE_KEY_MAX]);

/* "http://sub.domain:port", the port left out where it is the protocol's default. Owned. */
char *url_of_subdomain(const struct name_site *site, enum proto p, const char *sub) MUSTCHECK;
/* "http://hostname": a port only if the client asked for one. Owned. */
char *url_of_hostname(enum proto p, const char *hostname) MUSTCHECK;
/* "tcp://domain:port". Owned. */
char *url_of_port(const struct name_site *site, uint16_t port) MUSTCHECK;
/* The host part of a URL made here, port included. Borrowed. */
const char *url_host(const char *url);

#endif
