/*
 * The messages of the Drip protocol, each in its JSON form. On a connection each end sends one
 * (frame.h): Register or DataConnect, and their Ack or an Error; behind that all is yamux.
 */
#ifndef MSG_DRIP_DRIP_H
#define MSG_DRIP_DRIP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "msg/json/fields.h"

/* Also the type byte of a frame. 3 to 5 (Heartbeat, HeartbeatAck, Close) are never sent. */
enum drip_type {
	DRIP_DISCOVER = 0, /* not a frame: the body of the answer to GET /_drip/discover */
	DRIP_REGISTER = 1,
	DRIP_REGISTER_ACK = 2,
	DRIP_ERROR = 6,
	DRIP_DATA_CONNECT = 7,
	DRIP_DATA_CONNECT_ACK = 8,
	DRIP_TYPES
};

/* Paths of the HTTP/1.1 server on the same port. */
#define DRIP_DISCOVER_PATH "/_drip/discover"
#define DRIP_WS_PATH "/_drip/ws"
#define DRIP_LOGIN_PATH "/_drip/login"

/* Words of their fields. */
#define DRIP_PRIMARY "primary"   /* connection_type of a Register */
#define DRIP_PASSWORD "password" /* type of a proxy_auth */
#define DRIP_BEARER "bearer"
#define DRIP_TCP "tcp" /* a transport: TLS, or plain TCP behind a proxy */
#define DRIP_WSS "wss"

/* Codes of an Error. */
#define DRIP_CODE_TYPE "tunnel_type_not_allowed"
#define DRIP_CODE_TOKEN "authentication_failed"
#define DRIP_CODE_REGISTRATION "registration_failed"

/*
 * Texts are UTF-8. For encoding they are borrowed and NULL means ""; decoded ones are never NULL.
 */
struct drip_capabilities {
	bool there;
	int64_t max_data_conns, version;
};
struct drip_ip_access {
	bool there;
	struct field_texts allow_ips, deny_ips;
};
struct drip_proxy_auth {
	bool there, enabled; /* not enabled: no authentication, whatever the rest says */
	const char *type, *password, *token;
};
struct drip_register {
	const char *token;
	const char *custom_subdomain; /* "": a random one; "tcp-N": port N */
	const char *tunnel_type;      /* "http", "https" or "tcp" */
	int64_t local_port;           /* for people */
	const char *connection_type, *tunnel_id;
	struct drip_capabilities pool_capabilities;
	struct drip_ip_access ip_access;
	struct drip_proxy_auth proxy_auth;
};
struct drip_register_ack {
	const char *subdomain; /* what was assigned: to be asked for next time */
	int64_t port;          /* of a tcp tunnel */
	const char *url, *message;
	const char *tunnel_id;
	bool supports_data_conn; /* with a tunnel_id: DataConnects are welcome */
	int64_t recommended_conns;
};
struct drip_error {
	const char *code, *message;
};
struct drip_data_connect {
	const char *tunnel_id, *token, *connection_id;
};
struct drip_data_connect_ack {
	bool accepted;
	const char *connection_id, *message;
};
struct drip_discover {
	const char *preferred;
	struct field_texts transports, tunnel_types;
	const char *version;
};

struct drip_msg {
	enum drip_type type;
	union {
		struct drip_register reg;
		struct drip_register_ack ack;
		struct drip_error error;
		struct drip_data_connect data;
		struct drip_data_connect_ack data_ack;
		struct drip_discover discover;
	};
	struct fields_owner *owner; /* of the texts after drip_decode(); NULL otherwise */
};

/* Is it a type that has a message? */
bool drip_known(unsigned type) MUSTCHECK;
/* A message of this type, one that is known, with every field at its default. */
struct drip_msg drip_new(enum drip_type type);
/* "Register", "RegisterAck" ... */
const char *drip_type_name(enum drip_type type);

/* The JSON text, exactly Go's bytes; owned, *len without the NUL. NULL: a text is not UTF-8. */
char *drip_encode(const struct drip_msg *m, size_t *len) MUSTCHECK;
/*
 * As lenient as Go's encoding/json (keys in any case, unknown keys and null ignored, the last of
 * equal keys counts, null alone is an empty object) and as strict: false for no JSON, types, an
 * array, anything behind the object. Stricter than Go: a NUL inside a text, and null inside a list,
 * are refused. True: *out owns its texts until drip_free(). False: *out is all zero, and err, which
 * never quotes the message, says why.
 */
bool drip_decode(enum drip_type type, const char *json, size_t len, struct drip_msg *out,
		 struct err *err) MUSTCHECK;
/* Frees what drip_decode() put into m, wiping it (tokens are among it). */
void drip_free(struct drip_msg *m);

/* Does this refusal end a client for good? Every other one is tried again. */
bool drip_fatal(const struct drip_error *e) MUSTCHECK;

#endif
