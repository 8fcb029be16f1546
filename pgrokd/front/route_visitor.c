/* Whose is a request. */
#include "pgrokd/front/route_visitor.h"

#include "pgrokd/core/admit.h"

int route_visitor(const struct worker *w, enum port port, const struct http_head *h,
		  const char *head, const struct addr *peer, struct route **route, const char **why)
{
	enum proto proto = port == PORT_HTTP ? PROTO_HTTP : PROTO_HTTPS;
	char key[ROUTE_KEY_MAX];
	struct route *found = NULL;

	*why = "no such tunnel";
	if (route_key(proto, head + h->authority.off, h->authority.len, key))
		found = registry_find(w->core->registry, key);
	if (!found)
		return 404;
	int status = admit(w, found, h, head, peer);

	if (status) {
		*why = "refused by the tunnel's rules";
		route_unref(found);
		return status;
	}
	*route = found;
	return 0;
}
