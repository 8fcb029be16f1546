/* Whose is a request. */
#include "pgrokd/front/route_visitor.h"

#include <string.h>

static struct route *find(const struct worker *w, enum proto proto, const char *host, size_t len)
{
	char key[ROUTE_KEY_MAX];

	return route_key(proto, host, len, key) ? registry_find(w->core->registry, key) : NULL;
}

/*
 * What is let in at one tunnel is not let in at another that has rules: who opened the connection
 * for the first need not be who now speaks on it (RFC 9110 section 7.4).
 */
static bool misdirected(const struct worker *w, const struct route *route, const char *sni)
{
	if (!sni || !route_guarded(route))
		return false;
	struct route *opened = find(w, route->proto, sni, strlen(sni));
	bool other = opened && strcmp(opened->key, route->key) != 0;

	route_unref(opened);
	return other;
}

static int judge(const struct worker *w, const struct route *route, const struct admit_from *from,
		 const struct http_head *h, const char *head, const char **why)
{
	const char *sni =
		from->ssl ? SSL_get_servername(from->ssl, TLSEXT_NAMETYPE_host_name) : NULL;

	*why = "the connection was made for another tunnel";
	if (misdirected(w, route, sni))
		return 421;
	*why = "refused by the tunnel's rules";
	struct visit visit = admit_visit(route, h, head, from);

	return admit(w, route, &visit);
}

int route_visitor(const struct worker *w, enum port port, const struct admit_from *from,
		  const struct http_head *h, const char *head, struct route **route,
		  const char **why)
{
	enum proto proto = port == PORT_HTTP ? PROTO_HTTP : PROTO_HTTPS;

	*why = "no such tunnel";
	*route = find(w, proto, head + h->authority.off, h->authority.len);
	return *route ? judge(w, *route, from, h, head, why) : 404;
}
