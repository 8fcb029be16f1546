/* What a Drip server says of itself before anything else: GET /_drip/discover. */
#ifndef PGROK_UPLINK_DRIP_DISCOVERY_H
#define PGROK_UPLINK_DRIP_DISCOVERY_H

#include "msg/drip/drip.h"
#include "pgrok/uplink/drip_link.h"

struct drip_discovery; /* under way */

/* Called once, from the loop, never from inside drip_discovery_start(). NULL: nothing was said. */
typedef void drip_discovery_fn(void *arg, const struct drip_discover *d);
/* Within LIMIT_DRIP_DISCOVER_MS. Returns owned until fn is called. */
struct drip_discovery *drip_discovery_start(const struct drip_conf *conf, drip_discovery_fn *fn,
					    void *arg) MUSTCHECK;
/* fn will not be called. Only before it was. */
void drip_discovery_cancel(struct drip_discovery *d);

/* The body of a whole answer: true and *m, which is to be freed. False: it is not one of those. */
bool drip_discovery_read(const char *answer, size_t len, struct drip_msg *m) MUSTCHECK;

#endif
