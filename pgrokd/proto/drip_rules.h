/* What a Drip client says of who may visit its tunnel, as rules of ours. Pure. */
#ifndef PGROKD_PROTO_DRIP_RULES_H
#define PGROKD_PROTO_DRIP_RULES_H

#include "common/base/text.h"
#include "msg/drip/drip.h"
#include "msg/pgrok/msg.h"

struct drip_rules {
	struct msg_access access; /* its texts live as long as this and the message */
	struct text allow, deny;
};

/* False: they can't be meant, err says why. To be freed in any case. */
bool drip_rules_of(const struct drip_register *r, struct drip_rules *out,
		   struct err *err) MUSTCHECK;
void drip_rules_free(struct drip_rules *r);

#endif
