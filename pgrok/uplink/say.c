/* What the client says on its control connection. */
#include "pgrok/uplink/say.h"

#include "msg/pgrok/frame.h"
#include "pgrok/uplink/machine.h"

struct msg say_auth(const struct config *c, const char *client_id)
{
	struct msg m = msg_new(MSG_AUTH);

	m.auth.version = MSG_PROTO_VERSION;
	m.auth.mm_version = MSG_SOFTWARE_VERSION;
	m.auth.user = c->auth_token;
	m.auth.os = machine_os();
	m.auth.arch = machine_arch();
	m.auth.client_id = client_id;
	m.auth.features =
		FEATURE_MUX " " FEATURE_PING " " FEATURE_CLOSE " " FEATURE_ACCESS " " FEATURE_ASKS;
	return m;
}

struct msg say_req_tunnel(const struct request *r, bool mux, const struct say_last *last,
			  char protos[static PROTOS_TEXT])
{
	const struct config_tunnel *t = r->tunnel;
	struct msg m = msg_new(MSG_REQ_TUNNEL);

	m.req_tunnel.category = t->name;
	m.req_tunnel.req_id = r->id;
	m.req_tunnel.protocol = config_protos(t, protos);
	m.req_tunnel.hostname = t->hostname;
	m.req_tunnel.subdomain = t->subdomain;
	m.req_tunnel.http_auth = t->auth;
	m.req_tunnel.remote_port = t->remote_port;
	m.req_tunnel.mux = mux;
	m.req_tunnel.last_name = last->name;
	m.req_tunnel.last_port = last->port;
	m.req_tunnel.access = config_access(t);
	m.req_tunnel.forward_auth = t->forward_auth;
	return m;
}

struct msg say_closed(const struct model_tunnel *t)
{
	struct msg m = msg_new(MSG_NEW_TUNNEL);

	m.new_tunnel.req_id = t->req_id;
	m.new_tunnel.url = t->url;
	m.new_tunnel.protocol = proto_name(t->proto);
	m.new_tunnel.error = "closed";
	return m;
}

bool say_fits(const struct msg *m, struct err *err)
{
	size_t len;
	char *frame = frame_make(m, FRAME_GO_MAX, &len, err);

	if (frame)
		xfree_secret(frame, len);
	return frame;
}
