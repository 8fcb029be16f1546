/* What is said to a Drip server. */
#include "pgrok/uplink/drip_say.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "msg/drip/frame.h"
#include "msg/pgrok/access.h"
#include "pgrok/config/limits.h"

/* The entries of a list of rules. */
struct entries {
	char *text;
	const char **list;
	size_t n;
};

static struct entries entries_of(const char *rules, enum access_list which)
{
	struct entries e = {.text = rules ? xstrdup(rules) : NULL};
	char *rest = e.text, *entry;

	e.list = xcalloc((size_t)access_most(which), sizeof(*e.list));
	while (rest && e.n < (size_t)access_most(which) && (entry = strsep(&rest, "\n")))
		e.list[e.n++] = entry;
	return e;
}

static void entries_free(struct entries *e)
{
	free(e->text);
	free(e->list);
}

static struct drip_proxy_auth auth_of(const struct config_tunnel *t)
{
	const char *token = t->list[ACCESS_BEARER];
	bool any = t->password || token;

	return (struct drip_proxy_auth){.there = any,
					.enabled = any,
					.type = token ? DRIP_BEARER : DRIP_PASSWORD,
					.password = t->password,
					.token = token};
}

static bool say(struct text *out, const struct drip_msg *m, struct err *err)
{
	size_t len;
	char *frame = drip_frame_make(m, &len, err);

	if (!frame)
		return false;
	text_add(out, frame, len);
	xfree_secret(frame, len);
	return true;
}

const char *drip_say_name(const struct config_tunnel *t, enum proto p, char buf[static DRIP_NAME])
{
	buf[0] = '\0';
	if (p == PROTO_TCP && t->remote_port)
		snprintf(buf, DRIP_NAME, "tcp-%u", t->remote_port);
	else if (p != PROTO_TCP && t->subdomain)
		snprintf(buf, DRIP_NAME, "%s", t->subdomain);
	return buf;
}

/* What visitors see is the same for http and https; it says how the service is spoken to. */
static const char *type_of(const struct config_tunnel *t, enum proto p)
{
	if (p == PROTO_TCP)
		return proto_name(p);
	return proto_name(t->local[p].tls ? PROTO_HTTPS : PROTO_HTTP);
}

bool drip_say_register(struct text *out, const struct config *c, const struct config_tunnel *t,
		       enum proto p, const char *name, struct err *err)
{
	struct entries allow = entries_of(t->list[ACCESS_ALLOW_IPS], ACCESS_ALLOW_IPS);
	struct entries deny = entries_of(t->list[ACCESS_DENY_IPS], ACCESS_DENY_IPS);
	struct drip_msg m = drip_new(DRIP_REGISTER);
	bool good;

	m.reg.token = c->auth_token;
	m.reg.custom_subdomain = name;
	m.reg.tunnel_type = type_of(t, p);
	m.reg.local_port = t->local[p].port;
	m.reg.connection_type = DRIP_PRIMARY;
	m.reg.pool_capabilities = (struct drip_capabilities){true, LIMIT_DRIP_DATA, 1};
	m.reg.ip_access = (struct drip_ip_access){
		allow.n || deny.n, {allow.list, allow.n}, {deny.list, deny.n}};
	m.reg.proxy_auth = auth_of(t);
	good = say(out, &m, err);
	entries_free(&allow);
	entries_free(&deny);
	return good;
}

bool drip_say_data(struct text *out, const struct config *c, const char *tunnel_id, uint64_t n,
		   struct err *err)
{
	struct drip_msg m = drip_new(DRIP_DATA_CONNECT);
	char id[32];

	snprintf(id, sizeof(id), "data-%llu", (unsigned long long)n);
	m.data.tunnel_id = tunnel_id;
	m.data.token = c->auth_token;
	m.data.connection_id = id;
	return say(out, &m, err);
}
