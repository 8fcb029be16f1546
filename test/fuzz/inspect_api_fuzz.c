/*
 * Fuzzes what the inspector's API is told: bodies in JSON and forms, paths and queries. Whatever it
 * is, the answer has a status of the API's, and is JSON if it says so. Input: {1 byte: which route,
 * and how an order about a tunnel ends}, the rest of the path up to a newline, the body.
 */
#include <jansson.h>

#include "common/base/log.h"
#include "pgrok/inspect/inspect.h"
#include "test/fuzz/http_far.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct rig {
	struct loop *loop;
	struct config *config;
	struct model *model;
	struct capture *capture;
	struct inspect *inspect;
	enum inspect_order how;
	uint64_t order;
};

static enum inspect_order on_open(void *arg, const struct inspect_tunnel *t, uint64_t order,
				  struct err *err)
{
	struct rig *r = arg;

	check(t->name && t->addr);
	r->order = order;
	if (r->how >= INSPECT_REFUSED)
		err_set(err, "because of %.20s", t->name);
	return r->how;
}

static enum inspect_order on_close(void *arg, const struct model_tunnel *t, uint64_t order,
				   struct err *err)
{
	struct rig *r = arg;

	r->order = order;
	if (r->how >= INSPECT_REFUSED)
		err_set(err, "because of %.20s", t->url);
	return r->how;
}

static const struct inspect_hooks hooks = {.open = on_open, .close = on_close};

/* One request and its answer, for what asks about one; its id is always another. */
static void capture_one(struct rig *r, const char *id)
{
	static const char ask[] = "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc";
	static const char told[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
	struct capture_conn_info info = {.name = "web (http)",
					 .url = "http://web.test",
					 .local = "127.0.0.1:9",
					 .visitor = "192.0.2.1:5",
					 .id = id};
	struct capture_conn *c = capture_conn_new(r->capture, &info);

	capture_conn_bytes(c, SIDE_VISITOR, ask, sizeof(ask) - 1);
	capture_conn_bytes(c, SIDE_SERVICE, told, sizeof(told) - 1);
	capture_conn_close(c, NULL);
}

static void rig_begin(struct rig *r)
{
	static const struct capture_limits limits = {64u << 10, 1u << 20};
	struct config_tunnel *t;
	struct err err;

	check(log_open("none", "ERROR", &err));
	r->loop = loop_new();
	r->config = config_new();
	t = config_add_tunnel(r->config, "web");
	check(config_set_protos(t, "http+tcp", "127.0.0.1:9", "web", &err));
	check(endpoint_parse(&r->config->inspect, "127.0.0.1:0", &err));
	r->model = model_new();
	model_session(r->model, "3.0");
	model_add_tunnel(r->model, t, PROTO_HTTP, "1", "http://web.test");
	model_add_tunnel(r->model, t, PROTO_TCP, "1", "tcp://web.test:5");
	r->capture = capture_new(&limits);
	capture_one(r, "00000000000000aa");
	struct inspect_conf conf = {.config = r->config,
				    .model = r->model,
				    .capture = r->capture,
				    .hooks = &hooks,
				    .arg = r};

	r->inspect = inspect_start(r->loop, &conf, &err);
	check(r->inspect != NULL);
}

static void rig_end(struct rig *r)
{
	inspect_close(r->inspect);
	turns(r->loop, 3);
	capture_free(r->capture);
	model_free(r->model);
	config_free(r->config);
	loop_free(r->loop);
}

static void make_request(struct text *t, uint8_t which, const char *more, size_t more_len,
			 const void *body, size_t len)
{
	static const char *const routes[] = {
		"POST /api/tunnels",
		"POST /api/requests/http",
		"PATCH /api/requests/http/00000000000000aa",
		"POST /http/in/replay",
		"DELETE /api/tunnels/web%20(http)",
		"GET /api/search?",
		"GET /api/requests/http?",
		"GET /api/requests/http/00000000000000aa/body?",
		"GET /api/entries?",
		"DELETE /api/requests/http?",
		"GET /api/requests/http.har?",
		"GET /api/tunnels/",
		"GET /api/qr?",
		"GET /api/status?",
		"GET /metrics?",
		"DELETE /api/requests/http/00000000000000aa",
	};

	text_put(t, routes[which & 15]);
	text_add(t, more, more_len);
	text_fmt(t,
		 " HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
		 "Connection: close\r\n\r\n",
		 which % 16 == 3 ? "application/x-www-form-urlencoded" : "application/json", len);
	text_add(t, body, len);
}

/* Takes it apart as a simple client would. */
static void check_answer(const struct text *heard)
{
	struct http_head h = {0};
	struct http_span type;

	if (!heard->len || http_response_scan(&h, heard->p, heard->len) != HTTP_OK)
		return;
	check(h.status >= 200 && h.status <= 503 && h.status != 500);
	if (!h.has_length || !http_field(heard->p, &h, "content-type", &type) || !h.length ||
	    !memmem(heard->p + type.off, type.len, "json", 4))
		return;
	check(heard->len - h.head_len == h.length);
	json_t *body = json_loadb(heard->p + h.head_len, h.length, JSON_ALLOW_NUL, NULL);

	check(body != NULL);
	json_decref(body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rig r = {0};
	struct text request = {0}, heard = {0};

	if (size < 1)
		return 0;
	rig_begin(&r);
	const char *more = (const char *)data + 1, *line = memchr(more, '\n', size - 1);
	size_t more_len = line ? (size_t)(line - more) : 0;
	const char *body = line ? line + 1 : more;
	int fd = far_dial(inspect_port(r.inspect));

	r.how = (enum inspect_order)(data[0] >> 4) % (INSPECT_FAILED + 1);
	make_request(&request, data[0], more, more_len, body,
		     size - (size_t)(body - (const char *)data));
	text_put(&heard, "");
	(void)far_say(r.loop, fd, request.p, request.len, SIZE_MAX, &heard);
	turns(r.loop, 2);
	if (r.how == INSPECT_LATER && r.order)
		inspect_ordered(r.inspect, r.order, INSPECT_FAILED, "too late");
	for (int i = 0; i < 50 && far_hear(fd, &heard); i++)
		turns(r.loop, 1);
	check_answer(&heard);
	close(fd);
	text_free(&request);
	text_free(&heard);
	rig_end(&r);
	return 0;
}
