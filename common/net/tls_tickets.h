/* The keys of session tickets: whoever has one can read what was said in the sessions it opens. */
#ifndef COMMON_NET_TLS_TICKETS_H
#define COMMON_NET_TLS_TICKETS_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/compiler.h"

#define TICKET_KEY_MS (6ull * 3600 * 1000)   /* new tickets are made with one for so long */
#define TICKET_KEPT_MS (12ull * 3600 * 1000) /* and then it opens the old ones for so long */
#define TICKET_NAME 16
#define TICKET_SECRET 32

struct ticket_key {
	unsigned char name[TICKET_NAME];
	unsigned char aes[TICKET_SECRET], mac[TICKET_SECRET];
	uint64_t born; /* milliseconds */
	bool made;
};

struct tickets;

/* Returns owned. Frees and wipes. */
struct tickets *tickets_new(void) MUSTCHECK;
void tickets_free(struct tickets *t);
/* The key for new tickets at this time. From any thread. False: no random bytes to be had. */
bool tickets_key(struct tickets *t, uint64_t now, struct ticket_key *out) MUSTCHECK;
/* The key of that name, if it may still open; *renew: a new ticket should follow. Any thread. */
bool tickets_find(struct tickets *t, uint64_t now, const unsigned char name[static TICKET_NAME],
		  struct ticket_key *out, bool *renew) MUSTCHECK;

/* Gives a server's context keys of its own, which go with it. False: OpenSSL says why. */
bool tickets_use(SSL_CTX *ctx) MUSTCHECK;

#endif
