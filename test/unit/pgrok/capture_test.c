/* The capture: what is read out of a connection's bytes, however they are cut, and what is kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include <cmocka.h>

#include "pgrok/capture/capture.h"

#define SEGMENTS 12
#define OWED 64 /* requests without an answer that are followed */

/* One word of a dialogue: 'c' the visitor, 's' the local service, 'e' the service's end. */
struct segment {
	char who;
	const char *text;
	size_t len;
};

#define C(text)                             \
	{                                   \
		'c', text, sizeof(text) - 1 \
	}
#define S(text)                             \
	{                                   \
		's', text, sizeof(text) - 1 \
	}
#define END                \
	{                  \
		'e', "", 0 \
	}

struct play {
	struct capture *store;
	struct capture_conn *conn;
	struct capture_watch watch;
	unsigned count[CAPTURE_EV_CLEARED + 1];
	char out[8192];
};

static void on_event(void *arg, enum capture_event ev, const struct capture_txn *t,
		     const struct capture_frame *f)
{
	struct play *p = arg;

	p->count[ev]++;
	assert_true((ev == CAPTURE_EV_CLEARED) == (t == NULL));
	assert_true((ev == CAPTURE_EV_FRAME) == (f != NULL));
	if (t)
		assert_ptr_equal(capture_find(p->store, t->id), t);
}

static void begin_conn(struct play *p)
{
	p->conn = capture_conn_new(p->store,
				   &(struct capture_conn_info){.name = "web",
							       .url = "http://web.example",
							       .local = "127.0.0.1:80",
							       .visitor = "203.0.113.9:1234",
							       .proto = PROTO_HTTP});
	capture_conn_connected(p->conn);
}

static void begin(struct play *p, uint64_t max_body, uint64_t max_total)
{
	*p = (struct play){0};
	p->store = capture_new(&(struct capture_limits){max_body, max_total});
	p->watch.fn = on_event;
	p->watch.arg = p;
	capture_watch(p->store, &p->watch);
	begin_conn(p);
}

static void end(struct play *p)
{
	capture_conn_close(p->conn, NULL);
	capture_free(p->store); /* asserts that it counted all its memory */
}

/* Each call gets memory of its own, so that a sanitizer sees a read past the end. */
static void say(struct play *p, char who, const char *text, size_t len)
{
	char *copy = malloc(len ? len : 1);

	assert_non_null(copy);
	memcpy(copy, text, len);
	if (who == 'e')
		capture_conn_eof(p->conn, SIDE_SERVICE);
	else
		capture_conn_bytes(p->conn, who == 'c' ? SIDE_VISITOR : SIDE_SERVICE, copy, len);
	free(copy);
}

static void put(struct play *p, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void put(struct play *p, const char *fmt, ...)
{
	size_t used = strlen(p->out);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(p->out + used, sizeof(p->out) - used, fmt, ap);
	va_end(ap);
}

static void put_bytes(struct play *p, const char *text, size_t len)
{
	put(p, "\"");
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c == '\r' || c == '\n' || c < ' ' || c >= 0x7f)
			put(p, c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\x%02x", c);
		else
			put(p, "%c", c);
	}
	put(p, "\"");
}

static void put_blob(struct play *p, const struct blob *b)
{
	char *text = blob_text(b);

	put_bytes(p, text, b->len);
	free(text);
}

static void put_body(struct play *p, const char *name, const struct capture_body *b,
		     const struct capture_head *trailers)
{
	if (!b->size && b->complete && !trailers->text)
		return;
	put(p, " %s=%llu", name, (unsigned long long)b->size);
	put_blob(p, &b->blob);
	if (!b->complete)
		put(p, "...");
	if (trailers->text)
		put_bytes(p, trailers->text, trailers->len);
}

static void put_frame(struct play *p, const struct capture_frame *f)
{
	static const char *const names[] = {"text",  "binary", "ping",    "pong",
					    "close", "event",  "comment", "error"};

	put(p, " [%llu %c %s", (unsigned long long)f->n, f->from_client ? '>' : '<',
	    names[f->type]);
	if (f->fragments > 1)
		put(p, " of %u", f->fragments);
	if (f->code)
		put(p, " %u", f->code);
	if (f->event)
		put(p, " event=%s", f->event);
	if (f->last_id)
		put(p, " id=%s", f->last_id);
	if (f->retry_ms)
		put(p, " retry=%llu", (unsigned long long)f->retry_ms);
	if (f->encoded)
		put(p, " encoded");
	put(p, " ");
	if (f->type != CAPTURE_FRAME_ERROR)
		put(p, "%llu", (unsigned long long)f->size);
	put_blob(p, &f->blob);
	put(p, "%s]", f->complete ? "" : "...");
}

static void put_txn(struct play *p, const struct capture_txn *t)
{
	static const char *const kinds[] = {"", " websocket", " sse"};
	static const char *const states[] = {"open", "done", "failed"};

	put(p, "%.*s %.*s %d%s %s", (int)t->method.len, t->req_head.text + t->method.off,
	    (int)t->target.len, t->req_head.text + t->target.off, t->status, kinds[t->kind],
	    states[t->state]);
	put_body(p, "req", &t->req, &t->req_trailers);
	put_body(p, "resp", &t->resp, &t->resp_trailers);
	for (unsigned i = 0; i < t->interim_n; i++)
		put(p, " (%.*s)", 12, t->interim[i].head.text);
	for (const struct capture_frame *f = t->frames; f; f = f->next)
		put_frame(p, f);
	if (t->error)
		put(p, " (%s)", t->error);
	put(p, "\n");
}

static const char *render(struct play *p)
{
	struct capture_stats stats;

	*p->out = '\0';
	for (const struct capture_txn *t = capture_oldest(p->store); t; t = t->next)
		put_txn(p, t);
	capture_stats(p->store, &stats);
	if (stats.unfollowed)
		put(p, "unfollowed\n");
	return p->out;
}

/* The dialogue, segment `which` cut at `at` (-1: every one into single bytes). */
static void play(const struct segment *script, int which, long at, char *out, size_t cap)
{
	struct play p;

	begin(&p, 4000, 1 << 20);
	for (int i = 0; script[i].who; i++) {
		const struct segment *s = &script[i];
		size_t len = s->len;

		if (at < 0) {
			for (size_t k = 0; k < len; k++)
				say(&p, s->who, s->text + k, 1);
			if (s->who == 'e')
				say(&p, 'e', "", 0);
		} else if (i == which) {
			say(&p, s->who, s->text, (size_t)at);
			say(&p, s->who, s->text + at, len - (size_t)at);
		} else {
			say(&p, s->who, s->text, len);
		}
	}
	snprintf(out, cap, "%s", render(&p));
	end(&p);
}

static void every_split(const struct segment *script, const char *want)
{
	char out[8192];

	play(script, -1, 0, out, sizeof(out));
	assert_string_equal(out, want);
	play(script, -1, -1, out, sizeof(out));
	assert_string_equal(out, want);
	for (int i = 0; script[i].who; i++) {
		for (size_t at = 1; at < script[i].len; at++) {
			play(script, i, (long)at, out, sizeof(out));
			assert_string_equal(out, want);
		}
	}
}

#define GET "GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
#define OK5 "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
#define UPGRADE                                                  \
	"GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\n" \
	"Upgrade: WebSocket\r\nSec-WebSocket-Key: x\r\n\r\n"
#define SWITCH                                                       \
	"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n" \
	"Connection: Upgrade\r\n\r\n"
#define EVENTS "HTTP/1.1 200 OK\r\nContent-Type: Text/Event-Stream; charset=utf-8\r\n\r\n"

static const struct {
	struct segment script[SEGMENTS];
	const char *want;
} good[] = {
	{{C(GET), S(OK5)}, "GET /a 200 done resp=5\"hello\"\n"},
	{{C(GET)}, "GET /a 0 open resp=0\"\"...\n"},
	{{C(GET), S("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe")},
	 "GET /a 200 open resp=2\"he\"...\n"},
	/* keep-alive, empty lines between */
	{{C(GET), S(OK5), C("\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n"), S(OK5)},
	 "GET /a 200 done resp=5\"hello\"\nGET /b 200 done resp=5\"hello\"\n"},
	/* pipelined */
	{{C(GET "POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc" GET),
	  S(OK5 "HTTP/1.1 404 Nope\r\nContent-Length: 0\r\n\r\n"), S(OK5)},
	 "GET /a 200 done resp=5\"hello\"\nPOST /b 404 done req=3\"abc\"\n"
	 "GET /a 200 done resp=5\"hello\"\n"},
	/* 1xx */
	{{C("PUT /c HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"),
	  S("HTTP/1.1 100 Continue\r\n\r\n"), C("hi"),
	  S("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" OK5)},
	 "PUT /c 200 done req=2\"hi\" resp=5\"hello\" (HTTP/1.1 100) (HTTP/1.1 103)\n"},
	/* answers without a body */
	{{C("HEAD /h HTTP/1.1\r\nHost: h\r\n\r\n" GET GET),
	  S("HTTP/1.1 200 OK\r\nContent-Length: 54\r\n\r\n"
	    "HTTP/1.1 204 No Content\r\n\r\n"
	    "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n")},
	 "HEAD /h 200 done\nGET /a 204 done\nGET /a 304 done\n"},
	/* chunked both ways, trailers */
	{{C("POST /k HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
	    "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-Sum: 1\r\nX-More: 2\r\n\r\n"),
	  S("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")},
	 "POST /k 200 done req=5\"abcde\"\"X-Sum: 1\\r\\nX-More: 2\\r\\n\" resp=5\"hello\"\n"},
	{{C(GET GET), S("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
	  S("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nT: u\r\n\r\n")},
	 "GET /a 200 done\nGET /a 200 done resp=1\"x\"\"T: u\\r\\n\"\n"},
	/* to the end of the connection */
	{{C(GET), S("HTTP/1.0 200 OK\r\n\r\nall of it"), END},
	 "GET /a 200 done resp=9\"all of it\"\n"},
	{{C(GET), S("HTTP/1.0 200 OK\n\nnot all")}, "GET /a 200 open resp=7\"not all\"...\n"},
	/* the answer is faster than the request */
	{{C("POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nab"),
	  S("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n"), C("cd" GET), S(OK5)},
	 "POST /p 413 done req=4\"abcd\"\nGET /a 200 done resp=5\"hello\"\n"},
	/* an upgrade that is not to be, with the next request behind it */
	{{C(UPGRADE GET), S("HTTP/1.1 426 No\r\nContent-Length: 0\r\n\r\n" OK5)},
	 "GET /ws 426 done\nGET /a 200 done resp=5\"hello\"\n"},
	/* WebSocket: masked and not, in pieces with a ping between, early frames */
	{{C(UPGRADE "\x81\x82\1\2\3\4ik"), S(SWITCH "\x81\x05hello"),
	  S("\x01\x03one\x89\x01p\x80\x03two"), C("\x8a\x81\1\1\1\1q\x82\x80zzzz"),
	  S("\x88\x05\x03\xe8"
	    "bye")},
	 "GET /ws 101 websocket open resp=0\"\"... [1 > text 2\"hi\"] [2 < text 5\"hello\"]"
	 " [3 < text of 2 6\"onetwo\"] [4 < ping 1\"p\"] [5 > pong 1\"p\"] [6 > binary 0\"\"]"
	 " [7 < close 1000 3\"bye\"]\n"},
	{{C(UPGRADE), S(SWITCH "\x82\x7e\x00\x03"
			       "abc\x82\x7f\0\0\0\0\0\0\0\2de")},
	 "GET /ws 101 websocket open resp=0\"\"... [1 < binary 3\"abc\"] [2 < binary 2\"de\"]\n"},
	/* server-sent events */
	{{C(GET),
	  S(EVENTS "\xef\xbb\xbf: hi\ndata: one\n\nevent: tick\r\nid: 7\r\ndata:two\r\ndata: three"
		   "\r\nretry: 250\r\n\r\nother: x\n\n\ndata\r\rdata: half")},
	 "GET /a 200 sse open resp=103\"\\xef\\xbb\\xbf: hi\\ndata: one\\n\\nevent: tick\\r\\nid: 7\\r\\n"
	 "data:two\\r\\ndata: three\\r\\nretry: 250\\r\\n\\r\\nother: x\\n\\n\\ndata\\r\\rdata: half\"..."
	 " [1 < comment 2\"hi\"] [2 < event 3\"one\"] [3 < event event=tick id=7 retry=250"
	 " 9\"two\\nthree\"] [4 < event 0\"\"]\n"},
};

static const struct {
	struct segment script[SEGMENTS];
	const char *want;
} bad[] = {
	{{C("SSH-2.0-OpenSSH_9.2\r\n")}, "unfollowed\n"},
	{{C("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")}, "unfollowed\n"},
	{{C("\x16\x03\x01\x02garbage")}, "unfollowed\n"},
	{{C("CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n")}, "unfollowed\n"},
	{{S("220 smtp ready\r\n")}, "unfollowed\n"},
	{{S(OK5)}, "unfollowed\n"},
	{{C(GET), S("nonsense for a head"), S(OK5), C(GET)},
	 "GET /a 0 failed resp=0\"\"... (not HTTP/1)\nunfollowed\n"},
	{{C(GET), S(OK5 OK5)}, "GET /a 200 done resp=5\"hello\"\nunfollowed\n"},
	{{C(GET), S(SWITCH)},
	 "GET /a 0 failed resp=0\"\"... (101 without a request to upgrade)\nunfollowed\n"},
	/* something else than WebSocket: done, and no more */
	{{C("GET /a HTTP/1.1\r\nHost: h\r\nUpgrade: h2c\r\n\r\n"),
	  S("HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n\0\0\0")},
	 "GET /a 101 done resp=0\"\"...\nunfollowed\n"},
	{{C("POST /k HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n")},
	 "POST /k 0 failed req=0\"\"... resp=0\"\"... (broken chunk)\nunfollowed\n"},
	/* frames that are none */
	{{C(UPGRADE), S(SWITCH "\x83\x01x\x81\x01y")},
	 "GET /ws 101 websocket done resp=0\"\"... [1 < error \"unknown kind of frame\"]\nunfollowed\n"},
	{{C(UPGRADE), S(SWITCH "\xc1\x01x")},
	 "GET /ws 101 websocket done resp=0\"\"... [1 < error \"compressed, which was not agreed on\"]\nunfollowed\n"},
	{{C(UPGRADE), S(SWITCH "\x80\x01x")},
	 "GET /ws 101 websocket done resp=0\"\"... [1 < error \"continues no message\"]\nunfollowed\n"},
	{{C(UPGRADE), S(SWITCH "\x01\x01x\x01\x01x")},
	 "GET /ws 101 websocket done resp=0\"\"... [1 < text 1\"x\"]"
	 " [2 < error \"a message before the last one's end\"]\nunfollowed\n"},
	{{C(UPGRADE), S(SWITCH "\x09\x00")},
	 "GET /ws 101 websocket done resp=0\"\"... [1 < error \"control frame too long or in pieces\"]\nunfollowed\n"},
};

static void test_good(void **state)
{
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		every_split(good[i].script, good[i].want);
}

static void test_bad(void **state)
{
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		every_split(bad[i].script, bad[i].want);
}

static void text(struct play *p, char who, const char *what)
{
	say(p, who, what, strlen(what));
}

/* A connection's end: what had no end of its own fails, streams are done. */
static void test_close(void **state)
{
	static const struct {
		struct segment script[SEGMENTS];
		const char *error, *want;
	} table[] = {
		{{C(GET)},
		 NULL,
		 "GET /a 0 failed resp=0\"\"... (ended before the answer was complete)\n"},
		{{C(GET), S("HTTP/1.1 200 OK\r\n\r\nab")},
		 "cut",
		 "GET /a 200 failed resp=2\"ab\"... (cut)\n"},
		{{C(UPGRADE), S(SWITCH)}, "cut", "GET /ws 101 websocket done resp=0\"\"...\n"},
		{{C(GET), S(EVENTS "data: x\n")},
		 NULL,
		 "GET /a 200 sse done resp=8\"data: x\\n\"... [1 < event 1\"x\"]\n"},
		{{C("POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nab"), S(OK5)},
		 NULL,
		 "POST /p 200 done req=2\"ab\"... resp=5\"hello\"\n"},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct play p;

		begin(&p, 1000, 1 << 20);
		for (const struct segment *s = table[i].script; s->who; s++)
			say(&p, s->who, s->text, s->len);
		capture_conn_close(p.conn, table[i].error);
		p.conn = NULL;
		assert_string_equal(render(&p), table[i].want);
		assert_int_equal(p.count[CAPTURE_EV_FINISHED], 1);
		end(&p);
	}
}

static void test_events(void **state)
{
	struct play p;

	begin(&p, 1000, 1 << 20);
	text(&p, 'c', GET);
	assert_int_equal(p.count[CAPTURE_EV_BEGUN], 1);
	text(&p, 's', "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
	assert_int_equal(p.count[CAPTURE_EV_HEAD], 1);
	text(&p, 's', "he");
	assert_int_equal(p.count[CAPTURE_EV_GREW], 1);
	assert_int_equal(p.count[CAPTURE_EV_FINISHED], 0);
	text(&p, 's', "llo");
	assert_int_equal(p.count[CAPTURE_EV_FINISHED], 1);
	capture_clear(p.store, false);
	assert_int_equal(p.count[CAPTURE_EV_CLEARED], 1);
	assert_int_equal(p.count[CAPTURE_EV_EVICTED], 0);
	end(&p);
}

static void test_timing(void **state)
{
	struct play p;
	const struct capture_txn *t;

	begin(&p, 1000, 1 << 20);
	text(&p, 'c', GET);
	t = capture_newest(p.store);
	assert_true(t->connect_ns >= 0 && t->sent_ns >= t->connect_ns);
	assert_int_equal(t->first_ns, -1);
	text(&p, 's', OK5);
	assert_true(t->first_ns >= t->sent_ns && t->last_ns >= t->first_ns);
	assert_int_equal(capture_duration_ns(t), t->last_ns);
	text(&p, 'c', GET);
	t = capture_newest(p.store);
	assert_int_equal(t->connect_ns, 0); /* it was connected already */
	assert_true(t->start_us > 1600000000000000);
	end(&p);
}

/* ---- bounds ---- */

static void ask(struct play *p, size_t body)
{
	char head[128], *data = calloc(1, body + 1);

	assert_non_null(data);
	snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", body);
	text(p, 'c', GET);
	text(p, 's', head);
	if (body)
		say(p, 's', data, body);
	free(data);
}

static size_t memory(const struct play *p)
{
	struct capture_stats stats;

	capture_stats(p->store, &stats);
	return stats.memory;
}

static void test_max_body(void **state)
{
	struct play p;
	const struct capture_txn *t;

	begin(&p, 1000, 1 << 20);
	text(&p, 'c', GET);
	text(&p, 's', "HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n");
	for (int i = 0; i < 5000; i++) {
		char piece[1000];

		memset(piece, 'a' + i % 26, sizeof(piece));
		say(&p, 's', piece, sizeof(piece));
	}
	t = capture_newest(p.store);
	assert_int_equal(t->state, CAPTURE_DONE);
	assert_int_equal(t->resp.size, 5000000);
	assert_int_equal(t->resp.blob.len, 1000);
	assert_true(memory(&p) < 4000);
	end(&p);
}

static void test_oldest_go(void **state)
{
	struct play p;
	char first[CAPTURE_ID], pinned[CAPTURE_ID];
	struct capture_stats stats;
	bool yes = true, no = false;

	begin(&p, 10000, 100000);
	ask(&p, 5000);
	memcpy(first, capture_newest(p.store)->id, CAPTURE_ID);
	ask(&p, 5000);
	memcpy(pinned, capture_newest(p.store)->id, CAPTURE_ID);
	assert_true(capture_annotate(p.store, pinned, &yes, "red", "look"));
	for (int i = 0; i < 1000; i++) {
		ask(&p, 5000);
		assert_true(memory(&p) <= 100000);
	}
	assert_null(capture_find(p.store, first));
	assert_non_null(capture_find(p.store, pinned));
	capture_stats(p.store, &stats);
	assert_true(stats.entries > 10);
	assert_int_equal(stats.evicted + stats.entries, stats.begun);
	assert_int_equal(stats.evicted, p.count[CAPTURE_EV_EVICTED]);
	assert_int_equal(stats.pinned, 1);
	/* Not pinned any more, it is the next to go. */
	assert_true(capture_annotate(p.store, pinned, &no, NULL, NULL));
	ask(&p, 9000);
	assert_null(capture_find(p.store, pinned));
	assert_false(capture_annotate(p.store, pinned, &no, NULL, NULL));
	end(&p);
}

/* With everything pinned what is new is not kept, and nothing breaks. */
static void test_all_pinned(void **state)
{
	struct play p;
	struct capture_stats stats;
	bool yes = true;

	begin(&p, 10000, 20000);
	for (int i = 0; i < 20; i++) {
		ask(&p, 3000);
		assert_true(
			capture_annotate(p.store, capture_newest(p.store)->id, &yes, NULL, NULL));
		assert_true(memory(&p) <= 20000);
	}
	capture_stats(p.store, &stats);
	assert_int_equal(stats.evicted, 0);
	assert_true(stats.lost > 0);
	assert_true(stats.unfollowed == 0);
	capture_clear(p.store, true);
	capture_stats(p.store, &stats);
	assert_true(stats.entries == stats.pinned);
	capture_clear(p.store, false);
	assert_null(capture_newest(p.store));
	/* And there is room again. */
	ask(&p, 3000);
	assert_non_null(capture_newest(p.store));
	end(&p);
}

/* A piece for which there was no room is a gap: what comes behind it is not kept either. */
static void test_gap_in_a_body(void **state)
{
	static char big[20000];
	struct play p;
	const struct capture_txn *t;

	begin(&p, 60000, sizeof(big));
	text(&p, 'c', GET);
	text(&p, 's', "HTTP/1.1 200 OK\r\nContent-Length: 20010\r\n\r\nhello");
	say(&p, 's', big, sizeof(big));
	text(&p, 's', "again");
	t = capture_newest(p.store);
	assert_int_equal(t->resp.size, 5 + sizeof(big) + 5);
	assert_true(t->resp.complete);
	assert_int_equal(t->resp.blob.len, 5);
	end(&p);
}

/* So many requests may wait for their answers; with one more the connection is let go. */
static void test_owed(void **state)
{
	struct capture_stats stats;
	struct play p;

	begin(&p, 1000, 1 << 20);
	for (int i = 0; i < OWED; i++)
		text(&p, 'c', GET);
	assert_true(capture_conn_followed(p.conn));
	text(&p, 's', OK5);
	text(&p, 'c', GET);
	assert_true(capture_conn_followed(p.conn));
	assert_int_equal(p.count[CAPTURE_EV_BEGUN], OWED + 1);
	text(&p, 'c', GET);
	assert_false(capture_conn_followed(p.conn));
	assert_int_equal(p.count[CAPTURE_EV_BEGUN], OWED + 1);
	assert_int_equal(p.count[CAPTURE_EV_FINISHED], OWED + 1);
	capture_stats(p.store, &stats);
	assert_true(stats.unfollowed == 1);
	end(&p);
}

/* An open one is given up while its bytes come: they are followed, but not kept. */
static void test_deleted_open(void **state)
{
	struct play p;

	begin(&p, 1000, 1 << 20);
	text(&p, 'c', GET GET);
	assert_true(capture_delete(p.store, capture_oldest(p.store)->id));
	text(&p, 's', OK5 OK5);
	assert_string_equal(render(&p), "GET /a 200 done resp=5\"hello\"\n");
	capture_clear(p.store, false);
	text(&p, 'c', UPGRADE);
	text(&p, 's', SWITCH "\x81\x01x");
	capture_clear(p.store, false);
	text(&p, 's', "\x81\x01x");
	assert_false(capture_conn_followed(p.conn));
	end(&p);
}

static void test_frames_bound(void **state)
{
	struct play p;
	const struct capture_txn *t;

	begin(&p, 10000, 1 << 20);
	text(&p, 'c', UPGRADE);
	text(&p, 's', SWITCH);
	for (int i = 0; i < 1000; i++)
		text(&p, 's',
		     "\x81\x14"
		     "twenty bytes of text");
	t = capture_newest(p.store);
	assert_int_equal(t->frames_n, 1000);
	assert_int_equal(t->frames_last->n, 1000);
	assert_int_equal(t->frames->n, t->frames_dropped + 1);
	assert_true(t->frames_dropped > 900 && t->frames_dropped < 990);
	assert_true(t->memory < 13000);
	assert_int_equal(p.count[CAPTURE_EV_FRAME], 1000);
	end(&p);
}

/* ---- permessage-deflate ---- */

/* A frame of text, compressed as RFC 7692 has it; z NULL: a window of its own. */
static void say_deflated(struct play *p, z_stream *z, char who, const char *what, size_t len)
{
	z_stream own = {0};
	unsigned char out[70000] = {0xc1};
	unsigned char *data = out + (who == 'c' ? 8 : 4);
	size_t n;

	if (!z) {
		assert_int_equal(deflateInit2(&own, 9, Z_DEFLATED, -15, 9, Z_DEFAULT_STRATEGY),
				 Z_OK);
		z = &own;
	}
	z->next_in = (Bytef *)(uintptr_t)what;
	z->avail_in = (uInt)len;
	z->next_out = data;
	z->avail_out = (uInt)(sizeof(out) - 8);
	assert_int_equal(deflate(z, Z_SYNC_FLUSH), Z_OK);
	n = sizeof(out) - 8 - z->avail_out - 4;                  /* without 00 00 ff ff */
	out[1] = (unsigned char)(126 | (who == 'c' ? 0x80 : 0)); /* with a mask of zeros */
	out[2] = (unsigned char)(n >> 8);
	out[3] = (unsigned char)n;
	say(p, who, (char *)out, (size_t)(data - out) + n);
	if (z == &own)
		deflateEnd(&own);
}

#define SWITCH_DEFLATE(params)                                       \
	"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n" \
	"Sec-WebSocket-Extensions: permessage-deflate" params "\r\n\r\n"

static void test_deflate(void **state)
{
	struct play p;
	z_stream z[2] = {0};

	for (int i = 0; i < 2; i++)
		assert_int_equal(deflateInit2(&z[i], 9, Z_DEFLATED, -15, 9, Z_DEFAULT_STRATEGY),
				 Z_OK);
	begin(&p, 10000, 1 << 20);
	text(&p, 'c', UPGRADE);
	text(&p, 's', SWITCH_DEFLATE(""));
	for (int i = 0; i < 3; i++) {
		say_deflated(&p, &z[0], 's', "the same words again", 20);
		say_deflated(&p, &z[1], 'c', "other words", 11);
	}
	text(&p, 's', "\x81\x05plain");
	assert_string_equal(render(&p),
			    "GET /ws 101 websocket open resp=0\"\"..."
			    " [1 < text 20\"the same words again\"] [2 > text 11\"other words\"]"
			    " [3 < text 20\"the same words again\"] [4 > text 11\"other words\"]"
			    " [5 < text 20\"the same words again\"] [6 > text 11\"other words\"]"
			    " [7 < text 5\"plain\"]\n");
	end(&p);
	deflateEnd(&z[0]);
	deflateEnd(&z[1]);
}

static void test_deflate_fresh(void **state)
{
	struct play p;

	begin(&p, 10000, 1 << 20);
	text(&p, 'c', UPGRADE);
	text(&p, 's', SWITCH_DEFLATE("; server_no_context_takeover; client_max_window_bits=15"));
	say_deflated(&p, NULL, 's', "one", 3);
	text(&p, 's', "\xc1\x02\x07\xff"); /* no block of that kind */
	say_deflated(&p, NULL, 's', "two", 3);
	assert_string_equal(
		render(&p),
		"GET /ws 101 websocket open resp=0\"\"..."
		" [1 < text 3\"one\"] [2 < text encoded 2\"\\x07\\xff\"] [3 < text 3\"two\"]\n");
	end(&p);
}

/* Little that becomes a lot: what is kept and what is done are bounded. */
static void test_deflate_bomb(void **state)
{
	struct play p;
	size_t len = 40u << 20;
	char *zeros = calloc(1, len);
	const struct capture_txn *t;

	assert_non_null(zeros);
	begin(&p, 10000, 1 << 20);
	text(&p, 'c', UPGRADE);
	text(&p, 's', SWITCH_DEFLATE(""));
	say_deflated(&p, NULL, 's', zeros, len);
	say_deflated(&p, NULL, 's', "after", 5);
	t = capture_newest(p.store);
	assert_true(t->frames->blob.len <= 10000 && t->frames->size > t->frames->blob.len);
	assert_true(t->frames->size < 5u << 20);
	assert_true(t->frames_last->encoded);
	assert_true(memory(&p) < 20000); /* the window was given back */
	end(&p);
	free(zeros);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),          cmocka_unit_test(test_bad),
		cmocka_unit_test(test_close),         cmocka_unit_test(test_events),
		cmocka_unit_test(test_timing),        cmocka_unit_test(test_max_body),
		cmocka_unit_test(test_oldest_go),     cmocka_unit_test(test_all_pinned),
		cmocka_unit_test(test_gap_in_a_body), cmocka_unit_test(test_owed),
		cmocka_unit_test(test_deleted_open),  cmocka_unit_test(test_frames_bound),
		cmocka_unit_test(test_deflate),       cmocka_unit_test(test_deflate_fresh),
		cmocka_unit_test(test_deflate_bomb),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
