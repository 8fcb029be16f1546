/*
 * Fuzzes httpd over real sockets, with a token and without: whatever is said to it, it answers with
 * HTTP/1.1, hands out nothing without the token, and is as empty as before when the client has
 * gone. Input: {1 byte: options, 1 byte: length of a piece}, then what the client says.
 */
#include "common/base/log.h"
#include "common/httpd/httpd.h"
#include "test/fuzz/http_far.h"

#define TOKEN "t0ken-of-the-test"
#define SECRET "only with the token"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct loop *loop;
static struct httpd *servers[2];
static uint16_t ports[2];
static uint64_t waits; /* the last request that was not answered at once */

static void on_secret(void *arg, struct httpd_req *r)
{
	httpd_text(r, 200, SECRET);
}

static void on_echo(void *arg, struct httpd_req *r)
{
	struct query form = {0};
	size_t len;
	const char *body = httpd_body(r, &len);

	check(len <= 4096);
	if (httpd_form(r, &form))
		httpd_header(r, "X-Form", query_get(&form, "a") ? query_get(&form, "a") : "-");
	if (httpd_field(r, "x-field"))
		httpd_header(r, "X-Back", httpd_field(r, "x-field"));
	query_free(&form);
	httpd_answer(r, 200, "application/octet-stream", body, len);
}

static enum httpd_more produce(void *arg, struct httpd_req *r)
{
	static int n;

	httpd_write(r, SECRET, sizeof(SECRET) - 1);
	return ++n % 5 ? HTTPD_MORE : n % 15 ? HTTPD_END : HTTPD_FAIL;
}

static void on_pieces(void *arg, struct httpd_req *r)
{
	static const struct httpd_producer producer = {.produce = produce};

	httpd_stream(r, 200, "text/plain", &producer, NULL);
}

static void on_late(void *arg, struct httpd_req *r)
{
	waits = httpd_id(r);
}

static void on_message(void *arg, struct httpd_ws *ws, const char *msg, size_t len, bool binary)
{
	(void)!httpd_ws_send(ws, msg, len, binary);
}

static void on_ws(void *arg, struct httpd_req *r)
{
	static const struct httpd_ws_hooks hooks = {.message = on_message};

	(void)!httpd_upgrade(r, &hooks, NULL);
}

static void on_cached(void *arg, struct httpd_req *r)
{
	httpd_cached(r, "text/plain", "\"tag\"", SECRET, sizeof(SECRET) - 1);
}

static const struct httpd_route routes[] = {
	{"GET", "/", on_secret},   {"POST", "/echo", on_echo}, {"GET", "/pieces", on_pieces},
	{"GET", "/late", on_late}, {"GET", "/ws", on_ws},      {"GET", "/cached", on_cached},
	{"PUT", "/x/*", on_echo},  {NULL, NULL, NULL},
};

static void start(int which)
{
	struct httpd_config conf = {.name = "fuzz",
				    .routes = routes,
				    .body_max = 4096,
				    .token = which ? TOKEN : NULL,
				    .token_local = true};
	struct listener_fds fds;
	struct addr a;
	struct err err;

	check(listener_bind("127.0.0.1:0", &fds, &err));
	a = listener_addr(&fds);
	ports[which] = addr_get_port(&a);
	servers[which] = httpd_start(loop, &fds, &conf);
}

/* No descriptor more is open than when it began: ours and the server's have gone. */
static bool as_before(void)
{
	static int lowest[2];
	int now[2] = {dup(0), dup(0)};
	bool same = now[0] == lowest[0] && now[1] == lowest[1];

	if (!lowest[0])
		memcpy(lowest, now, sizeof(now));
	close(now[0]);
	close(now[1]);
	return same;
}

static void begin(void)
{
	struct err err;

	if (loop)
		return;
	check(log_open("none", "ERROR", &err));
	loop = loop_new();
	start(0);
	start(1);
	(void)as_before();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct text heard = {0};

	if (size < 2)
		return 0;
	begin();
	int which = data[0] & 1, fd = far_dial(ports[which]);
	size_t piece = data[1] ? data[1] : SIZE_MAX;
	bool knows = memmem(data, size, TOKEN, sizeof(TOKEN) - 1) != NULL;

	text_put(&heard, "");
	if (far_say(loop, fd, data + 2, size - 2, piece, &heard) && data[0] & 2)
		shutdown(fd, SHUT_WR);
	turns(loop, 3);
	struct httpd_req *r = httpd_find(servers[which], waits);

	if (r && data[0] & 4)
		httpd_text(r, 200, "late");
	for (int i = 0; i < 3; i++) {
		turns(loop, 2);
		(void)!far_hear(fd, &heard);
	}
	(void)far_status(&heard);
	check(!which || knows || !memmem(heard.p, heard.len, SECRET, sizeof(SECRET) - 1));
	check(!memmem(heard.p, heard.len, TOKEN, sizeof(TOKEN) - 1) || knows);
	close(fd);
	for (int i = 0; i < 1000 && !as_before(); i++)
		turns(loop, 1);
	check(as_before());
	text_free(&heard);
	return 0;
}
