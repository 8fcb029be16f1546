/*
 * What a client may do: the rights and limits of the owner of its token. Counted, and never changed
 * once made, but for the tally; any thread may look at it.
 */
#ifndef PGROKD_ACCESS_GRANT_H
#define PGROKD_ACCESS_GRANT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/xalloc.h"
#include "msg/pgrok/proto.h"
#include "pgrokd/access/pace.h"

/* Why a client or a wish of it is refused. */
enum refusal {
	ALLOWED,
	REFUSED_TOKEN,   /* unknown, or none */
	REFUSED_EXPIRED, /* known, but not any more */
	REFUSED_GUESSES, /* its address has had too many unknown ones lately */
	REFUSED_CLIENT,  /* a ClientId that is in use with another token */
	REFUSED_PROTO,   /* not a protocol of its */
	REFUSED_NAME,    /* not a name of its */
	REFUSED_PORT     /* not a port of its */
};

/* What an owner has now, all its clients together: outlives the grant, and a reload. */
struct tally {
	atomic_uint refs;
	atomic_int tunnels, visitors;
	struct pace pace[2]; /* bytes of visitors, and of tunnels */
};
struct tally *tally_ref(struct tally *t);
/* NULL is fine, here and below: nothing is counted. */
void tally_unref(struct tally *t);
/* n more of them; false, and none: there would be more than `most`. */
bool tally_enter(struct tally *t, atomic_int *count, int n, int most) MUSTCHECK;

/* One of more than `most` is counted no more; false: they are not more. */
bool tally_leave_over(struct tally *t, atomic_int *count, int most) MUSTCHECK;

struct port_range {
	uint16_t min, max;
};

/* Texts as they stand in route keys; '*' is any run of characters but dots. */
struct globs {
	char **glob;
	size_t n;
};

struct grant {
	atomic_uint refs;
	char *owner;
	int64_t expires;    /* seconds since 1970; INT64_MAX: never */
	bool names_bound;   /* only these: */
	struct globs below; /* below the server's domain */
	struct globs hosts; /* elsewhere */
	bool ports_bound;   /* only these: */
	struct port_range *ports;
	size_t n_ports;
	unsigned protos;       /* bits, 1 << enum proto */
	int tunnels, visitors; /* at once; INT_MAX: any number */
	uint64_t bandwidth;    /* bytes a second in each direction; 0: any */
	struct tally *tally;
};

/* Everything is allowed. owner: copied. Returns owned, one reference. */
struct grant *grant_new(const char *owner) MUSTCHECK;
struct grant *grant_ref(struct grant *g);
/* The last one frees; NULL is fine. */
void grant_unref(struct grant *g);

/* The rest takes NULL for a server without tokens: everything is allowed, the owner is "". */
const char *grant_owner(const struct grant *g);
/* Is it over at `now`, in seconds since 1970? */
bool grant_expired(const struct grant *g, int64_t now);

/* A tunnel that is wanted. */
struct wish {
	enum proto proto;
	const char *host; /* http(s): as in the route's key; NULL: a name by chance */
	bool below;       /* host is what stands before the server's domain */
	uint16_t port;    /* tcp; 0: any */
};
/*
 * May the owner have it, however many it has? If not, why is a sentence for the client, which may
 * contain what it could have.
 */
enum refusal grant_tunnel(const struct grant *g, const struct wish *w, struct err *why) MUSTCHECK;

/* One glob: 1-253 of [a-z0-9.-_*], lower-case, no empty label. False: *why says what is wrong. */
bool glob_valid(const char *glob, const char **why) MUSTCHECK;

#endif
