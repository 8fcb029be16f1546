/* The server's options: flags, a file, environment, defaults. */
#ifndef PGROKD_CONFIG_CONFIG_H
#define PGROKD_CONFIG_CONFIG_H

#include <stdio.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/net/nets.h"
#include "common/stream/stream.h"
#include "pgrokd/access/tokens.h"

struct config_file;

#define CONFIG_FORWARDS 16

/* Of the file's `limits`; 0: none. */
struct limits {
	int connections, address_connections; /* visitors' */
	int half_open, address_half_open;
	int waiting;               /* visitors, for each client */
	int visitor_rate;          /* new ones a second, of an address */
	int tunnel_rate;           /* asked for in a second, from an address */
	uint64_t tunnel_bandwidth; /* bytes a second, in each direction */
};

struct config {
	const char *config_file;            /* NULL: none */
	const char *http_addr, *https_addr; /* "": not wanted */
	const char *tunnel_addr;
	bool drip_on_https;                       /* Drip's clients may come there, too */
	const char *tunnel_client_ca, *client_ca; /* PEM files; NULL: no client certificates */
	const char *tls_crt, *tls_key;            /* NULL: a self-signed pair */
	const char *admin_addr;                   /* "": no admin listener */
	char *admin_token;                        /* owned, secret; NULL: none */
	const char *metrics_prefix;               /* of the names in its /metrics */
	int stop_delay;                           /* seconds from the signal to the end */
	const char *log, *log_level;
	enum log_format log_format;
	uint64_t log_max;       /* bytes, 0: no limit */
	const char *access_log; /* NULL: none */
	bool access_json;       /* its form: combined, or JSON */
	bool access_query;      /* with queries */
	enum stream_engine engine;
	bool version;         /* asked for: nothing else is to be done */
	bool check;           /* nothing is to be served: would it work? */
	bool loopback_exempt; /* addresses of this machine are not counted */
	bool mux;             /* offered to clients */
	uint64_t mux_memory;  /* bytes that all mux sessions may hold unread */
	uint64_t max_memory;  /* bytes; 0: what memory_set_max() finds */
	int workers;
	int tcp_port_min, tcp_port_max; /* that may be asked for */
	int tcp_port_random;            /* from here on they are given unasked */
	struct limits limits;
	const char *reserved;     /* words, see reserved.h */
	uint64_t keep_ms[2];      /* how long names are held; with a token that is checked */
	char *domain;             /* owned, lower-case */
	char *tcp_host;           /* owned: "", "10.0.0.1" or "[::1]" */
	char *state_dir;          /* owned, NULL: nowhere */
	char *vhost;              /* owned, lower-case, NULL: not set */
	const char *cache_file;   /* NULL: none */
	struct config_file *file; /* owned: what the file says; NULL: there is none */
	const char *auth_tokens;  /* a file; NULL: none */
	struct tokens *tokens;    /* a reference; NULL: they are not checked */
	struct nets *trusted;     /* owned: proxies that are believed; NULL: none are */
	/* URLs that decide about requests: of all tunnels first, then of those that name them. */
	char *forward[CONFIG_FORWARDS];   /* owned; NULL: none */
	const char *forward_auth_headers; /* that it may set in them */
	int forward_auth_cache;           /* seconds for which who was let in is not asked about */
	/* On which ports those begin with a PROXY head: http, https, and that for clients. */
	bool proxy_heads[3];
};

enum config_rc {
	CONFIG_OK,
	CONFIG_HELP, /* usage was asked for */
	CONFIG_VERSION,
	CONFIG_USAGE, /* the command line can't be read: message in err, status 2 */
	CONFIG_BAD    /* a value is wrong: message in err, naming option or line; status 1 */
};

/* Borrows argv. *c is valid (and to be freed) whatever comes back. */
enum config_rc config_parse(struct config *c, int argc, char **argv, struct err *err) MUSTCHECK;
void config_free(struct config *c);
/* agree.c: each option is valid; are all of them together? */
bool config_agrees(const struct config *c, struct err *err) MUSTCHECK;
void config_usage(FILE *out);
/*
 * Which of c->forward a tunnel that names `url` (NULL: none) has decide, 1 for the first. 0: none,
 * which for a tunnel that names one means that it may not.
 */
int config_forward(const struct config *c, const char *url);
/* Calls fn for each of c->limits, with the key that it has in the file; 0: none. */
typedef void config_limit_fn(const char *name, uint64_t value);
void config_each_limit(const struct config *c, config_limit_fn *fn);
/*
 * "-a, -b": the options whose files are read again at SIGHUP, besides the tokens and limits of
 * -config; the others need a restart.
 */
void config_reloadable(char names[static 256]);

#endif
