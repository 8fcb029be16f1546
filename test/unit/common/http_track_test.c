/* Dialogues through the tracker: what passes, what is said; each with every split of its bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/http/track.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

struct text {
	const char *p;
	size_t len;
};

struct step {
	char who; /* visitor, backend, release of a held visitor, FIN or end of one; 0: no more */
	struct text bytes, pass;
	enum judge verdict;
};

#define T(literal)                           \
	{                                    \
		literal, sizeof(literal) - 1 \
	}
/* The visitor or the backend sends; what of it passes, and the verdict. */
#define V(bytes, pass, verdict)                         \
	{                                               \
		'v', T(bytes), T(pass), JUDGE_##verdict \
	}
#define B(bytes, pass, verdict)                         \
	{                                               \
		'b', T(bytes), T(pass), JUDGE_##verdict \
	}
/* All of it passes. */
#define VV(bytes) V(bytes, bytes, PASS)
#define BB(bytes) B(bytes, bytes, PASS)
/* What was held is judged again; must stand exactly where t->resume is expected. */
#define R(pass, verdict)                             \
	{                                            \
		'r', T(""), T(pass), JUDGE_##verdict \
	}
/* The visitor ends, and what was held is judged a last time. */
#define FIN_V(pass)                             \
	{                                       \
		'f', T(""), T(pass), JUDGE_PASS \
	}
#define EOF_B                                 \
	{                                     \
		'e', T(""), T(""), JUDGE_PASS \
	}

enum flags {
	REST = 1,       /* at rest in the end */
	OWES = 2,       /* answers owed */
	RAW = 4,        /* upgraded */
	UNFOLLOWED = 8, /* lost track of the answers */
	OPEN = 16,      /* not guarded */
	BODILESS = 32,  /* the page has no body */
};

struct dialogue {
	const char *name;
	struct step steps[10];
	int refused; /* 0: nothing refused, or no page; -1: stopped without a page */
	int flags;
	int asked; /* heads that allow() saw */
};

#define GET "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#define HEAD "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"
#define EVIL "GET / HTTP/1.1\r\nHost: b\r\n\r\n"
#define OTHER "GET / HTTP/1.1\r\nHost: c\r\n\r\n" /* for another backend */
#define HEAD_B "HEAD / HTTP/1.1\r\nHost: b\r\n\r\n"
#define POST5 "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"
#define CHUNKED "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
#define UPGRADE "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n"
#define H2C                                                                                    \
	"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n" \
	"HTTP2-Settings: AAMAAABk\r\n\r\n"
#define SOURCE "SOURCE /live HTTP/1.0\r\nHost: a\r\n\r\n"
#define ATTACH "POST /attach HTTP/1.1\r\nHost: a\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n"
#define OK0 "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
#define OK5 "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
#define OK5_HEAD "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
#define OKEOF "HTTP/1.1 200 OK\r\n\r\n"
#define OKCH "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
#define R100 "HTTP/1.1 100 Continue\r\n\r\n"
#define R101 "HTTP/1.1 101 Switching Protocols\r\n\r\n"
#define R204 "HTTP/1.1 204 No Content\r\n\r\n"
#define R304 "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"

static const struct dialogue dialogues[] = {
	/* what must work */
	{"one request", {VV(GET), BB(OK5)}, 0, REST, 1},
	{"answer owed", {VV(GET)}, 0, OWES, 1},
	{"answer begun", {VV(GET), BB(OK5_HEAD "he")}, 0, OWES, 1},
	{"head begun", {V("GET / HT", "", PASS)}, 0, 0, 0},
	{"head in two",
	 {V("GET / HT", "", PASS), V("TP/1.1\r\nHost: a\r\n\r\n", GET, PASS)},
	 0,
	 OWES,
	 1},
	{"body under way", {VV(POST5 "hel"), BB(OK0)}, 0, 0, 1},
	{"keep-alive",
	 {VV(GET), BB(OK5), VV(GET), BB(OK0), VV(POST5 "hello"), BB(OK5)},
	 0,
	 REST,
	 3},
	{"pipelined", {VV(GET POST5 "hello" GET), BB(OK5 OK0), BB(OK5)}, 0, REST, 3},
	{"chunked both ways",
	 {VV(CHUNKED "5\r\nhello\r\n0\r\n\r\n"), BB(OKCH "5\r\nhello\r\n0\r\n\r\n"), VV(GET),
	  BB(OK0)},
	 0,
	 REST,
	 2},
	{"empty lines", {VV("\r\n\r\n" GET), BB(OK5), VV("\r\n" GET "\r\n"), BB(OK0)}, 0, REST, 2},
	{"an empty line behind a body",
	 {VV(POST5 "hello\r\n"), BB(OK5), VV(GET), BB(OK0)},
	 0,
	 REST,
	 2},
	{"half an empty line", {VV(GET), BB(OK0), V("\r", "", PASS)}, 0, REST, 1},
	{"empty lines behind an upgrade",
	 {V(UPGRADE "\r\n" GET, UPGRADE, HOLD), BB(OK0), R("\r\n" GET, PASS)},
	 0,
	 OWES,
	 2},
	{"empty lines, then a refusal", {VV(GET), BB(OK0), V("\r\n" EVIL, "\r\n", CUT)}, 421, 0, 2},
	{"no bodies", {VV(HEAD GET GET), BB(OK5_HEAD R204 R304)}, 0, REST, 3},
	{"interim answers",
	 {VV(POST5), BB(R100), VV("hello"), BB(R100 "HTTP/1.1 103 x\r\n\r\n" OK5)},
	 0,
	 REST,
	 1},
	{"early answer", {VV(POST5 "he"), BB(OK0), VV("llo" GET), BB(OK5)}, 0, REST, 2},
	{"until EOF", {VV(GET), BB(OKEOF "some"), BB("more"), EOF_B}, 0, 0, 1},
	{"the Go client's page",
	 {VV(GET), BB("HTTP/1.0 502 Bad Gateway\nContent-Length: 2\n\nno")},
	 0,
	 REST,
	 1},
	{"chunked beats length",
	 {VV(GET), BB("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
		      "3\r\nabc\r\n0\r\n\r\n")},
	 0,
	 REST,
	 1},

	/* upgrades */
	{"upgrade", {VV(UPGRADE), BB(R101 "\x81\x01x"), VV("\x81\x01y\r\n\r\n" EVIL)}, 0, RAW, 1},
	{"upgrade behind others", {VV(GET UPGRADE), BB(OK5 R100 R101 "raw"), VV("raw")}, 0, RAW, 2},
	{"upgrade with eager bytes",
	 {V(UPGRADE EVIL, UPGRADE, HOLD), BB(R101), R(EVIL, PASS), VV("x")},
	 0,
	 RAW,
	 1},
	{"the answer before is no answer to an upgrade",
	 {V(GET UPGRADE EVIL, GET UPGRADE, HOLD), BB(OK5), BB(OK0), R("", CUT)},
	 421,
	 0,
	 3},
	{"upgrade with a body",
	 {V("POST / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nContent-Length: 5\r\n\r\nhello" EVIL,
	    "POST / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nContent-Length: 5\r\n\r\nhello", HOLD),
	  BB(R101), R(EVIL, PASS)},
	 0,
	 RAW,
	 1},
	{"upgrade refused, good behind",
	 {V(UPGRADE GET, UPGRADE, HOLD), BB(OK5_HEAD), R(GET, PASS), BB("hello" OK0)},
	 0,
	 REST,
	 2},
	{"upgrade refused, evil behind",
	 {V(UPGRADE EVIL, UPGRADE, HOLD), BB(OK5_HEAD "he"), R("", STOP), B("llo" OK0, "llo", CUT)},
	 421,
	 0,
	 2},
	{"upgrade refused without body, evil behind",
	 {V(UPGRADE EVIL, UPGRADE, HOLD), BB(R100 OK0), R("", CUT)},
	 421,
	 0,
	 2},
	{"upgrade refused, frames behind",
	 {V(UPGRADE "\x81\x01x", UPGRADE, HOLD), BB(OK0), R("", CUT)},
	 400,
	 0,
	 1},
	{"upgrade refused, upgrade again",
	 {V(UPGRADE UPGRADE "x", UPGRADE, HOLD), BB(OK0), R(UPGRADE, HOLD), BB(R101), R("x", PASS)},
	 0,
	 RAW,
	 2},
	{"an interim answer is no answer to an upgrade",
	 {V(UPGRADE EVIL, UPGRADE, HOLD), BB(R100), BB(OK0), R("", CUT)},
	 421,
	 0,
	 2},
	{"101 to a request that did not ask",
	 {VV(GET), BB(R101 "x"), V(EVIL, "", STOP), BB("y")},
	 -1,
	 UNFOLLOWED | OWES,
	 2},
	{"101 to the request before",
	 {V(GET UPGRADE EVIL, GET UPGRADE, HOLD), BB(R101 "x"), R("", STOP)},
	 -1,
	 UNFOLLOWED | OWES,
	 3},
	{"101 after the final answer",
	 {VV(UPGRADE), BB(OK0 R101), V(EVIL, "", STOP)},
	 -1,
	 UNFOLLOWED,
	 2},
	{"101 in a body",
	 {VV(UPGRADE), BB("HTTP/1.1 200 OK\r\nContent-Length: 41\r\n\r\n" R101 "hello"), VV(GET),
	  BB(OK0), V(EVIL, "", CUT)},
	 421,
	 0,
	 3},
	{"backend ends without an answer to the upgrade",
	 {V(UPGRADE EVIL, UPGRADE, HOLD), EOF_B, R("", CUT)},
	 -1,
	 0,
	 2},

	/* offers of what carries requests of its own */
	{"h2c, no thanks", {VV(H2C), BB(OK5), VV(GET), BB(OK0)}, 0, REST, 2},
	{"h2c, no thanks, frames behind",
	 {V(H2C "PRI * HTTP/2.0\r\n", H2C, HOLD), BB(OK0), R("", CUT)},
	 505,
	 0,
	 1},
	{"h2c accepted", {VV(H2C), B(R101 "x", "", CUT)}, 502, 0, 1},
	{"h2c accepted behind an answer",
	 {VV(GET H2C), B(OK5 R100 R101, OK5 R100, CUT)},
	 502,
	 0,
	 2},
	{"h2c accepted, bytes held back", {V(H2C EVIL, H2C, HOLD), B(R101, "", CUT)}, 502, 0, 1},
	{"h2c accepted, body under way",
	 {VV("POST / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nContent-Length: 9\r\n\r\nhel"),
	  B(R101, "", CUT)},
	 502,
	 0,
	 1},
	{"TLS accepted",
	 {VV("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: TLS/1.2\r\n\r\n"), B(R101, "", CUT)},
	 502,
	 0,
	 1},
	{"one of two offers accepted",
	 {VV("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket, h2c\r\n\r\n"), B(R101, "", CUT)},
	 502,
	 0,
	 1},
	{"h2c accepted where nothing is guarded",
	 {VV(H2C), BB(R101 "x"), VV("PRI * HTTP/2.0\r\n")},
	 0,
	 RAW | OPEN,
	 1},

	/* hijacked */
	{"no request", {VV(GET "\x16\x03" EVIL), BB("x"), VV(EVIL)}, 0, RAW | OPEN, 1},
	{"no request, behind empty lines", {VV(GET "\r\n{}" EVIL)}, 0, RAW | OPEN, 1},
	{"no request, behind a length of nothing",
	 {VV("PUT / HTTP/1.0\r\nHost: a\r\nContent-Length: 0\r\n\r\n<a>")},
	 0,
	 RAW | OPEN,
	 1},
	{"no request, behind an answer",
	 {VV(GET), BB(OK5), VV("exit\r\n"), BB("y")},
	 0,
	 RAW | OPEN,
	 1},
	{"no request, unfollowed",
	 {VV(GET), BB("ICY 200 OK\r\n"), VV("\xff\xfb\x90")},
	 0,
	 RAW | OPEN | UNFOLLOWED,
	 1},
	{"Icecast",
	 {VV(SOURCE), BB("HTTP/1.0 200 OK\r\n\r\n"), VV("OggS\0\x02")},
	 0,
	 RAW | OPEN,
	 1},
	{"Icecast, eager",
	 {V(SOURCE "Ogg", SOURCE, PASS), V("S\0", "OggS\0", PASS)},
	 0,
	 RAW | OPEN,
	 1},
	{"attach, key by key",
	 {VV(ATTACH), BB(OKEOF), VV("l"), BB("l"), VV("s"), BB("s"), VV("\r")},
	 0,
	 RAW | OPEN,
	 1},
	{"attach, eager", {V(ATTACH "l", ATTACH, HOLD), BB(OKEOF), R("l", PASS)}, 0, RAW | OPEN, 1},
	{"attach refused, and a request behind",
	 {V(ATTACH GET, ATTACH, HOLD), BB(OK5), R(GET, PASS), BB(OK0)},
	 0,
	 REST | OPEN,
	 2},
	{"a body that the end ends",
	 {VV(SOURCE), V("hello", "", PASS), FIN_V("hello"), BB(OK0)},
	 0,
	 RAW | OPEN,
	 1},
	{"a body that begins like a request",
	 {V(SOURCE "see /a", SOURCE, PASS), FIN_V("")},
	 0,
	 OWES | OPEN,
	 1},
	{"an end behind a request", {VV(GET), FIN_V(""), BB(OK5)}, 0, REST | OPEN, 1},
	{"an end inside a request", {V("GE", "", PASS), FIN_V("")}, 0, OPEN, 0},
	{"the other host", {VV(GET), BB(OK0), V(EVIL, "", CUT)}, 421, OPEN, 2},
	{"a request with a fault",
	 {VV(GET), BB(OK0), V("GET /a b HTTP/1.1\r\n", "", CUT)},
	 400,
	 OPEN,
	 1},
	{"a request of old", {VV(GET), BB(OK0), V("GET /\r\n", "", CUT)}, 400, OPEN, 1},
	{"a request of HTTP/2", {VV(GET), BB(OK0), V("PRI * HTTP/2.0\r\n", "", CUT)}, 505, OPEN, 1},
	{"no request, behind a body", {VV(POST5 "hello"), BB(OK0), V("{", "", CUT)}, 400, OPEN, 1},
	{"no request, behind chunks",
	 {VV(CHUNKED "0\r\n\r\n"), BB(OK0), V("{", "", CUT)},
	 400,
	 OPEN,
	 1},
	{"no request, guarded", {VV(GET), V("{", "", STOP), B(OK5, OK5, CUT)}, 400, 0, 1},
	{"until EOF, guarded", {VV(SOURCE), BB(OKEOF), V("{", "", STOP), EOF_B}, -1, 0, 1},
	{"a body that the end ends, guarded",
	 {VV(SOURCE), V("hello", "", PASS), FIN_V(""), BB(OK0)},
	 0,
	 0,
	 1},

	/* refusals */
	{"first refused", {V(EVIL, "", CUT)}, 421, 0, 1},
	{"second refused", {VV(GET), BB(OK5), V(EVIL GET, "", CUT)}, 421, 0, 2},
	{"refused while owed",
	 {V(GET EVIL GET, GET, STOP), B("HTTP/1.1 200", "", PASS),
	  B(" OK\r\nContent-Length: 5\r\n\r\nhello" OK5, OK5, CUT)},
	 421,
	 0,
	 2},
	{"refused behind two",
	 {V(GET GET EVIL, GET GET, STOP), B(OK5 OK5 OK5, OK5 OK5, CUT)},
	 421,
	 0,
	 3},
	{"refused behind HEAD",
	 {V(HEAD EVIL, HEAD, STOP), B(OK5_HEAD "hello", OK5_HEAD, CUT)},
	 421,
	 0,
	 2},
	{"a HEAD refused", {VV(GET), BB(OK5), V(HEAD_B, "", CUT)}, 421, BODILESS, 2},
	{"a HEAD with a fault",
	 {V("HEAD / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", "", CUT)},
	 400,
	 BODILESS,
	 0},
	{"no method behind a HEAD", {VV(HEAD), BB(OK5_HEAD), V("\x16", "", CUT)}, 400, 0, 1},
	{"a HEAD whose body breaks",
	 {V("HEAD / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz",
	    "HEAD / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", CUT)},
	 400,
	 BODILESS,
	 1},
	{"a HEAD whose offer is accepted",
	 {VV("HEAD / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\n\r\n"), B(R101, "", CUT)},
	 502,
	 BODILESS,
	 1},
	{"refused behind 1xx",
	 {V(GET EVIL, GET, STOP), BB(R100), B(R204 "x", R204, CUT)},
	 421,
	 0,
	 2},
	{"refused behind chunks",
	 {VV(GET), BB(OKCH "5\r\nhel"), V(EVIL, "", STOP),
	  B("lo\r\n0\r\nX: y\r\n\r\nHTTP", "lo\r\n0\r\nX: y\r\n\r\n", CUT)},
	 421,
	 0,
	 2},
	{"refused behind until-EOF",
	 {V(GET EVIL, GET, STOP), BB(OKEOF "data" OK0), EOF_B},
	 -1,
	 0,
	 2},
	{"refused, then the answer breaks",
	 {V(GET EVIL, GET, STOP), BB(OKCH "zz" OK0), BB("more")},
	 -1,
	 UNFOLLOWED | OWES,
	 2},
	{"refused, then the backend ends",
	 {V(GET EVIL, GET, STOP), BB(OK5_HEAD "he"), EOF_B},
	 -1,
	 0,
	 2},
	{"refused, cut said, then the backend ends",
	 {V(GET EVIL, GET, STOP), B(OK0, OK0, CUT), EOF_B},
	 421,
	 0,
	 2},
	{"refused after an early answer",
	 {VV(POST5 "he"), BB(OK0), V("llo" EVIL, "llo", CUT)},
	 421,
	 0,
	 2},
	{"refused while unfollowed",
	 {VV(GET), BB("SSH-2.0\r\n"), VV(GET), V(EVIL, "", STOP), BB("x")},
	 -1,
	 UNFOLLOWED | OWES,
	 3},
	{"refused after the backend's end",
	 {VV(GET), BB(OKEOF "x"), EOF_B, VV(GET), V(EVIL, "", CUT)},
	 -1,
	 0,
	 3},

	/* requests for another backend */
	{"leaves", {VV(GET), BB(OK5), V(OTHER GET, "", LEAVE)}, 0, 0, 2},
	{"leaves at once", {V(OTHER, "", LEAVE)}, 0, 0, 1},
	{"leaves when it has its answers",
	 {V(GET GET OTHER GET, GET GET, HOLD), BB(OK5), BB(OK5_HEAD "he"), BB("llo"), R("", LEAVE)},
	 0,
	 0,
	 3},
	{"leaves behind an early answer",
	 {VV(POST5 "he"), BB(OK0), V("llo" OTHER, "llo", LEAVE)},
	 0,
	 0,
	 2},
	{"leaves behind an upgrade that was not made",
	 {V(UPGRADE OTHER, UPGRADE, HOLD), BB(OK5_HEAD "he"), R("", HOLD), BB("llo"), R("", LEAVE)},
	 0,
	 0,
	 2},
	{"stays behind an upgrade",
	 {V(UPGRADE OTHER, UPGRADE, HOLD), BB(R101), R(OTHER, PASS)},
	 0,
	 RAW,
	 1},
	{"can't leave unfollowed",
	 {VV(GET), BB("junk"), V(OTHER, "", STOP)},
	 -1,
	 UNFOLLOWED | OWES,
	 2},
	{"can't leave, unfollowed since",
	 {V(GET OTHER, GET, HOLD), BB("junk"), R("", STOP)},
	 -1,
	 UNFOLLOWED | OWES,
	 2},
	{"can't leave after the backend's end",
	 {V(GET OTHER, GET, HOLD), EOF_B, R("", CUT)},
	 -1,
	 0,
	 2},

	/* answers that can't be followed */
	{"an answer nobody asked for", {BB("HTTP/1.1 408 Timeout\r\n\r\n")}, 0, UNFOLLOWED, 0},
	{"one answer too many", {VV(GET), BB(OK5 OK5), VV(GET)}, 0, UNFOLLOWED | OWES, 2},
	{"blank lines between answers", {VV(GET), BB(OK5 "\r\n")}, 0, UNFOLLOWED, 1},
	{"unfollowed, the upgrade is not believed",
	 {VV(GET), BB("junk"), VV(UPGRADE GET), BB(R101), V(EVIL, "", STOP)},
	 -1,
	 UNFOLLOWED | OWES,
	 4},
	{"unfollowed while held",
	 {V(UPGRADE GET EVIL, UPGRADE, HOLD), BB("junk"), R(GET, STOP)},
	 -1,
	 UNFOLLOWED | OWES,
	 3},
	{"HTTP/1.0 chunked is not followed",
	 {V(GET EVIL, GET, STOP),
	  BB("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" OK0)},
	 -1,
	 UNFOLLOWED | OWES,
	 2},

	/* two readers of one request */
	{"CL.TE",
	 {VV(GET), BB(OK0),
	  V("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 41\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" EVIL,
	    "", CUT)},
	 400,
	 0,
	 1},
	{"TE.CL",
	 {V("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n29\r\n" EVIL,
	    "", CUT)},
	 400,
	 0,
	 0},
	{"double CL",
	 {V("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 36\r\n\r\n" EVIL,
	    "", CUT)},
	 400,
	 0,
	 0},
	{"list CL",
	 {V("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0, 36\r\n\r\n" EVIL, "", CUT)},
	 400,
	 0,
	 0},
	{"CL that is too long ends where it says",
	 {VV("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 27\r\n\r\n" EVIL),
	  V("\r\n" EVIL, "\r\n", STOP), B(OK0 OK0, OK0, CUT)},
	 421,
	 0,
	 2},
	{"xchunked",
	 {V(GET "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n" EVIL, GET,
	    STOP),
	  B(OK5, OK5, CUT)},
	 400,
	 0,
	 1},
	{"chunked, chunked",
	 {V("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
	    "", CUT)},
	 400,
	 0,
	 0},
	{"chunked in HTTP/1.0",
	 {V("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" EVIL, "",
	    CUT)},
	 400,
	 0,
	 0},
	{"folded chunked",
	 {V("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n" EVIL, "", CUT)},
	 400,
	 0,
	 0},
	{"blank before the colon",
	 {V("POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 27\r\n\r\n" EVIL, "", CUT)},
	 400,
	 0,
	 0},
	{"bare LF", {V("GET / HTTP/1.1\r\nHost: a\r\nX: y\n\n" EVIL, "", CUT)}, 400, 0, 0},
	{"bare CR", {V("GET / HTTP/1.1\r\nHost: a\r\nX: y\rHost: b\r\n\r\n", "", CUT)}, 400, 0, 0},
	{"NUL", {V("GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n", "", CUT)}, 400, 0, 0},
	{"junk", {VV(GET), V("\x16\x03\x01", "", STOP), B(OK5, OK5, CUT)}, 400, 0, 1},
	{"the other host in an absolute target",
	 {V("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", "", CUT)},
	 400,
	 0,
	 0},
	{"another host in an absolute target",
	 {V("GET http://b/ HTTP/1.1\r\nHost: b\r\n\r\n", "", CUT)},
	 421,
	 0,
	 1},
	{"trailers are no request",
	 {VV(CHUNKED "0\r\nHost: b\r\nGET: x\r\n\r\n"), BB(OK0)},
	 0,
	 REST,
	 1},

	/* chunked bodies that break */
	{"chunk size: sign", {V(CHUNKED "-5\r\n" EVIL, CHUNKED, CUT)}, 400, 0, 1},
	{"chunk size: 0x", {V(CHUNKED "0x5\r\n" EVIL, CHUNKED "0", CUT)}, 400, 0, 1},
	{"chunk size: too large",
	 {V(CHUNKED "10000000000000000\r\n", CHUNKED "1000000000000000", CUT)},
	 400,
	 0,
	 1},
	{"chunk line: bare LF", {V(CHUNKED "0;\n" EVIL, CHUNKED "0;", CUT)}, 400, 0, 1},
	{"chunk line: quotes", {V(CHUNKED "1;a=\"\r\n" EVIL, CHUNKED "1;a=\"", CUT)}, 400, 0, 1},
	{"chunk data too long", {V(CHUNKED "1\r\nxyz\r\n", CHUNKED "1\r\nx", CUT)}, 400, 0, 1},
	{"broken body behind an owed answer",
	 {V(GET CHUNKED "zz", GET CHUNKED, STOP), B(OK5 OK5, OK5, CUT)},
	 400,
	 0,
	 2},
	{"broken body after 100", {VV(CHUNKED), BB(R100), V("zz", "", CUT)}, 400, 0, 1},
	{"broken body, its answer begun",
	 {VV(CHUNKED), BB(OK5_HEAD "he"), V("zz", "", STOP), B("llo" OK5, "llo", CUT)},
	 -1,
	 0,
	 1},
	{"broken body, answered before", {VV(CHUNKED), BB(OK5), V("zz", "", CUT)}, -1, 0, 1},
	{"broken body of an upgrade, 101 not believed",
	 {V(GET "POST / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nTransfer-Encoding: chunked\r\n\r\nzz",
	    GET "POST / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nTransfer-Encoding: chunked\r\n\r\n",
	    STOP),
	  B(OK0 R101, OK0, CUT)},
	 400,
	 0,
	 2},
};

/* A pair as far as the judge sees it. */
struct side {
	char pending[4096], passed[4096];
	size_t pending_len, passed_len;
	bool deaf; /* HOLD, STOP or CUT */
	enum judge verdict;
};

struct play {
	struct http_track t;
	struct side side[2];
	int asked;
};

static int allow(void *arg, const struct http_head *h, const char *head)
{
	struct play *p = arg;

	p->asked++;
	if (http_span_is(head, h->authority, "c"))
		return TRACK_LEAVE;
	return http_span_is(head, h->authority, "a") ? 0 : 421;
}

static const struct http_track_hooks hooks = {allow};

/* Judges what is pending, from memory that ends where the bytes end. */
static void play_judge(struct play *p, int from)
{
	struct side *s = &p->side[from];
	char *copy = malloc(s->pending_len + !s->pending_len);
	size_t pass = SIZE_MAX;

	assert_non_null(copy);
	memcpy(copy, s->pending, s->pending_len);
	s->verdict = from == 0 ? http_track_request(&p->t, copy, s->pending_len, &pass)
			       : http_track_response(&p->t, copy, s->pending_len, &pass);
	free(copy);
	assert_true(pass <= s->pending_len);
	assert_true(s->passed_len + pass <= sizeof(s->passed));
	memcpy(s->passed + s->passed_len, s->pending, pass);
	s->passed_len += pass;
	memmove(s->pending, s->pending + pass, s->pending_len - pass);
	s->pending_len -= pass;
	s->deaf = s->verdict != JUDGE_PASS;
	if (s->verdict == JUDGE_STOP || s->verdict == JUDGE_CUT)
		s->pending_len = 0;
	if (s->verdict == JUDGE_CUT)
		p->side[1].deaf = p->side[0].deaf = true;
}

static void play_bytes(struct play *p, int from, const char *bytes, size_t len)
{
	struct side *s = &p->side[from];

	if (s->deaf && s->verdict != JUDGE_HOLD)
		return;
	assert_true(s->pending_len + len <= sizeof(s->pending));
	memcpy(s->pending + s->pending_len, bytes, len);
	s->pending_len += len;
	if (!s->deaf)
		play_judge(p, from);
}

/* One step in pieces: cut at `cut` (0: whole), or in single bytes. */
static void play_step(struct play *p, const struct step *s, size_t cut, bool bytewise)
{
	int from = s->who == 'b';
	size_t at = 0;

	p->side[0].passed_len = p->side[1].passed_len = 0;
	assert_int_equal(p->t.resume, s->who == 'r');
	if (s->who == 'f') {
		http_track_request_eof(&p->t);
		play_judge(p, 0);
		return;
	}
	if (s->who == 'e') {
		http_track_response_eof(&p->t);
		return;
	}
	if (s->who == 'r') {
		p->t.resume = p->side[0].deaf = false;
		play_judge(p, 0);
	}
	while (at < s->bytes.len) {
		size_t n = bytewise ? 1 : at < cut ? cut - at : s->bytes.len - at;

		play_bytes(p, from, s->bytes.p + at, n);
		at += n;
	}
	if (p->side[from].verdict != s->verdict)
		fail_msg("%.30s: verdict %d", s->bytes.p, p->side[from].verdict);
}

/*
 * Plays a dialogue with step `which` cut at `cut`. When a head is kept back in one step and passes
 * in a later one, that step's `pass` has it all.
 */
static void play_dialogue(const struct dialogue *d, size_t which, size_t cut, bool bytewise)
{
	struct play *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	http_track_init(&p->t, !(d->flags & OPEN), &hooks, p);
	for (size_t i = 0; d->steps[i].who; i++) {
		const struct step *s = &d->steps[i];
		struct side *side = &p->side[s->who == 'b'];

		play_step(p, s, i == which ? cut : 0, bytewise);
		if (side->passed_len != s->pass.len || memcmp(side->passed, s->pass.p, s->pass.len))
			fail_msg("%s, step %zu, cut %zu of step %zu: passed \"%.*s\"", d->name, i,
				 cut, which, (int)side->passed_len, side->passed);
	}
	if (p->t.resume || p->asked != d->asked ||
	    p->t.refused != (d->refused > 0 ? d->refused : 0) ||
	    p->t.stopped != (d->refused != 0) || (d->refused == 400) > (p->t.error != NULL))
		fail_msg("%s: refused %d, asked %d", d->name, p->t.refused, p->asked);
	if (p->t.refused && p->t.head_only != !!(d->flags & BODILESS))
		fail_msg("%s: head_only %d", d->name, p->t.head_only);
	if (p->t.stopped) {
		size_t pass = 1;

		assert_true(http_track_request(&p->t, GET, strlen(GET), &pass) >= JUDGE_STOP);
		assert_int_equal(pass, 0);
	}
	if (p->t.raw != !!(d->flags & RAW) || p->t.unfollowed != !!(d->flags & UNFOLLOWED) ||
	    http_track_at_rest(&p->t) != !!(d->flags & REST) ||
	    (!p->t.stopped && http_track_owes(&p->t) != !!(d->flags & OWES)))
		fail_msg("%s: raw %d, unfollowed %d, rest %d, owes %d", d->name, p->t.raw,
			 p->t.unfollowed, http_track_at_rest(&p->t), http_track_owes(&p->t));
	free(p);
}

static void all_dialogues(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(dialogues); i++) {
		const struct dialogue *d = &dialogues[i];

		play_dialogue(d, 0, 0, false);
		play_dialogue(d, 0, 0, true);
		for (size_t s = 0; d->steps[s].who; s++)
			for (size_t cut = 1; cut < d->steps[s].bytes.len; cut++)
				play_dialogue(d, s, cut, false);
	}
}

/* More requests than may be owed: the rest waits for answers, one for one, and none is lost. */
static void owed_max(void **state)
{
	struct play *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	http_track_init(&p->t, true, &hooks, p);
	for (int i = 0; i < TRACK_OWED_MAX + 3; i++)
		play_bytes(p, 0, GET, strlen(GET));
	assert_int_equal(p->side[0].verdict, JUDGE_HOLD);
	assert_int_equal(p->asked, TRACK_OWED_MAX);
	for (int i = 0; i < 3; i++) {
		assert_false(p->t.resume);
		play_bytes(p, 1, OK5, strlen(OK5));
		assert_true(p->t.resume);
		p->t.resume = false;
		play_judge(p, 0);
		assert_int_equal(p->asked, TRACK_OWED_MAX + i + 1);
	}
	assert_int_equal(p->side[0].verdict, JUDGE_PASS);
	for (int i = 0; i < TRACK_OWED_MAX; i++)
		play_bytes(p, 1, OK0, strlen(OK0));
	assert_true(http_track_at_rest(&p->t));
	free(p);
}

/*
 * Unfollowed, answers are no longer counted: no number of requests may hold the visitor for ever.
 */
static void unfollowed_never_holds(void **state)
{
	struct play *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	http_track_init(&p->t, true, &hooks, p);
	play_bytes(p, 1, "x", 1);
	for (int i = 0; i < 3 * TRACK_OWED_MAX; i++) {
		p->side[0].passed_len = 0;
		play_bytes(p, 0, GET, strlen(GET));
		assert_int_equal(p->side[0].verdict, JUDGE_PASS);
	}
	assert_int_equal(p->asked, 3 * TRACK_OWED_MAX);
	free(p);
}

/* After the cut nothing passes: not even the 101 to an upgrade whose own body broke. */
static void after_a_cut(void **state)
{
	static const char ask[] = "POST / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\n"
				  "Transfer-Encoding: chunked\r\n\r\nzz";
	struct play *p = calloc(1, sizeof(*p));
	size_t pass = 1;

	assert_non_null(p);
	http_track_init(&p->t, true, &hooks, p);
	play_bytes(p, 0, ask, strlen(ask));
	assert_int_equal(p->side[0].verdict, JUDGE_CUT);
	assert_int_equal(http_track_response(&p->t, R101, strlen(R101), &pass), JUDGE_CUT);
	assert_int_equal(pass, 0);
	assert_true(!p->t.raw && p->t.refused == 400);
	free(p);
}

/* Tens of thousands of idle connections each have one. */
static void small(void **state)
{
	assert_true(sizeof(struct http_track) < 600);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_dialogues),
		cmocka_unit_test(owed_max),
		cmocka_unit_test(unfollowed_never_holds),
		cmocka_unit_test(after_a_cut),
		cmocka_unit_test(small),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
