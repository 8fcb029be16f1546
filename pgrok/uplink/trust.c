/* What the person must know about who is believed to be the server. */
#include "pgrok/uplink/trust.h"

#include "common/base/log.h"

void trust_tell(const struct uplink_conf *conf, bool *told)
{
	char note[CONNECTOR_NOTE];

	if (*told || !connector_trusts_any(conf->connector, note))
		return;
	*told = true;
	log_warn("session", "%s", note);
	model_note(conf->model, note);
}
