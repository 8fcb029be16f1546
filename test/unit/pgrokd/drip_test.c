/*
 * Drip's clients on plain sockets: which protocol the first bytes are, what is answered to a first
 * frame, byte for byte where clients look at it.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/randid.h"
#include "msg/pgrok/frame.h"
#include "pgrokd/access/guesses.h"
#include "pgrokd/proto/drip.h"
#include "pgrokd/proto/drip_name.h"
#include "pgrokd/proto/drip_rules.h"
#include "pgrokd/proto/pgrok.h"
#include "pgrokd/visitor/visitor.h"
#include "test/unit/pgrokd/server_rig.h"

#define REGISTER 1
#define DATA_CONNECT 7
#define POOL ",\"connection_type\":\"primary\",\"pool_capabilities\":{\"max_data_conns\":31}"

static const struct proto_ops *const all[] = {&pgrok_proto, &drip_proto, &drip_web_proto, NULL};

static int set_up(void **state)
{
	struct rig *r = server_new(100);

	r->config.reserved = RESERVED_DEFAULT;
	r->config.tcp_host = "127.0.0.1";
	r->config.tcp_port_min = r->config.tcp_port_random = 20000;
	r->config.tcp_port_max = 40000;
	r->settings.reserved = reserved_new("smtp", "t.test", NULL);
	registry_set_ports(r->core.registry, 20000, 40000);
	r->core.site.http_port = 80;
	r->core.site.https_port = 443;
	r->core.on[PORT_HTTP] = r->core.on[PORT_HTTPS] = r->core.on[PORT_TUNNEL] = true;
	r->core.spoken[PORT_TUNNEL] = r->core.spoken[PORT_HTTPS] = all;
	*state = r;
	return 0;
}

static int tear_down(void **state)
{
	struct rig *r = *state;
	struct reserved *reserved = r->settings.reserved;
	struct tokens *tokens = r->settings.tokens;
	struct guesses *guesses = r->core.guesses;

	server_free(r);
	guesses_free(guesses);
	tokens_unref(tokens);
	reserved_free(reserved);
	return 0;
}

static void say_frame(struct rig *r, int fd, int type, const char *json)
{
	size_t len = strlen(json);
	char *frame = xcalloc(1, len + 5);

	for (int i = 0; i < 4; i++)
		frame[i] = (char)(len >> (24 - 8 * i));
	frame[4] = (char)type;
	memcpy(frame + 5, json, len);
	say(r, fd, frame, len + 5);
	free(frame);
}

/* The JSON of the frame that has come, whose type it must be. "": the end, and no frame. */
static const char *hear(int fd, int type, char rest[static 12])
{
	static char text[70000];
	const unsigned char *p = (unsigned char *)text;
	ssize_t n = read(fd, text, sizeof(text) - 1);

	if (n == 0 || (n < 0 && errno == ECONNRESET))
		return "";
	assert_true(n > 5);
	size_t len = (size_t)(p[2] << 8 | p[3]);

	assert_int_equal(p[4], type);
	assert_true(5 + len <= (size_t)n);
	/* What came behind it, in the same read: yamux. */
	memset(rest, 0xff, 12);
	memcpy(rest, text + 5 + len, (size_t)n - 5 - len < 12 ? (size_t)n - 5 - len : 12);
	text[5 + len] = '\0';
	return text + 5;
}

static bool gone(int fd)
{
	char c;
	ssize_t n = read(fd, &c, 1);

	return n == 0 || (n < 0 && errno != EAGAIN);
}

/* ---- names ---- */

static void test_names(void **state)
{
	static const char *const good[] = {"abc", "a-c", "a--b", "000", "tcp-1", "x1y2z3"};
	static const char *const bad[] = {"",
					  "a",
					  "ab",
					  "-ab",
					  "ab-",
					  "a_b",
					  "a.b",
					  "Abc",
					  "a b",
					  "a\n",
					  "..",
					  "\xc3\xa4"
					  "bc"};
	char name[65], random[PROTO_NAME], other[PROTO_NAME];

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(drip_name_valid(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(drip_name_valid(bad[i]));
	memset(name, 'a', 64);
	name[64] = '\0';
	assert_false(drip_name_valid(name));
	name[63] = '\0';
	assert_true(drip_name_valid(name));
	assert_true(drip_name_reserved("staging"));
	assert_false(drip_name_reserved("stagin"));
	for (int i = 0; i < 100; i++) {
		drip_name_random(i % LIMIT_RANDOM_TRIES, random);
		drip_name_random(0, other);
		assert_true(drip_name_valid(random));
		assert_string_not_equal(random, other);
		assert_int_equal(strlen(other), 6);
	}
	assert_int_equal(strlen(random), 8);
	assert_int_equal(drip_name_port("tcp-21007"), 21007);
	assert_int_equal(drip_name_port("tcp-65535"), 65535);
	assert_int_equal(drip_name_port("tcp-65536"), 0);
	assert_int_equal(drip_name_port("tcp-0"), 0);
	assert_int_equal(drip_name_port("tcp-"), 0);
	assert_int_equal(drip_name_port("tcp-1x"), 0);
	assert_int_equal(drip_name_port("web"), 0);
}

/* ---- rules ---- */

static const struct {
	const char *json;
	const char *allow, *deny, *bearer, *password; /* NULL: refused */
} rules[] = {
	{"{}", "", "", "", ""},
	{"{\"ip_access\":{\"allow_ips\":[\"10.0.0.0/8\",\"::1\"],\"deny_ips\":[\"10.1.1.1\"]}}",
	 "10.0.0.0/8\n::1", "10.1.1.1", "", ""},
	{.json = "{\"ip_access\":{\"allow_ips\":[\"10.0.0.1\\n0.0.0.0/0\"]}}"},
	{.json = "{\"ip_access\":{\"deny_ips\":[\"\"]}}"},
	{"{\"proxy_auth\":{\"enabled\":false,\"type\":\"bearer\",\"token\":\"t\"}}", "", "", "",
	 ""},
	{"{\"proxy_auth\":{\"enabled\":true,\"type\":\"Bearer\",\"token\":\"t\"}}", "", "", "t",
	 ""},
	{"{\"proxy_auth\":{\"enabled\":true,\"token\":\"t\"}}", "", "", "t", ""},
	{"{\"proxy_auth\":{\"enabled\":true,\"type\":\"password\",\"password\":\"p\"}}", "", "", "",
	 "p"},
	{"{\"proxy_auth\":{\"enabled\":true,\"password\":\"p\"}}", "", "", "", "p"},
	{"{\"proxy_auth\":{\"enabled\":true,\"type\":\"PASSWORD\",\"password\":\"p\"}}", "", "", "",
	 "p"},
	{.json = "{\"proxy_auth\":{\"enabled\":true}}"},
	{.json = "{\"proxy_auth\":{\"enabled\":true,\"type\":\"bearer\"}}"},
	{.json = "{\"proxy_auth\":{\"enabled\":true,\"type\":\"bearer\",\"password\":\"p\"}}"},
	{.json = "{\"proxy_auth\":{\"enabled\":true,\"type\":\"password\",\"token\":\"t\"}}"},
	{.json = "{\"proxy_auth\":{\"enabled\":true,\"type\":\"basic\",\"password\":\"p\"}}"},
	{.json = "{\"proxy_auth\":{\"enabled\":true,\"token\":\"t\\nu\"}}"},
};

static void test_rules(void **state)
{
	struct drip_rules out;
	struct drip_msg m;
	struct err err;

	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		assert_true(
			drip_decode(DRIP_REGISTER, rules[i].json, strlen(rules[i].json), &m, &err));
		assert_int_equal(drip_rules_of(&m.reg, &out, &err), rules[i].allow != NULL);
		if (rules[i].allow) {
			const char *password = out.access.password;

			assert_string_equal(out.access.list[ACCESS_ALLOW_IPS], rules[i].allow);
			assert_string_equal(out.access.list[ACCESS_DENY_IPS], rules[i].deny);
			assert_string_equal(out.access.list[ACCESS_BEARER], rules[i].bearer);
			assert_string_equal(password ? password : "", rules[i].password);
		}
		drip_rules_free(&out);
		drip_free(&m);
	}
}

/* ---- first bytes ---- */

static const char discover[] = "GET /_drip/discover HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n";
static const char register_json[] = "{\"tunnel_type\":\"http\",\"custom_subdomain\":\"myapp\"}";

/* An Auth whose message has exactly 256 bytes: its first two bytes are 00 01, as Drip's may be. */
static char *auth_of_256(size_t *len)
{
	struct msg m = msg_new(MSG_AUTH);
	char pad[256] = "";
	struct err err;
	char *frame = NULL;

	m.auth.version = "2";
	m.auth.client_id = "abc";
	m.auth.os = pad;
	for (int i = 0; i < 255; i++) {
		free(frame);
		frame = frame_make(&m, FRAME_GO_MAX, len, &err);
		assert_non_null(frame);
		if (*len == FRAME_HEADER + 256)
			return frame;
		pad[i] = 'x';
	}
	fail();
	return NULL;
}

static void say_in_pieces(struct rig *r, int fd, const char *bytes, size_t len, size_t piece)
{
	for (size_t at = 0; at < len; at += piece)
		say(r, fd, bytes + at, len - at < piece ? len - at : piece);
}

static void test_first_bytes(void **state)
{
	struct rig *r = *state;
	char drip[128] = {0}, text[512];
	size_t n = strlen(register_json), len;
	char *auth = auth_of_256(&len);

	assert_memory_equal(auth, "\0\1\0\0\0\0\0\0", 8);
	drip[3] = (char)n;
	drip[4] = REGISTER;
	memcpy(drip + 5, register_json, n);
	for (size_t piece = 1; piece < 300; piece += piece < 9 ? 1 : 145) {
		int fd[3] = {come(r, PORT_TUNNEL), come(r, PORT_TUNNEL), come(r, PORT_TUNNEL)};

		say_in_pieces(r, fd[0], auth, len, piece);
		assert_true(read(fd[0], text, sizeof(text)) > 8);
		assert_non_null(strstr(text + 8, "\"AuthResp\""));
		say_in_pieces(r, fd[1], drip, 5 + n, piece);
		assert_true(read(fd[1], text, sizeof(text)) > 5);
		assert_int_equal(text[4], 2);
		say_in_pieces(r, fd[2], discover, strlen(discover), piece);
		ssize_t got = read(fd[2], text, sizeof(text) - 1);
		assert_true(got > 0);
		text[got] = '\0';
		assert_non_null(strstr(text, "HTTP/1.1 200 OK\r\n"));
		assert_non_null(strstr(text, "\r\nConnection: close\r\n"));
		assert_non_null(strstr(
			text, "\r\n\r\n{\"preferred\":\"tcp\",\"transports\":[\"tcp\",\"wss\"],"
			      "\"tunnel_types\":[\"http\",\"https\",\"tcp\"],"
			      "\"version\":\"1\"}"));
		for (int i = 0; i < 3; i++)
			close(fd[i]);
		pass(r);
	}
	free(auth);
}

static const struct {
	const char *bytes;
	size_t len;
} strangers[] = {
#define BYTES(s)                 \
	{                        \
		s, sizeof(s) - 1 \
	}
	BYTES("\x00\x00\x00\x02\x00{}"),       BYTES("\x00\x00\x00\x02\x02{}"),
	BYTES("\x00\x00\x00\x02\x06{}"),       BYTES("\x00\x00\x00\x02\x09{}"),
	BYTES("\x00\x10\x00\x01\x01{"),        BYTES("\x01\x00\x00\x02\x01{}"),
	BYTES("\x00\x00\x00\x00\x01\x00\x00"), BYTES("\x16\x03\x01\x00\xf0\x01"),
	BYTES("SSH-2.0-OpenSSH\r\n"),          BYTES("\x00\x00\x00\x02\x01[]"),
	BYTES("\x00\x00\x00\x05\x01{\"a\":"),  BYTES("\x00\x00\x00\x03\x01{}x"),
};

/* Closed with no answer, as Drip's own server does. */
static void test_strangers(void **state)
{
	struct rig *r = *state;

	for (size_t i = 0; i < sizeof(strangers) / sizeof(strangers[0]); i++) {
		int fd = come(r, PORT_TUNNEL);
		char text[256];

		say(r, fd, strangers[i].bytes, strangers[i].len);
		ssize_t n = read(fd, text, sizeof(text));
		/* One that looks like a request is told that it is none. */
		if (n > 0)
			assert_memory_equal(text, "HTTP/1.1 4", 10);
		else
			assert_true(n == 0 || errno == ECONNRESET);
		close(fd);
	}
	assert_int_equal(idmap_count(r->worker.clients), 0);
}

static void test_web(void **state)
{
	struct rig *r = *state;
	static const struct {
		const char *head, *status;
	} cases[] = {
		{"GET /_drip/ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
		 "Upgrade: websocket\r\n\r\n",
		 "HTTP/1.1 400 "},
		{"GET / HTTP/1.1\r\nHost: myapp.t.test\r\n\r\n", "HTTP/1.1 404 "},
		{"PROPFIND /x HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 404 "},
		{"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 "},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int fd = come(r, PORT_TUNNEL);
		char text[1024];

		say(r, fd, cases[i].head, strlen(cases[i].head));
		assert_true(read(fd, text, sizeof(text)) > 0);
		assert_memory_equal(text, cases[i].status, strlen(cases[i].status));
		close(fd);
	}
}

#define WS                                                                                   \
	"GET /_drip/ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" \
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

/* Within a WebSocket all is as without; what comes behind the request counts. */
static void test_websocket(void **state)
{
	struct rig *r = *state;
	static const char mask[] = {'\x82', '\x85', 0, 0, 0, 0}, begin[] = {0, 0, 0, '\x31', 1};
	char text[512], sent[512];
	size_t n = strlen(register_json), len = strlen(WS);

	assert_int_equal(n, 0x31);
	memcpy(sent, WS, len);
	memcpy(sent + len, mask, 6);
	memcpy(sent + len + 6, begin, 5);
	memcpy(sent + len + 11, mask, 6);
	sent[len + 12] = (char)(0x80 | n);
	memcpy(sent + len + 17, register_json, n);
	len += 17 + n;
	for (size_t piece = 1; piece <= len; piece = 3 * piece + 1) {
		int fd = come(r, PORT_TUNNEL);

		say_in_pieces(r, fd, sent, len, piece);
		ssize_t got = read(fd, text, sizeof(text) - 1);
		assert_true(got > 0);
		for (ssize_t i = 0; i < got; i++)
			text[i] = text[i] ? text[i] : '.';
		text[got] = '\0';
		assert_memory_equal(text, "HTTP/1.1 101 ", 13);
		assert_non_null(strstr(text, "\r\n\r\n\x82"));
		assert_non_null(strstr(text, "\2{\"subdomain\":\"myapp\""));
		close(fd);
		pass(r);
		assert_int_equal(idmap_count(r->worker.clients), 0);
	}
}

/* ---- Register ---- */

#define OK "\"message\":\"Tunnel registered successfully\""
#define NO(code, message) "{\"code\":\"" code "\",\"message\":\"" message
#define REFUSED(message) NO("registration_failed", "tunnel registration failed: " message)

static const struct {
	const char *json;
	int type;
	const char *answer; /* how it begins */
} registers[] = {
	{"{\"tunnel_type\":\"http\",\"custom_subdomain\":\"one\"}", 2,
	 "{\"subdomain\":\"one\",\"url\":\"https://one.t.test\"," OK "}"},
	{"{\"Tunnel_Type\":\"HTTPS\",\"custom_subdomain\":\"two\",\"x\":[{}]}", 2,
	 "{\"subdomain\":\"two\",\"url\":\"https://two.t.test\"," OK "}"},
	{"{\"tunnel_type\":\"tcp\",\"custom_subdomain\":\"tcp-19999\"}", 6,
	 NO("registration_failed", "failed to allocate requested port 19999: requested port 19999 "
				   "outside range 20000-40000\"}")},
	{"{\"tunnel_type\":\"tcp\",\"custom_subdomain\":\"tcp-\"}", 6,
	 REFUSED("invalid subdomain format\"}")},
	{"{\"tunnel_type\":\"http\",\"custom_subdomain\":\"No\"}", 6,
	 REFUSED("invalid subdomain format\"}")},
	{"{\"tunnel_type\":\"http\",\"custom_subdomain\":\"api\"}", 6,
	 REFUSED("subdomain is reserved\"}")},
	{"{\"tunnel_type\":\"http\",\"custom_subdomain\":\"smtp\"}", 6,
	 REFUSED("subdomain is reserved\"}")},
	{"{\"tunnel_type\":\"http\",\"custom_subdomain\":\"one\"}", 6,
	 REFUSED("subdomain is already taken\"}")},
	{"{\"tunnel_type\":\"tcp\",\"custom_subdomain\":\"one\"}", 6,
	 REFUSED("subdomain is already taken\"}")},
	{"{\"tunnel_type\":\"udp\",\"custom_subdomain\":\"No\"}", 6,
	 NO("tunnel_type_not_allowed", "Tunnel type 'udp' is not allowed on this server\"}")},
	{"null", 6,
	 NO("tunnel_type_not_allowed", "Tunnel type '' is not allowed on this server\"}")},
	{"{\"tunnel_type\":\"http\",\"ip_access\":{\"allow_ips\":[\"10.0.0.0/33\"]}}", 6,
	 REFUSED("invalid subdomain or rules: Invalid rules: allow_ips: ")},
	{"{\"tunnel_type\":\"http\",\"proxy_auth\":{\"enabled\":true}}", 6,
	 REFUSED("invalid subdomain or rules: proxy_auth: its password is empty\"}")},
	{"{\"tunnel_type\":\"tcp\",\"proxy_auth\":{\"enabled\":true,\"password\":\"p\"}}", 6,
	 REFUSED("invalid subdomain or rules: Invalid rules: password: a tcp tunnel can't")},
};

static void test_registers(void **state)
{
	struct rig *r = *state;
	char rest[12];
	int fd[sizeof(registers) / sizeof(registers[0])];

	for (size_t i = 0; i < sizeof(fd) / sizeof(fd[0]); i++) {
		fd[i] = come(r, PORT_TUNNEL);
		say_frame(r, fd[i], REGISTER, registers[i].json);
		const char *answer = hear(fd[i], registers[i].type, rest);

		if (strncmp(answer, registers[i].answer, strlen(registers[i].answer)) != 0)
			fail_msg("%s: %s", registers[i].json, answer);
		/* Who is refused sees the end, the others a PING. */
		if (registers[i].type == 6)
			assert_true(gone(fd[i]));
		else
			assert_memory_equal(rest, "\0\2\0\1\0\0\0\0\0\0\0\1", 12);
	}
	assert_int_equal(idmap_count(r->worker.clients), 2);
	/* Without a token the name is free with the connection. */
	close(fd[0]);
	pass(r);
	assert_int_equal(idmap_count(r->worker.clients), 1);
	fd[0] = come(r, PORT_TUNNEL);
	say_frame(r, fd[0], REGISTER, registers[0].json);
	assert_string_equal(hear(fd[0], 2, rest), registers[0].answer);
	for (size_t i = 0; i < sizeof(fd) / sizeof(fd[0]); i++)
		close(fd[i]);
}

/* What the operator lists is all that is reserved. */
static void test_reserved(void **state)
{
	struct rig *r = *state;
	char rest[12];
	int fd = come(r, PORT_TUNNEL);

	r->config.reserved = "www";
	say_frame(r, fd, REGISTER, "{\"tunnel_type\":\"http\",\"custom_subdomain\":\"api\"}");
	assert_non_null(strstr(hear(fd, 2, rest), "\"subdomain\":\"api\""));
	close(fd);
}

static void test_random(void **state)
{
	struct rig *r = *state;
	char rest[12], name[7] = "";
	int fd = come(r, PORT_TUNNEL);

	say_frame(r, fd, REGISTER, "{\"tunnel_type\":\"http\"" POOL "}");
	const char *answer = hear(fd, 2, rest);

	assert_int_equal(sscanf(answer, "{\"subdomain\":\"%6[a-z0-9]\",\"url\":", name), 1);
	assert_int_equal(strlen(name), 6);
	assert_non_null(strstr(answer, "\"tunnel_id\":\""));
	assert_non_null(strstr(answer, ",\"supports_data_conn\":true,\"recommended_conns\":4}"));
	close(fd);
}

static void test_tcp(void **state)
{
	struct rig *r = *state;
	char rest[12], want[128], ask[128];
	int fd[4] = {come(r, PORT_TUNNEL), come(r, PORT_TUNNEL), come(r, PORT_TUNNEL),
		     come(r, PORT_TUNNEL)};
	int port = 0, other = 0;

	say_frame(r, fd[0], REGISTER, "{\"tunnel_type\":\"tcp\"}");
	assert_int_equal(sscanf(hear(fd[0], 2, rest),
				"{\"subdomain\":\"tcp-%d\",\"port\":%d,\"url\":\"tcp://t.test:",
				&port, &other),
			 2);
	assert_true(port >= 20000 && port <= 40000 && port == other);
	snprintf(ask, sizeof(ask), "{\"tunnel_type\":\"tcp\",\"custom_subdomain\":\"tcp-%d\"}",
		 port);
	say_frame(r, fd[1], REGISTER, ask);
	snprintf(want, sizeof(want),
		 NO("registration_failed",
		    "failed to allocate requested port %d: requested port %d already in use\"}"),
		 port, port);
	assert_string_equal(hear(fd[1], 6, rest), want);
	close(fd[0]);
	pass(r);
	say_frame(r, fd[2], REGISTER, ask);
	snprintf(want, sizeof(want), "{\"subdomain\":\"tcp-%d\",\"port\":%d,", port, port);
	assert_memory_equal(hear(fd[2], 2, rest), want, strlen(want));
	/* Any other name is the client's to keep, and its port is any. */
	say_frame(r, fd[3], REGISTER, "{\"tunnel_type\":\"tcp\",\"custom_subdomain\":\"db1\"}");
	assert_memory_equal(hear(fd[3], 2, rest), "{\"subdomain\":\"db1\",\"port\":", 26);
	for (int i = 1; i < 4; i++)
		close(fd[i]);
}

static void test_without_https(void **state)
{
	struct rig *r = *state;
	char rest[12];
	int fd[2] = {come(r, PORT_TUNNEL), come(r, PORT_TUNNEL)};

	r->core.on[PORT_HTTPS] = false;
	say_frame(r, fd[0], REGISTER, "{\"tunnel_type\":\"http\",\"custom_subdomain\":\"one\"}");
	assert_non_null(strstr(hear(fd[0], 2, rest), "\"url\":\"https://one.t.test\""));
	r->core.on[PORT_HTTP] = false;
	say_frame(r, fd[1], REGISTER, "{\"tunnel_type\":\"https\",\"custom_subdomain\":\"two\"}");
	assert_non_null(strstr(hear(fd[1], 6, rest), "tunnel_type_not_allowed"));
	close(fd[0]);
	close(fd[1]);
}

/* ---- tokens ---- */

static void use_tokens(struct rig *r)
{
	char path[] = "/tmp/drip_test.XXXXXX";
	static const char yaml[] = "tokens:\n- name: anna\n  token: sekrit-sekrit-sekrit\n";
	struct err err;
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, yaml, strlen(yaml)), strlen(yaml));
	close(fd);
	r->settings.tokens = tokens_read(path, &err);
	unlink(path);
	if (!r->settings.tokens)
		fail_msg("%s", err.text);
	r->core.guesses = guesses_new(3, 60000, false);
}

#define ANNA "\"token\":\"sekrit-sekrit-sekrit\""

static void test_tokens(void **state)
{
	struct rig *r = *state;
	char rest[12];
	int fd[3] = {come(r, PORT_TUNNEL), come(r, PORT_TUNNEL), come(r, PORT_TUNNEL)};

	use_tokens(r);
	say_frame(r, fd[0], REGISTER, "{\"tunnel_type\":\"http\",\"token\":\"sekrit\"}");
	assert_string_equal(hear(fd[0], 6, rest),
			    NO("authentication_failed", "Invalid authentication token\"}"));
	say_frame(r, fd[1], REGISTER, "{\"tunnel_type\":\"http\",\"custom_subdomain\":\"one\"}");
	assert_string_equal(hear(fd[1], 6, rest),
			    NO("authentication_failed", "Invalid authentication token\"}"));
	say_frame(r, fd[2], REGISTER,
		  "{\"tunnel_type\":\"http\",\"custom_subdomain\":\"one\"," ANNA "}");
	assert_non_null(strstr(hear(fd[2], 2, rest), "\"subdomain\":\"one\""));
	for (int i = 0; i < 3; i++)
		close(fd[i]);
}

/*
 * The more wrong ones there were the later comes the answer. Then nothing of its address is let in;
 * on a port where others come, too, it is refused for now, not for good.
 */
static void test_guesses(void **state)
{
	struct rig *r = *state;
	char rest[12];
	int fd;

	use_tokens(r);
	for (int i = 0; i < 3; i++) {
		fd = come(r, PORT_TUNNEL);
		say_frame(r, fd, REGISTER, "{\"tunnel_type\":\"http\",\"token\":\"wrong\"}");
		turns_for(r->worker.loop, i * LIMIT_WRONG_MS + 50);
		assert_non_null(strstr(hear(fd, 6, rest), "authentication_failed"));
		close(fd);
	}
	fd = come(r, PORT_TUNNEL);
	assert_true(gone(fd));
	close(fd);
	fd = come(r, PORT_HTTPS);
	say_frame(r, fd, REGISTER, "{\"tunnel_type\":\"http\"," ANNA "}");
	assert_string_equal(hear(fd, 6, rest), REFUSED("rate limit exceeded, try again later\"}"));
	close(fd);
}

/* ---- DataConnect ---- */

static void test_data_connect(void **state)
{
	struct rig *r = *state;
	char rest[12], id[33] = "", ask[256];
	int primary = come(r, PORT_TUNNEL), fd[5];
	static const char *const answers[] = {
		"{\"accepted\":true,\"connection_id\":\"data-1\",\"message\":\"Data connection "
		"accepted\"}",
		"{\"accepted\":false,\"connection_id\":\"\",\"message\":\"authentication_failed: "
		"Invalid authentication token\"}",
		"{\"accepted\":false,\"connection_id\":\"\",\"message\":\"join_failed: Tunnel not "
		"found\"}",
		"{\"accepted\":false,\"connection_id\":\"\",\"message\":\"invalid_request: Failed to "
		"parse data connect request\"}",
	};

	say_frame(r, primary, REGISTER,
		  "{\"tunnel_type\":\"http\",\"token\":\"t\",\"custom_subdomain\":\"one\"" POOL
		  "}");
	assert_int_equal(sscanf(strstr(hear(primary, 2, rest), "\"tunnel_id\""),
				"\"tunnel_id\":\"%32[0-9a-f]\"", id),
			 1);
	for (int i = 0; i < 4; i++) {
		fd[i] = come(r, PORT_TUNNEL);
		snprintf(ask, sizeof(ask),
			 "{\"tunnel_id\":\"%s\",\"token\":\"%s\",\"connection_id\":%s}",
			 i == 2 ? "f00" : id, i == 1 ? "u" : "t", i == 3 ? "1" : "\"data-1\"");
		say_frame(r, fd[i], DATA_CONNECT, ask);
		assert_string_equal(hear(fd[i], 8, rest), answers[i]);
		assert_int_equal(gone(fd[i]), i != 0);
	}
	/* With the primary one all go. */
	close(primary);
	pass(r);
	assert_int_equal(idmap_count(r->worker.clients), 0);
	pass(r);
	while (!gone(fd[0]))
		assert_true(read(fd[0], ask, sizeof(ask)) > 0);
	for (int i = 0; i < 4; i++)
		close(fd[i]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_rules),
		TEST(test_first_bytes),
		TEST(test_strangers),
		TEST(test_web),
		TEST(test_websocket),
		TEST(test_registers),
		TEST(test_reserved),
		TEST(test_random),
		TEST(test_tcp),
		TEST(test_without_https),
		TEST(test_tokens),
		TEST(test_guesses),
		TEST(test_data_connect),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
