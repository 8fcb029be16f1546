/* The nine messages: one table of fields drives encoding and decoding. */
#include "msg/pgrok/msg.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef __APPLE__
#include <malloc/malloc.h>
#define malloc_usable_size malloc_size
#else
#include <malloc.h>
#endif

#include "common/base/utf8.h"

enum kind {
	TEXT,  /* const char * */
	PORT,  /* uint16_t */
	NUMBER /* int64_t */
};

struct field {
	enum msg_type type;
	const char *name;
	size_t offset; /* in struct msg */
	enum kind kind;
	bool ext;    /* left out when it has its default value */
	int64_t def; /* of a NUMBER; a text's default is "", a port's 0 */
};

#define AT(member) offsetof(struct msg, member)

/* In the order in which Go writes them; the fields of one type stand together. */
static const struct field fields[] = {
	{MSG_AUTH, "Version", AT(auth.version), TEXT, false, 0},
	{MSG_AUTH, "MmVersion", AT(auth.mm_version), TEXT, false, 0},
	{MSG_AUTH, "User", AT(auth.user), TEXT, false, 0},
	{MSG_AUTH, "Password", AT(auth.password), TEXT, false, 0},
	{MSG_AUTH, "OS", AT(auth.os), TEXT, false, 0},
	{MSG_AUTH, "Arch", AT(auth.arch), TEXT, false, 0},
	{MSG_AUTH, "ClientId", AT(auth.client_id), TEXT, false, 0},
	{MSG_AUTH, "Features", AT(auth.features), TEXT, true, 0},
	{MSG_AUTH_RESP, "Version", AT(auth_resp.version), TEXT, false, 0},
	{MSG_AUTH_RESP, "MmVersion", AT(auth_resp.mm_version), TEXT, false, 0},
	{MSG_AUTH_RESP, "ClientId", AT(auth_resp.client_id), TEXT, false, 0},
	{MSG_AUTH_RESP, "Error", AT(auth_resp.error), TEXT, false, 0},
	{MSG_AUTH_RESP, "Features", AT(auth_resp.features), TEXT, true, 0},
	{MSG_REQ_TUNNEL, "Category", AT(req_tunnel.category), TEXT, false, 0},
	{MSG_REQ_TUNNEL, "ReqId", AT(req_tunnel.req_id), TEXT, false, 0},
	{MSG_REQ_TUNNEL, "Protocol", AT(req_tunnel.protocol), TEXT, false, 0},
	{MSG_REQ_TUNNEL, "Hostname", AT(req_tunnel.hostname), TEXT, false, 0},
	{MSG_REQ_TUNNEL, "Subdomain", AT(req_tunnel.subdomain), TEXT, false, 0},
	{MSG_REQ_TUNNEL, "HttpAuth", AT(req_tunnel.http_auth), TEXT, false, 0},
	{MSG_REQ_TUNNEL, "RemotePort", AT(req_tunnel.remote_port), PORT, false, 0},
	{MSG_REQ_TUNNEL, "Mux", AT(req_tunnel.mux), NUMBER, true, 1},
	{MSG_REQ_TUNNEL, "LastPort", AT(req_tunnel.last_port), PORT, true, 0},
	{MSG_NEW_TUNNEL, "ReqId", AT(new_tunnel.req_id), TEXT, false, 0},
	{MSG_NEW_TUNNEL, "Url", AT(new_tunnel.url), TEXT, false, 0},
	{MSG_NEW_TUNNEL, "Protocol", AT(new_tunnel.protocol), TEXT, false, 0},
	{MSG_NEW_TUNNEL, "Error", AT(new_tunnel.error), TEXT, false, 0},
	{MSG_REG_PROXY, "ClientId", AT(reg_proxy.client_id), TEXT, false, 0},
	{MSG_REG_PROXY, "Mux", AT(reg_proxy.mux), NUMBER, true, 0},
	{MSG_START_PROXY, "Url", AT(start_proxy.url), TEXT, false, 0},
	{MSG_START_PROXY, "ClientAddr", AT(start_proxy.client_addr), TEXT, false, 0},
};

#define FIELDS (sizeof(fields) / sizeof(fields[0]))

static const char *const type_names[MSG_TYPES] = {
	[MSG_AUTH] = "Auth",
	[MSG_AUTH_RESP] = "AuthResp",
	[MSG_REQ_TUNNEL] = "ReqTunnel",
	[MSG_NEW_TUNNEL] = "NewTunnel",
	[MSG_REQ_PROXY] = "ReqProxy",
	[MSG_REG_PROXY] = "RegProxy",
	[MSG_START_PROXY] = "StartProxy",
	[MSG_PING] = "Ping",
	[MSG_PONG] = "Pong",
};

/* What the texts of a decoded message live in. */
struct arena {
	size_t size;
	char text[];
};

/* The member of m that f describes. */
static void *member(struct msg *m, const struct field *f)
{
	return (char *)m + f->offset;
}

static const char *text_of(const struct msg *m, const struct field *f)
{
	const char *s;

	memcpy(&s, (const char *)m + f->offset, sizeof(s));
	return s ? s : "";
}

static int64_t number_of(const struct msg *m, const struct field *f)
{
	uint16_t port;
	int64_t n;

	if (f->kind == PORT) {
		memcpy(&port, (const char *)m + f->offset, sizeof(port));
		return port;
	}
	memcpy(&n, (const char *)m + f->offset, sizeof(n));
	return n;
}

struct msg msg_new(enum msg_type type)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = type;
	for (const struct field *f = fields; f < fields + FIELDS; f++)
		if (f->type == type && f->kind == NUMBER)
			memcpy(member(&m, f), &f->def, sizeof(f->def));
	return m;
}

const char *msg_type_name(enum msg_type type)
{
	return type_names[type];
}

void msg_free(struct msg *m)
{
	struct arena *a = m->owner;

	if (a)
		xfree_secret(a, sizeof(*a) + a->size);
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

/* ---- encoding ---- */

/* Written twice with the same calls: first with at == NULL to learn the size, then for good. */
struct out {
	char *at;
	size_t len;
};

static void put(struct out *o, const char *s, size_t n)
{
	if (o->at)
		memcpy(o->at + o->len, s, n);
	o->len += n;
}

static void put_str(struct out *o, const char *s)
{
	put(o, s, strlen(s));
}

static void put_escape(struct out *o, unsigned code)
{
	char u[8];

	snprintf(u, sizeof(u), "\\u%04x", code & 0xffff);
	put(o, u, 6);
}

/*
 * One character of n bytes as Go 1.19 writes it: short escapes for \n \r \t alone, and what could
 * hurt inside HTML or JavaScript (< > & U+2028 U+2029) escaped.
 */
static void put_char(struct out *o, const char *p, size_t n)
{
	unsigned char c = (unsigned char)*p;

	if (c == '"' || c == '\\') {
		put(o, "\\", 1);
		put(o, p, 1);
	} else if (c == '\n') {
		put(o, "\\n", 2);
	} else if (c == '\r') {
		put(o, "\\r", 2);
	} else if (c == '\t') {
		put(o, "\\t", 2);
	} else if (c < 0x20 || c == '<' || c == '>' || c == '&') {
		put_escape(o, c);
	} else if (n == 3 && !memcmp(p, "\xe2\x80\xa8", 3)) {
		put_escape(o, 0x2028);
	} else if (n == 3 && !memcmp(p, "\xe2\x80\xa9", 3)) {
		put_escape(o, 0x2029);
	} else {
		put(o, p, n);
	}
}

/* False: s is not UTF-8. */
static bool put_text(struct out *o, const char *s)
{
	size_t left = strlen(s), n;

	put(o, "\"", 1);
	for (; left; s += n, left -= n) {
		n = utf8_len(s, left);
		if (!n)
			return false;
		put_char(o, s, n);
	}
	put(o, "\"", 1);
	return true;
}

static bool at_default(const struct msg *m, const struct field *f)
{
	return f->kind == TEXT ? !*text_of(m, f) : number_of(m, f) == f->def;
}

static bool put_msg(struct out *o, const struct msg *m)
{
	const char *comma = "";
	char num[24];

	put_str(o, "{\"Type\":\"");
	put_str(o, type_names[m->type]);
	put_str(o, "\",\"Payload\":{");
	for (const struct field *f = fields; f < fields + FIELDS; f++) {
		if (f->type != m->type || (f->ext && at_default(m, f)))
			continue;
		put_str(o, comma);
		put(o, "\"", 1);
		put_str(o, f->name);
		put(o, "\":", 2);
		if (f->kind == TEXT) {
			if (!put_text(o, text_of(m, f)))
				return false;
		} else {
			snprintf(num, sizeof(num), "%lld", (long long)number_of(m, f));
			put_str(o, num);
		}
		comma = ",";
	}
	put_str(o, "}}");
	return true;
}

char *msg_encode(const struct msg *m, size_t *len)
{
	struct out o = {NULL, 0};

	if (!put_msg(&o, m))
		return NULL;
	o.at = xmalloc(o.len + 1);
	o.len = 0;
	if (!put_msg(&o, m)) { /* it was UTF-8 a moment ago: another thread writes to its texts */
		free(o.at);
		return NULL;
	}
	o.at[o.len] = '\0';
	*len = o.len;
	return o.at;
}

/* ---- decoding ---- */

static void json_wipe_free(void *p)
{
	if (p)
		xfree_secret(p, malloc_usable_size(p));
}

/*
 * jansson's copies of a message hold tokens too: whatever it frees is wiped. No header before a
 * block is needed for that, so memory from a plain malloc() may still come back through here.
 * Before main(), as it may not change while another thread is inside jansson.
 */
static void __attribute__((constructor)) wipe_json_memory(void)
{
	json_set_alloc_funcs(xmalloc, json_wipe_free);
}

static void PRINTF_LIKE(2, 3) complain(char err[static 256], const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err, 256, fmt, ap);
	va_end(ap);
}

/* The code unit of a \uXXXX at p, -1 if there is none. */
static long escape_at(const char *p, size_t left)
{
	char hex[5] = "";

	if (left < 6 || p[0] != '\\' || p[1] != 'u')
		return -1;
	memcpy(hex, p + 2, 4);
	if (strspn(hex, "0123456789abcdefABCDEF") != 4)
		return -1;
	return strtol(hex, NULL, 16);
}

/*
 * One step of repair(): writes what the next bytes of p are replaced by (at most 6 bytes) and says
 * how many were used up. Both kinds of damage occur only inside strings: anywhere else they are
 * refused as they are, and as U+FFFD.
 */
static size_t repair_step(const char *p, size_t left, char put_to[6], size_t *put_len)
{
	size_t n = utf8_len(p, left);
	long u, low;

	if (!n) { /* each wrong byte counts, as in Go */
		memcpy(put_to, "\xef\xbf\xbd", 3);
		*put_len = 3;
		return 1;
	}
	if (*p == '\\') {
		u = escape_at(p, left);
		n = u >= 0 ? 6 : left > 1 && (unsigned char)p[1] < 0x80 ? 2 : 1;
		if (u >= 0xd800 && u <= 0xdfff) {
			low = escape_at(p + 6, left - 6);
			if (u >= 0xdc00 || low < 0xdc00 || low > 0xdfff) {
				memcpy(put_to, "\\ufffd", 6);
				*put_len = 6;
				return 6;
			}
			*put_len = 0; /* a pair: 12 bytes, kept by the caller */
			return 12;
		}
	}
	*put_len = 0;
	return n;
}

/*
 * Go takes bytes that are not UTF-8 and lone surrogates for U+FFFD, jansson refuses them, even
 * below keys that nobody knows. Returns the repaired text (owned, *out_len), NULL if nothing is
 * wrong.
 */
static char *repair(const char *in, size_t len, size_t *out_len)
{
	char *out = NULL, put_to[6];
	size_t used, n, at = 0;

	for (size_t i = 0; i < len; i += used) {
		used = repair_step(in + i, len - i, put_to, &n);
		if (n && !out) {
			out = xmalloc(3 * len + 1); /* one wrong byte becomes three */
			memcpy(out, in, i);
			at = i;
		}
		if (!out)
			continue;
		memcpy(out + at, n ? put_to : in + i, n ? n : used);
		at += n ? n : used;
	}
	*out_len = at;
	return out;
}

/* Keys match in any case, as in Go; independent of the locale. */
static bool key_is(const char *key, const char *name)
{
	for (; *key && *name; key++, name++) {
		char c = *key;
		if (c >= 'A' && c <= 'Z')
			c |= 0x20;
		if (c != (*name | 0x20)) /* names are letters only */
			return false;
	}
	return !*key && !*name;
}

/*
 * Refused here, though Go takes them below an unknown key: integers beyond 64 bits, 1e999, and keys
 * with \u0000. Nobody writes them.
 */
static bool load(const char *json, size_t len, json_t **root, char err[static 256])
{
	json_error_t e;
	size_t fixed_len;
	char *fixed = repair(json, len, &fixed_len), *near;

	if (!fixed)
		fixed_len = len;
	*root = json_loadb(fixed ? fixed : json, fixed_len, JSON_ALLOW_NUL, &e);
	xfree_secret(fixed, fixed_len);
	if (*root)
		return true;
	/* "... near 'X'" would quote the message, and so perhaps a token. */
	near = strstr(e.text, " near '");
	if (near)
		*near = '\0';
	complain(err, "not JSON: %s (byte %d of %zu)", e.text, e.position, fixed_len);
	return false;
}

static bool find_type(const json_t *v, enum msg_type *type, char err[static 256])
{
	const char *name;

	if (!v || !json_is_string(v)) {
		complain(err, v ? "Type is not a string" : "no Type");
		return false;
	}
	name = json_string_value(v);
	for (int t = 0; t < MSG_TYPES; t++)
		if (json_string_length(v) == strlen(type_names[t]) &&
		    !strcmp(name, type_names[t])) {
			*type = (enum msg_type)t;
			return true;
		}
	complain(err, "unknown Type");
	return false;
}

/* Is v a value for f? */
static bool check_value(const struct field *f, const json_t *v, char err[static 256])
{
	const char *type = type_names[f->type];

	if (f->kind == TEXT) {
		if (!json_is_string(v)) {
			complain(err, "%s: %s is not a string", type, f->name);
			return false;
		}
		/* In Go a character like others; here it could make two texts equal. */
		if (strlen(json_string_value(v)) != json_string_length(v)) {
			complain(err, "%s: %s contains a NUL", type, f->name);
			return false;
		}
		return true;
	}
	if (!json_is_integer(v)) { /* nor may it be 80.0 or 8e1 */
		complain(err, "%s: %s is not an integer", type, f->name);
		return false;
	}
	if (f->kind == PORT && (json_integer_value(v) < 0 || json_integer_value(v) > UINT16_MAX)) {
		complain(err, "%s: %s is not in 0-65535", type, f->name);
		return false;
	}
	return true;
}

/*
 * Finds the value of each field (NULL: missing). Of keys that differ in case each value is checked;
 * of keys that are equal to the byte jansson has kept the last value alone.
 */
static bool collect(json_t *payload, enum msg_type type, const json_t *found[static FIELDS],
		    char err[static 256])
{
	for (void *it = json_object_iter(payload); it; it = json_object_iter_next(payload, it)) {
		const char *key = json_object_iter_key(it);
		const json_t *v = json_object_iter_value(it);

		for (size_t i = 0; i < FIELDS; i++) {
			if (fields[i].type != type || !key_is(key, fields[i].name))
				continue;
			if (json_is_null(v)) /* changes nothing, in Go */
				continue;
			if (!check_value(&fields[i], v, err))
				return false;
			found[i] = v;
		}
	}
	return true;
}

static void fill(struct msg *m, const json_t *const found[static FIELDS])
{
	static const char *const empty = "";
	struct arena *a = NULL;
	size_t size = 0, at = 0;

	for (size_t i = 0; i < FIELDS; i++)
		if (found[i] && fields[i].kind == TEXT)
			size += json_string_length(found[i]) + 1;
	if (size) {
		a = xmalloc(sizeof(*a) + size);
		a->size = size;
	}
	m->owner = a;
	for (size_t i = 0; i < FIELDS; i++) {
		void *to = member(m, &fields[i]);

		if (fields[i].type != m->type)
			continue;
		if (!found[i]) {
			if (fields[i].kind == TEXT)
				memcpy(to, &empty, sizeof(empty));
		} else if (fields[i].kind == TEXT) {
			const char *text = a->text + at;
			size_t n = json_string_length(found[i]) + 1;

			memcpy(a->text + at, json_string_value(found[i]), n);
			memcpy(to, &text, sizeof(text));
			at += n;
		} else if (fields[i].kind == PORT) {
			uint16_t port = (uint16_t)json_integer_value(found[i]);

			memcpy(to, &port, sizeof(port));
		} else {
			int64_t n = json_integer_value(found[i]);

			memcpy(to, &n, sizeof(n));
		}
	}
}

/* The two keys of the envelope; of equal ones the last counts. */
static enum msg_rc open_envelope(json_t *root, enum msg_type *type, json_t **payload,
				 char err[static 256])
{
	const json_t *name = NULL;

	if (!json_is_object(root)) {
		complain(err, "not a JSON object");
		return MSG_BAD;
	}
	*payload = NULL;
	for (void *it = json_object_iter(root); it; it = json_object_iter_next(root, it)) {
		const char *key = json_object_iter_key(it);
		json_t *v = json_object_iter_value(it);

		if (key_is(key, "Type")) {
			if (!json_is_null(v))
				name = v;
		} else if (key_is(key, "Payload")) {
			*payload = v;
		}
	}
	if (!find_type(name, type, err))
		return MSG_BAD;
	if (*payload && json_is_null(*payload))
		return MSG_NULL;
	if (!json_is_object(*payload)) {
		complain(err, "%s: %s", type_names[*type],
			 *payload ? "Payload is not an object" : "no Payload");
		return MSG_BAD;
	}
	return MSG_OK;
}

enum msg_rc msg_decode(const char *json, size_t len, struct msg *out, char err[static 256])
{
	const json_t *found[FIELDS] = {NULL};
	json_t *root, *payload;
	enum msg_type type = MSG_PING;
	enum msg_rc rc;

	memset(out, 0, sizeof(*out));
	if (!load(json, len, &root, err))
		return MSG_BAD;
	rc = open_envelope(root, &type, &payload, err);
	if (rc == MSG_OK && !collect(payload, type, found, err))
		rc = MSG_BAD;
	if (rc != MSG_BAD)
		*out = msg_new(type);
	if (rc == MSG_OK)
		fill(out, found);
	json_decref(root);
	return rc;
}
