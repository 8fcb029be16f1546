/* The client's limits, all in one place. Times in milliseconds. */
#ifndef PGROK_CONFIG_LIMITS_H
#define PGROK_CONFIG_LIMITS_H

#define CONNECT_MS 10000 /* look-up, dial, CONNECT and TLS handshake together */
#define LOCAL_DIAL_MS 10000
#define AUTH_RESP_MS 10000
#define PING_MS 20000
#define PONG_MS 15000 /* after a Ping; then the server counts as gone */
#define BACKOFF_FIRST_MS 1000
#define BACKOFF_MAX_MS 30000
#define PARKED_MS 2000 /* a StartProxy may overtake the NewTunnel it belongs to */

#define PROXIES_CONNECTING 64 /* connections being made at once */
#define PROXIES_WAITING 128   /* registered, no visitor yet */
#define PROXIES_QUEUED 1024   /* asked for, not begun */

#define CONFIG_BYTES (1u << 20)
#define CONFIG_KEYS 1024 /* of one mapping */
#define CONFIG_TUNNELS 256
#define CONFIG_MERGES 10000 /* "<<" keys followed in one file */
#define CONFIG_DEPTH 8      /* of "<<" in "<<" */

#define CONNECT_REPLY_MAX 16384 /* head of a CONNECT proxy's answer */

#endif
