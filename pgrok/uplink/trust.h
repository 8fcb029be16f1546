/* What the person must know about who is believed to be the server. */
#ifndef PGROK_UPLINK_TRUST_H
#define PGROK_UPLINK_TRUST_H

#include "pgrok/uplink/uplink.h"

/* Once connected, said once: with no trust option any server is believed, as pgrok always did. */
void trust_tell(const struct uplink_conf *conf, bool *told);

#endif
