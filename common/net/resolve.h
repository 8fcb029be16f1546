/* Names to addresses without blocking the loop: getaddrinfo on a helper thread. */
#ifndef COMMON_NET_RESOLVE_H
#define COMMON_NET_RESOLVE_H

#include "common/base/addr.h"
#include "common/base/loop.h"

#define RESOLVE_MAX 8 /* addresses kept of an answer, in the system's order (RFC 6724) */

struct resolve_result {
	const char *error; /* NULL, or the reason in Go's words ("no such host") */
	int n;             /* > 0 unless error */
	struct addr addr[RESOLVE_MAX];
};

struct resolve; /* one look-up under way */

/*
 * Looks up host (a name or a numeric address; "" = this machine, as in Go) and calls fn on l's
 * thread, never from inside this call. The result is borrowed for the call. The look-up frees
 * itself afterwards. At most 16 names are looked up at a time, the others wait for their turn. A
 * loop may be freed while a helper thread is at work: that fn is not called then.
 */
struct resolve *resolve_start(struct loop *l, const char *host, uint16_t port,
			      void (*fn)(void *arg, const struct resolve_result *r),
			      void *arg) MUSTCHECK;
/* fn will not be called. Only before fn was called. */
void resolve_cancel(struct resolve *r);

#endif
