/*
 * What is said to a SOCKS5 proxy and what it answers (RFC 1928; RFC 1929 for user and password).
 * Pure.
 */
#ifndef PGROK_UPLINK_SOCKS_H
#define PGROK_UPLINK_SOCKS_H

#include "common/base/err.h"
#include "common/base/text.h"

#define SOCKS_TEXT_MAX 255 /* bytes of a host, a user, a password */

enum socks_state {
	SOCKS_METHOD,  /* waits for how we are to log in */
	SOCKS_LOGIN,   /* waits for whether that was right */
	SOCKS_CONNECT, /* waits for the connection */
	SOCKS_OVER
};

/* Where to and as whom; borrowed. user NULL: without one. */
struct socks {
	enum socks_state state;
	const char *user, *password;
	const char *host; /* a name is looked up by the proxy */
	uint16_t port;
};

enum socks_rc {
	SOCKS_MORE, /* more must come */
	SOCKS_SAY,  /* `say` has grown: write it, then hear on */
	SOCKS_DONE, /* what follows is the other end's */
	SOCKS_BAD   /* err says why */
};

/* Appends the first words to say; it will hold the password, too. */
void socks_begin(const struct socks *s, struct text *say);
/*
 * All that has come and was not used yet; *used: how much of it is. Only for SOCKS_MORE it is to be
 * kept and offered again with what comes next.
 */
enum socks_rc socks_hear(struct socks *s, const void *bytes, size_t len, size_t *used,
			 struct text *say, struct err *err) MUSTCHECK;

#endif
