/*
 * Limits of the configuration, of the way to the server and of visitors. Times in milliseconds. The
 * limits of capture, files, inspect, replay and show stand in their own headers.
 */
#ifndef PGROK_CONFIG_LIMITS_H
#define PGROK_CONFIG_LIMITS_H

/* The configuration; those of its file: common/base/yaml.h. */
#define LIMIT_TUNNELS 256 /* in the file, and as many opened at run time */

/* One connection to the server. */
#define LIMIT_CONNECT_MS 10000    /* look-up, dial, CONNECT and TLS handshake together */
#define LIMIT_CONNECT_REPLY 16384 /* bytes: head of a CONNECT proxy's answer */

/* The control connection. */
#define LIMIT_AUTH_RESP_MS 10000
#define LIMIT_CLIENT_ID 256 /* bytes, of what the server gives */
#define LIMIT_MESSAGES 64   /* handled per wake-up, then others get their turn */
#define LIMIT_PING_MS 20000 /* from one Ping to the next */
#define LIMIT_PONG_MS 15000 /* after a Ping; then the server counts as gone */
#define LIMIT_BACKOFF_FIRST_MS 1000
#define LIMIT_BACKOFF_MAX_MS 30000

/* A Drip server. */
#define LIMIT_DRIP_REGISTER_MS 30000 /* until its answer to a Register */
#define LIMIT_DRIP_JOIN_MS 10000     /* ... to a DataConnect */
#define LIMIT_DRIP_DISCOVER_MS 5000
#define LIMIT_DRIP_DISCOVER 16384 /* bytes of that answer */
#define LIMIT_DRIP_URL 2048       /* bytes, of what the server gives; of a name 256 */
#define LIMIT_DRIP_DATA 31        /* data sessions of a tunnel */

#define LIMIT_TIDY_MS 5000 /* how often memory that is not needed any more goes back */

/* Proxy connections. */
#define LIMIT_PROXIES_CONNECTING 64 /* being made at once */
#define LIMIT_PROXIES_WAITING 128   /* registered, no visitor yet */
#define LIMIT_PROXIES_QUEUED 1024   /* asked for, not begun */

/* Visitors. */
#define LIMIT_PARKED_MS 2000 /* a StartProxy may overtake the NewTunnel it belongs to */
#define LIMIT_LOCAL_DIAL_MS 10000
#define LIMIT_PAGE_MS 2000   /* the first bytes of a request that gets the page */
#define LIMIT_ASKED_MS 30000 /* for the request of a stream that carries just one */
/* The rest of a request is read so long behind its answer: a Go server reads none before. */
#define LIMIT_DRAIN_MS 300000
#define LIMIT_DRAIN (UINT64_C(1) << 34) /* bytes */

#endif
