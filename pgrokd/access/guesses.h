/*
 * Wrong passwords and tokens: so many a minute from one address at one tunnel, or at the server,
 * then it has to wait.
 */
#ifndef PGROKD_ACCESS_GUESSES_H
#define PGROKD_ACCESS_GUESSES_H

#include "common/base/addr.h"

struct guesses;

/* What is guessed at: a tunnel (its id), or the server's tokens. */
#define GUESS_TOKENS 0

/* most: in span_ms; loopback_exempt: an address of this machine never has to wait. */
struct guesses *guesses_new(unsigned most, uint64_t span_ms, bool loopback_exempt) MUSTCHECK;
void guesses_free(struct guesses *g);
/*
 * A request with a password at a tunnel (an id), from any thread, now (milliseconds of a monotonic
 * clock): status is what the tunnel's rules say of it. Returns that, or 429: the address has
 * guessed too often lately, and this password, right or wrong, does not count.
 */
int guesses_judge(struct guesses *g, const struct addr *peer, uint64_t tunnel, uint64_t now,
		  int status) MUSTCHECK;
/* Has the address guessed too often lately? */
bool guesses_must_wait(struct guesses *g, const struct addr *peer, uint64_t what,
		       uint64_t now) MUSTCHECK;
/* One more wrong guess. So many they are lately; 0: they are not counted. */
unsigned guesses_wrong(struct guesses *g, const struct addr *peer, uint64_t what, uint64_t now);

#endif
