/* Drip's messages: a table of fields for each. */
#include "msg/drip/drip.h"

#include <assert.h>
#include <string.h>

#include "msg/json/lenient.h"

#define ROW(key, member, ...) FIELD(key, struct drip_msg, member, __VA_ARGS__)

static const struct field capabilities[] = {
	FIELD("max_data_conns", struct drip_capabilities, max_data_conns, NUMBER),
	FIELD("version", struct drip_capabilities, version, NUMBER),
};
static const struct fields capabilities_fields = FIELDS("pool_capabilities", capabilities);

static const struct field ip_access[] = {
	FIELD("allow_ips", struct drip_ip_access, allow_ips, TEXTS, .omit = true),
	FIELD("deny_ips", struct drip_ip_access, deny_ips, TEXTS, .omit = true),
};
static const struct fields ip_access_fields = FIELDS("ip_access", ip_access);

static const struct field proxy_auth[] = {
	FIELD("enabled", struct drip_proxy_auth, enabled, BOOL),
	FIELD("type", struct drip_proxy_auth, type, TEXT, .omit = true),
	FIELD("password", struct drip_proxy_auth, password, TEXT, .omit = true),
	FIELD("token", struct drip_proxy_auth, token, TEXT, .omit = true),
};
static const struct fields proxy_auth_fields = FIELDS("proxy_auth", proxy_auth);

/* In the order in which Go writes them. */
static const struct field reg[] = {
	ROW("token", reg.token, TEXT),
	ROW("custom_subdomain", reg.custom_subdomain, TEXT),
	ROW("tunnel_type", reg.tunnel_type, TEXT),
	ROW("local_port", reg.local_port, NUMBER),
	ROW("connection_type", reg.connection_type, TEXT, .omit = true),
	ROW("tunnel_id", reg.tunnel_id, TEXT, .omit = true),
	ROW("pool_capabilities", reg.pool_capabilities, OBJECT, .inner = &capabilities_fields),
	ROW("ip_access", reg.ip_access, OBJECT, .inner = &ip_access_fields),
	ROW("proxy_auth", reg.proxy_auth, OBJECT, .inner = &proxy_auth_fields),
};
static const struct field ack[] = {
	ROW("subdomain", ack.subdomain, TEXT),
	ROW("port", ack.port, NUMBER, .omit = true),
	ROW("url", ack.url, TEXT),
	ROW("message", ack.message, TEXT),
	ROW("tunnel_id", ack.tunnel_id, TEXT, .omit = true),
	ROW("supports_data_conn", ack.supports_data_conn, BOOL, .omit = true),
	ROW("recommended_conns", ack.recommended_conns, NUMBER, .omit = true),
};
static const struct field error[] = {
	ROW("code", error.code, TEXT),
	ROW("message", error.message, TEXT),
};
static const struct field data[] = {
	ROW("tunnel_id", data.tunnel_id, TEXT),
	ROW("token", data.token, TEXT),
	ROW("connection_id", data.connection_id, TEXT),
};
static const struct field data_ack[] = {
	ROW("accepted", data_ack.accepted, BOOL),
	ROW("connection_id", data_ack.connection_id, TEXT),
	ROW("message", data_ack.message, TEXT, .omit = true),
};
static const struct field discover[] = {
	ROW("preferred", discover.preferred, TEXT),
	ROW("transports", discover.transports, TEXTS),
	ROW("tunnel_types", discover.tunnel_types, TEXTS),
	ROW("version", discover.version, TEXT),
};

static const struct fields types[DRIP_TYPES] = {
	[DRIP_DISCOVER] = FIELDS("discover", discover),
	[DRIP_REGISTER] = FIELDS("Register", reg),
	[DRIP_REGISTER_ACK] = FIELDS("RegisterAck", ack),
	[DRIP_ERROR] = FIELDS("Error", error),
	[DRIP_DATA_CONNECT] = FIELDS("DataConnect", data),
	[DRIP_DATA_CONNECT_ACK] = FIELDS("DataConnectAck", data_ack),
};

bool drip_known(unsigned type)
{
	return type < DRIP_TYPES && types[type].name;
}

struct drip_msg drip_new(enum drip_type type)
{
	struct drip_msg m;

	assert(drip_known(type));
	memset(&m, 0, sizeof(m));
	m.type = type;
	fields_init(&types[type], &m);
	return m;
}

const char *drip_type_name(enum drip_type type)
{
	return types[type].name;
}

void drip_free(struct drip_msg *m)
{
	fields_free(m->owner);
	memset(m, 0, sizeof(*m));
}

char *drip_encode(const struct drip_msg *m, size_t *len)
{
	struct text t = {.secret = true};

	if (!fields_put(&t, &types[m->type], m)) {
		text_free(&t);
		return NULL;
	}
	*len = t.len;
	return t.p;
}

/* null as a whole leaves everything at its default, in Go. */
static bool is_null(const char *json, size_t len)
{
	static const char blank[] = " \t\r\n";

	while (len && memchr(blank, json[len - 1], sizeof(blank) - 1))
		len--;
	while (len && memchr(blank, *json, sizeof(blank) - 1)) {
		json++;
		len--;
	}
	return len == 4 && !memcmp(json, "null", 4);
}

static bool decode(json_t *root, struct drip_msg *m, struct err *err)
{
	const struct fields *f = &types[m->type];

	if (!json_is_object(root))
		return err_set(err, "%s: not a JSON object", f->name);
	return fields_get(f, root, m, &m->owner, err);
}

bool drip_decode(enum drip_type type, const char *json, size_t len, struct drip_msg *out,
		 struct err *err)
{
	struct drip_msg m = drip_new(type);
	json_t *root = is_null(json, len) ? json_object() : lenient_load(json, len, err);
	bool good = root && decode(root, &m, err);

	json_decref(root);
	memset(out, 0, sizeof(*out));
	if (good)
		*out = m;
	return good;
}

bool drip_fatal(const struct drip_error *e)
{
	/* Drip's client looks for these, in exactly this case, in a line of code and message. */
	static const char *const phrase[] = {"authentication", "subdomain is already taken",
					     "subdomain is reserved", "invalid subdomain",
					     "server only supports"};

	for (size_t i = 0; i < sizeof(phrase) / sizeof(phrase[0]); i++) {
		if (strstr(e->code, phrase[i]) || strstr(e->message, phrase[i]))
			return true;
	}
	return false;
}
