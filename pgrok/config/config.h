/* What the client was told to do: the YAML file, the flags, and what follows from both. */
#ifndef PGROK_CONFIG_CONFIG_H
#define PGROK_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/http/fields.h"
#include "msg/pgrok/msg.h"
#include "msg/pgrok/proto.h"
#include "pgrok/config/endpoint.h"

#define CONFIG_CAPTURES_NOTHING UINT64_MAX /* inspect_db_size: -1 */

/* "user:password", or NULL or "" for none. Without a colon no visitor could ever give it. */
bool config_auth_valid(const char *auth);

/* What the server speaks; what that means: protocol.h. */
enum protocol { PROTOCOL_PGROK, PROTOCOL_DRIP, PROTOCOLS };

/* How a Drip server is reached. */
enum transport {
	TRANSPORT_UNSET, /* of a tunnel: that of the configuration, which is AUTO then */
	TRANSPORT_AUTO,  /* the server says how: GET /_drip/discover */
	TRANSPORT_TCP,   /* TLS */
	TRANSPORT_WSS    /* a WebSocket over TLS */
};

/* Where a key of a tunnel stands in the file. */
struct config_place {
	char *key;
	unsigned line;
};

struct config_tunnel {
	char *name;
	struct config_place *places; /* of the keys that it has in the file */
	size_t places_n;
	char *subdomain, *hostname;
	char *auth; /* the first user; others in list[ACCESS_USERS] */
	/* Rules for visitors, as they are sent: config_access(). */
	char *list[ACCESS_LISTS], *password, *mtls_ca;
	bool auth_preflight;
	char *forward_auth; /* URL of a service that decides about requests; NULL: none */
	/* "rewrite": the service's address; "keep": as it came; NULL: keep, one_request: rewrite */
	char *host_header;
	bool x_forwarded; /* the service is told who the visitor is */
	bool one_request; /* a stream from its server carries one request (Drip) */
	/* What requests and answers get, whatever came. */
	struct http_fields request_headers, response_headers;
	int proxy_proto; /* the service is told first who the visitor is: 1, 2; 0: it is not */
	bool insecure;   /* no certificate of a service is checked */
	struct endpoint local[PROTOS];
	uint16_t remote_port;
	enum transport transport;
	bool mux, inspect;
	bool start;     /* asked for by this command line */
	bool any_proto; /* its protocols are the default: what the server lacks is left out */
};

struct config {
	char *file; /* NULL: there was none */

	enum protocol protocol;
	enum transport transport; /* never UNSET after config_finish() */
	struct endpoint server;   /* text NULL: none was given */
	struct endpoint inspect;  /* text NULL: disabled */
	bool inspect_public;
	char *http_proxy; /* URL; NULL: the environment's */
	char *auth_token;
	bool trust_host_root_certs;
	char *root_cas, *server_pin;
	char *tls_client_crt, *tls_client_key;
	bool mux; /* visitors may come over one shared session; config_new(): true */
	bool tls; /* accepted, without effect: TLS is always used */
	char *log_format;
	uint64_t inspect_max_body, inspect_max_total, inspect_db_size; /* bytes */
	char **web_allow_hosts;
	size_t web_allow_hosts_n;

	struct config_tunnel *tunnels;
	size_t tunnels_n;
	/* Opened while it runs; each stays where it is, since others point at it. */
	struct config_tunnel **more;
	size_t more_n;

	/* As written in the file, until config_finish(); with their lines for its messages. */
	char *server_addr, *inspect_addr;
	unsigned server_addr_line, inspect_addr_line, transport_line;
};

/* Something that is odd but no error: "debug.yml:3: unknown key tunels is ignored". */
typedef void config_warn_fn(void *arg, const char *text);

struct config *config_new(void) MUSTCHECK;
/* Wipes the secrets. NULL is fine. */
void config_free(struct config *c);

struct config_tunnel *config_find_tunnel(struct config *c, const char *name);
/* All of them, those opened at run time last; NULL: i is behind the last. */
struct config_tunnel *config_tunnel_at(const struct config *c, size_t i);
/*
 * A new tunnel of that name at run time; it stays where it is. It takes the place of one that is
 * started no more and has no name, if that is not used. NULL: LIMIT_TUNNELS are there.
 */
struct config_tunnel *config_add_more(struct config *c, const char *name,
				      bool (*is_used)(void *arg, const struct config_tunnel *t),
				      void *arg) MUSTCHECK;
/* A new tunnel of that name, all at its defaults. Borrowed, until the next one is added. */
struct config_tunnel *config_add_tunnel(struct config *c, const char *name);
/*
 * "http+https" -> t->local[] of each; false: err says which word or address is wrong, and whose
 * ("default", "tunnel x[ftp]").
 */
bool config_set_protos(struct config_tunnel *t, const char *protos, const char *addr,
		       const char *whose, struct err *err) MUSTCHECK;
/* One more entry of a list of rules for visitors. False: err says why it can't be one. */
bool config_add_rule(struct config_tunnel *t, enum access_list which, const char *text,
		     struct err *err) MUSTCHECK;
/* All of them are gone. */
void config_clear_rules(struct config_tunnel *t, enum access_list which);
/* The rules for visitors that a server without FEATURE_ACCESS would not enforce. Borrowed. */
struct msg_access config_access(const struct config_tunnel *t);
/*
 * When all of it is set: does each setting have an effect? False: err says which has none, and
 * *which (a static text) is its key.
 */
bool config_complete_tunnel(struct config_tunnel *t, const char **which, struct err *err) MUSTCHECK;
/* The line of that key of t, of which a file may have several, and 0 if it is not in one. */
unsigned config_line(const struct config_tunnel *t, const char *key);
/* A key of t stands there. */
void config_add_place(struct config_tunnel *t, const char *key, unsigned line);
/* "rewrite" or what can stand in a Host field; NULL and "": as it came. */
bool config_host_header_valid(const char *text);
/* The protocols that a tunnel asks for, joined by '+'; into buf, which is returned. */
#define PROTOS_TEXT 16
const char *config_protos(const struct config_tunnel *t, char buf[static PROTOS_TEXT]);
/* The name of a tunnel's public side: alone, or with its protocol if there are several. */
#define CONFIG_NAME 320
void config_tunnel_name(const struct config_tunnel *t, enum proto proto,
			char out[static CONFIG_NAME]);

/* Is there a tunnel to start whose visitors may share a connection? */
bool config_wants_mux(const struct config *c);
/* Bytes that the capture may keep; false: nothing is to be captured. */
bool config_capture_limits(const struct config *c, uint64_t *max_body,
			   uint64_t *max_total) MUSTCHECK;

#endif
