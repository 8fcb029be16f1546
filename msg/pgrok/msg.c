/* The nine messages: a table of fields for each, and the envelope around them. */
#include "msg/pgrok/msg.h"

#include <stdio.h>
#include <string.h>

#include "msg/json/fields.h"
#include "msg/json/lenient.h"

#define ROW(key, member, ...) FIELD(key, struct msg, member, __VA_ARGS__)

/* In the order in which Go writes them; ours stand behind. */
static const struct field auth[] = {
	ROW("Version", auth.version, TEXT),
	ROW("MmVersion", auth.mm_version, TEXT),
	ROW("User", auth.user, TEXT),
	ROW("Password", auth.password, TEXT),
	ROW("OS", auth.os, TEXT),
	ROW("Arch", auth.arch, TEXT),
	ROW("ClientId", auth.client_id, TEXT),
	ROW("Features", auth.features, TEXT, .omit = true),
};
static const struct field auth_resp[] = {
	ROW("Version", auth_resp.version, TEXT),
	ROW("MmVersion", auth_resp.mm_version, TEXT),
	ROW("ClientId", auth_resp.client_id, TEXT),
	ROW("Error", auth_resp.error, TEXT),
	ROW("Features", auth_resp.features, TEXT, .omit = true),
};
static const struct field req_tunnel[] = {
	ROW("Category", req_tunnel.category, TEXT),
	ROW("ReqId", req_tunnel.req_id, TEXT),
	ROW("Protocol", req_tunnel.protocol, TEXT),
	ROW("Hostname", req_tunnel.hostname, TEXT),
	ROW("Subdomain", req_tunnel.subdomain, TEXT),
	ROW("HttpAuth", req_tunnel.http_auth, TEXT),
	ROW("RemotePort", req_tunnel.remote_port, PORT),
	ROW("Mux", req_tunnel.mux, NUMBER, .omit = true, .def = 1),
	ROW("LastName", req_tunnel.last_name, TEXT, .omit = true),
	ROW("LastPort", req_tunnel.last_port, PORT, .omit = true),
	ROW("Users", req_tunnel.access.list[ACCESS_USERS], TEXT, .omit = true),
	ROW("Bearer", req_tunnel.access.list[ACCESS_BEARER], TEXT, .omit = true),
	ROW("AllowIps", req_tunnel.access.list[ACCESS_ALLOW_IPS], TEXT, .omit = true),
	ROW("DenyIps", req_tunnel.access.list[ACCESS_DENY_IPS], TEXT, .omit = true),
	ROW("DenyMethods", req_tunnel.access.list[ACCESS_METHODS], TEXT, .omit = true),
	ROW("DenyPaths", req_tunnel.access.list[ACCESS_PATHS], TEXT, .omit = true),
	ROW("VisitPassword", req_tunnel.access.password, TEXT, .omit = true),
	ROW("MtlsCa", req_tunnel.access.mtls_ca, TEXT, .omit = true),
	ROW("AuthPreflight", req_tunnel.access.preflight, NUMBER, .omit = true),
	ROW("ForwardAuth", req_tunnel.forward_auth, TEXT, .omit = true),
};
static const struct field new_tunnel[] = {
	ROW("ReqId", new_tunnel.req_id, TEXT),
	ROW("Url", new_tunnel.url, TEXT),
	ROW("Protocol", new_tunnel.protocol, TEXT),
	ROW("Error", new_tunnel.error, TEXT),
};
static const struct field reg_proxy[] = {
	ROW("ClientId", reg_proxy.client_id, TEXT),
	ROW("Mux", reg_proxy.mux, NUMBER, .omit = true),
};
static const struct field start_proxy[] = {
	ROW("Url", start_proxy.url, TEXT),
	ROW("ClientAddr", start_proxy.client_addr, TEXT),
};

static const struct fields types[MSG_TYPES] = {
	[MSG_AUTH] = FIELDS("Auth", auth),
	[MSG_AUTH_RESP] = FIELDS("AuthResp", auth_resp),
	[MSG_REQ_TUNNEL] = FIELDS("ReqTunnel", req_tunnel),
	[MSG_NEW_TUNNEL] = FIELDS("NewTunnel", new_tunnel),
	[MSG_REQ_PROXY] = {"ReqProxy", NULL, 0},
	[MSG_REG_PROXY] = FIELDS("RegProxy", reg_proxy),
	[MSG_START_PROXY] = FIELDS("StartProxy", start_proxy),
	[MSG_PING] = {"Ping", NULL, 0},
	[MSG_PONG] = {"Pong", NULL, 0},
};

struct msg msg_new(enum msg_type type)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = type;
	fields_init(&types[type], &m);
	return m;
}

const char *msg_type_name(enum msg_type type)
{
	return types[type].name;
}

void msg_free(struct msg *m)
{
	fields_free(m->owner);
	memset(m, 0, sizeof(*m));
}

bool msg_has_feature(const char *features, const char *word)
{
	size_t want = strlen(word);

	for (const char *p = features; p && *p && want;) {
		p += strspn(p, " \t");
		size_t n = strcspn(p, " \t");
		if (n == want && !memcmp(p, word, n))
			return true;
		p += n;
	}
	return false;
}

void msg_short_id(const char *id, char out[static MSG_SHORT_ID])
{
	size_t len = strlen(id);

	if (len >= MSG_SHORT_ID)
		snprintf(out, MSG_SHORT_ID, "%.8s", id);
	else
		snprintf(out, MSG_SHORT_ID, "%.*s*", (int)(len / 2), id);
}

/* ---- encoding ---- */

char *msg_encode(const struct msg *m, size_t *len)
{
	struct text t = {.secret = true};

	text_fmt(&t, "{\"Type\":\"%s\",\"Payload\":", types[m->type].name);
	if (!fields_put(&t, &types[m->type], m)) {
		text_free(&t);
		return NULL;
	}
	text_put(&t, "}");
	*len = t.len;
	return t.p;
}

/* ---- decoding ---- */

static bool find_type(const json_t *v, enum msg_type *type, struct err *err)
{
	const char *name;

	if (!v || !json_is_string(v))
		return err_set(err, v ? "Type is not a string" : "no Type");
	name = json_string_value(v);
	for (int t = 0; t < MSG_TYPES; t++) {
		if (json_string_length(v) == strlen(types[t].name) &&
		    strcmp(name, types[t].name) == 0) {
			*type = (enum msg_type)t;
			return true;
		}
	}
	return err_set(err, "unknown Type");
}

/* The two keys of the envelope; of equal ones the last counts. */
static enum msg_rc open_envelope(json_t *root, enum msg_type *type, json_t **payload,
				 struct err *err)
{
	const json_t *name = NULL;

	if (!json_is_object(root)) {
		err_set(err, "not a JSON object");
		return MSG_BAD;
	}
	*payload = NULL;
	for (void *it = json_object_iter(root); it; it = json_object_iter_next(root, it)) {
		const char *key = json_object_iter_key(it);
		json_t *v = json_object_iter_value(it);

		if (lenient_key(key, "Type")) {
			if (!json_is_null(v))
				name = v;
		} else if (lenient_key(key, "Payload")) {
			*payload = v;
		}
	}
	if (!find_type(name, type, err))
		return MSG_BAD;
	if (*payload && json_is_null(*payload))
		return MSG_NULL;
	if (!json_is_object(*payload)) {
		err_set(err, "%s: %s", types[*type].name,
			*payload ? "Payload is not an object" : "no Payload");
		return MSG_BAD;
	}
	return MSG_OK;
}

static enum msg_rc decode(json_t *root, struct msg *out, struct err *err)
{
	struct fields_owner *owner = NULL;
	enum msg_type type = MSG_PING;
	json_t *payload;
	enum msg_rc rc = open_envelope(root, &type, &payload, err);
	struct msg m = msg_new(type);

	if (rc == MSG_OK && !fields_get(&types[type], payload, &m, &owner, err))
		rc = MSG_BAD;
	m.owner = owner;
	if (rc != MSG_BAD)
		*out = m;
	return rc;
}

enum msg_rc msg_decode(const char *json, size_t len, struct msg *out, struct err *err)
{
	json_t *root = lenient_load(json, len, err);
	enum msg_rc rc = MSG_BAD;

	memset(out, 0, sizeof(*out));
	if (root)
		rc = decode(root, out, err);
	json_decref(root);
	return rc;
}
