/*
 * The nine messages of the pgrok protocol and their JSON form: {"Type":"...","Payload":{...}}, all
 * fields of a payload always written, in a fixed order, as Go's encoding/json does. Keys that only
 * our ends know (Features, Mux, LastName, rules for visitors) are left out if they have their
 * default value.
 */
#ifndef MSG_PGROK_MSG_H
#define MSG_PGROK_MSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/xalloc.h"

#define MSG_PROTO_VERSION "2"
#define MSG_SOFTWARE_VERSION "3.0"

/*
 * Words of Features, in Auth and AuthResp: what an end understands beyond the Go protocol. What
 * both ends named is on.
 */
#define FEATURE_MUX "mux"       /* visitors as streams, see MUX_SHARED and MUX_REUSED */
#define FEATURE_PING "ping"     /* a client answers the server's Ping */
#define FEATURE_CLOSE "close"   /* a NewTunnel may close its URL, see there */
#define FEATURE_ACCESS "access" /* the server enforces struct msg_access */
#define FEATURE_ASKS "asks"     /* the server asks forward_auth, or refuses the tunnel */

/* The Url of a StartProxy that begins a mux session on this connection. */
#define START_PROXY_MUX "mux:"

enum msg_type {
	MSG_AUTH,
	MSG_AUTH_RESP,
	MSG_REQ_TUNNEL,
	MSG_NEW_TUNNEL,
	MSG_REQ_PROXY,
	MSG_REG_PROXY,
	MSG_START_PROXY,
	MSG_PING,
	MSG_PONG,
	MSG_TYPES
};

/*
 * Texts are UTF-8. For encoding they are borrowed and NULL means ""; decoded ones are never NULL.
 */
struct msg_auth {
	const char *version, *mm_version, *user, *password, *os, *arch, *client_id;
	const char *features; /* extension: words separated by blanks */
};
struct msg_auth_resp {
	const char *version, *mm_version, *client_id, *error;
	const char *features; /* extension */
};
/* Lists of rules for visitors: texts with an entry a line. */
enum access_list {
	ACCESS_USERS, /* user:password, beside that of HttpAuth */
	ACCESS_BEARER,
	ACCESS_ALLOW_IPS,
	ACCESS_DENY_IPS,
	ACCESS_METHODS, /* those that are refused */
	ACCESS_PATHS,   /* likewise, with all below them */
	ACCESS_LISTS
};
/* Extension: the rules that a tunnel's visitors are held to; what entries may be: access.h. */
struct msg_access {
	const char *list[ACCESS_LISTS];
	const char *password;
	const char
		*mtls_ca; /* PEM: the CAs of which visitors of an https tunnel show a certificate */
	int64_t preflight; /* 1: CORS preflights need no credentials */
};
struct msg_req_tunnel {
	const char *category, *req_id, *protocol, *hostname, *subdomain, *http_auth;
	uint16_t remote_port;
	int64_t mux; /* extension: default 1; 0 = own connection per visitor */
	/* Extensions: had before, wanted again if it is free, where none is asked for. */
	const char *last_name; /* a random name, without the domain */
	uint16_t last_port;
	struct msg_access access;
	const char *forward_auth; /* extension: URL that decides about its visitors' requests */
};
/*
 * If both ends named FEATURE_CLOSE. From a client: this URL is to be closed. From the server, with
 * an Error: it was closed, and why.
 */
struct msg_new_tunnel {
	const char *req_id, *url, *protocol, *error;
};
#define MUX_SHARED 1 /* of all visitors */
#define MUX_REUSED 2 /* of one visitor after the other */
struct msg_reg_proxy {
	const char *client_id;
	int64_t mux; /* extension: default 0; else this connection is to become a mux session */
};
struct msg_start_proxy {
	const char *url, *client_addr;
};

struct msg {
	enum msg_type type;
	union {
		struct msg_auth auth;
		struct msg_auth_resp auth_resp;
		struct msg_req_tunnel req_tunnel;
		struct msg_new_tunnel new_tunnel;
		struct msg_reg_proxy reg_proxy;
		struct msg_start_proxy start_proxy;
	};
	struct fields_owner *owner; /* of the texts after msg_decode(); NULL otherwise */
};

/* A message of this type with every field at its default. */
struct msg msg_new(enum msg_type type);
/* "Auth", "AuthResp" ... */
const char *msg_type_name(enum msg_type type);

/* The JSON text, exactly Go's bytes; owned, *len without the NUL. NULL: a text is not UTF-8. */
char *msg_encode(const struct msg *m, size_t *len) MUSTCHECK;

enum msg_rc {
	MSG_OK,
	MSG_NULL, /* a known type with "Payload":null: Go drops it on a control connection */
	MSG_BAD /* err says why: not JSON, no or unknown Type, no Payload, a wrong type of field */
};

/*
 * As lenient as Go's encoding/json (keys in any case, unknown keys ignored, missing keys = default,
 * the last of equal keys counts) and as strict (types; RemotePort an integer 0-65535; the value of
 * Type in exact case; nothing after the object). On MSG_OK *out owns its texts until msg_free(); on
 * MSG_NULL it is msg_new() of its type, on MSG_BAD all zero. err never quotes the message. Bytes
 * that are not UTF-8 and lone surrogates become U+FFFD, as in Go. Stricter than Go: a NUL inside a
 * text of ours, and numbers that need more than 64 bits under any key, are BAD.
 */
enum msg_rc msg_decode(const char *json, size_t len, struct msg *out, struct err *err) MUSTCHECK;
/* Frees what msg_decode() put into m, wiping it (tokens are among it). */
void msg_free(struct msg *m);

/* Is `word` one of the blank-separated words of `features`? */
bool msg_has_feature(const char *features, const char *word);

/*
 * What may be shown of a ClientId, which is a credential: 8 characters; of a shorter one half and a
 * star.
 */
#define MSG_SHORT_ID 9
void msg_short_id(const char *id, char out[static MSG_SHORT_ID]);

#endif
