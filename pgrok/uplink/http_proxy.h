/*
 * The way out through a proxy: its URL, who is exempt, and what is said to an HTTP one. For SOCKS
 * ones: socks.h.
 */
#ifndef PGROK_UPLINK_HTTP_PROXY_H
#define PGROK_UPLINK_HTTP_PROXY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/xalloc.h"

struct http_proxy {
	bool tls;     /* an https proxy: TLS to it, too */
	bool socks;   /* SOCKS5 is spoken to it */
	bool look_up; /* of socks5h: it is given names, too */
	char *host;
	uint16_t port;
	char *credentials;     /* HTTP: base64 of user:password; NULL: none */
	char *user, *password; /* SOCKS; NULL: none */
};

/*
 * "http://user:p%40ss@proxy:3128" (also without a scheme), "socks5://proxy", "socks5h://proxy";
 * credentials are percent-decoded. False: the reason in err.
 */
bool http_proxy_parse(struct http_proxy *p, const char *url, struct err *err) MUSTCHECK;
/* Wipes the credentials. */
void http_proxy_free(struct http_proxy *p);

/*
 * Is host:port exempt by a no_proxy list ("localhost, .corp.example, 10.0.0.0/8, host:8080, *")? A
 * name stands for itself and everything below it. list may be NULL.
 */
bool no_proxy_match(const char *list, const char *host, uint16_t port);

/* The CONNECT request for target ("host:port"). Returns owned; it may hold a password. */
char *http_proxy_request(const struct http_proxy *p, const char *target) MUSTCHECK;

#endif
