/* SOCKS5: methods -> (user and password) -> CONNECT. One word each way, until it is through. */
#include "pgrok/uplink/socks.h"

#include <arpa/inet.h>
#include <string.h>

#define VERSION 5
#define LOGIN_VERSION 1
#define METHOD_NONE 0
#define METHOD_LOGIN 2
#define METHOD_REFUSED 0xff
#define ADDRESS_V4 1
#define ADDRESS_NAME 3
#define ADDRESS_V6 4

static void add_byte(struct text *say, unsigned byte)
{
	unsigned char c = (unsigned char)byte;

	text_add(say, &c, 1);
}

/* Its length in front; at most SOCKS_TEXT_MAX. */
static void add_text(struct text *say, const char *s)
{
	size_t len = strnlen(s, SOCKS_TEXT_MAX);

	add_byte(say, (unsigned)len);
	text_add(say, s, len);
}

void socks_begin(const struct socks *s, struct text *say)
{
	add_byte(say, VERSION);
	add_byte(say, s->user ? 2 : 1);
	add_byte(say, METHOD_NONE);
	if (s->user)
		add_byte(say, METHOD_LOGIN);
}

static void add_login(const struct socks *s, struct text *say)
{
	add_byte(say, LOGIN_VERSION);
	add_text(say, s->user);
	add_text(say, s->password ? s->password : "");
}

static void add_connect(const struct socks *s, struct text *say)
{
	unsigned char ip[16];

	add_byte(say, VERSION);
	add_byte(say, 1); /* CONNECT */
	add_byte(say, 0);
	if (inet_pton(AF_INET, s->host, ip) == 1) {
		add_byte(say, ADDRESS_V4);
		text_add(say, ip, 4);
	} else if (inet_pton(AF_INET6, s->host, ip) == 1) {
		add_byte(say, ADDRESS_V6);
		text_add(say, ip, 16);
	} else {
		add_byte(say, ADDRESS_NAME);
		add_text(say, s->host);
	}
	add_byte(say, s->port >> 8);
	add_byte(say, s->port & 0xff);
}

/* ---- answers; each is given from its first byte, and sets *used when it is whole ---- */

static enum socks_rc bad(struct err *err, const char *why)
{
	err_set(err, "SOCKS proxy: %s", why);
	return SOCKS_BAD;
}

static enum socks_rc hear_method(struct socks *s, const unsigned char *b, size_t len, size_t *used,
				 struct text *say, struct err *err)
{
	if (b[0] != VERSION)
		return bad(err, "its answer is not SOCKS5");
	if (len < 2)
		return SOCKS_MORE;
	*used = 2;
	if (b[1] == METHOD_LOGIN && s->user) {
		s->state = SOCKS_LOGIN;
		add_login(s, say);
	} else if (b[1] == METHOD_NONE) {
		s->state = SOCKS_CONNECT;
		add_connect(s, say);
	} else if (b[1] == METHOD_REFUSED) {
		return bad(err, s->user ? "it takes no user and password"
					: "it wants a user and password, or something else");
	} else {
		return bad(err, "it chose a way to log in that it was not offered");
	}
	return SOCKS_SAY;
}

static enum socks_rc hear_login(struct socks *s, const unsigned char *b, size_t len, size_t *used,
				struct text *say, struct err *err)
{
	if (b[0] != LOGIN_VERSION)
		return bad(err, "its answer to user and password is none");
	if (len < 2)
		return SOCKS_MORE;
	*used = 2;
	if (b[1] != 0)
		return bad(err, "user or password is wrong");
	s->state = SOCKS_CONNECT;
	add_connect(s, say);
	return SOCKS_SAY;
}

/* RFC 1928 section 6 */
static const char *reason(unsigned code)
{
	static const char *const reasons[] = {
		[1] = "general failure",     [2] = "its rules forbid the connection",
		[3] = "network unreachable", [4] = "host unreachable",
		[5] = "connection refused",  [6] = "TTL expired",
		[7] = "it knows no CONNECT", [8] = "it does not know this kind of address",
	};

	return code < sizeof(reasons) / sizeof(reasons[0]) ? reasons[code] : "unknown failure";
}

/* Bytes of the whole answer; 0: the kind of its address is unknown. */
static size_t answer_len(unsigned kind, unsigned name_len)
{
	switch (kind) {
	case ADDRESS_V4:
		return 4 + 4 + 2;
	case ADDRESS_V6:
		return 4 + 16 + 2;
	case ADDRESS_NAME:
		return 4 + 1 + name_len + 2;
	default:
		return 0;
	}
}

static enum socks_rc hear_connect(struct socks *s, const unsigned char *b, size_t len, size_t *used,
				  struct err *err)
{
	if (b[0] != VERSION)
		return bad(err, "its answer is not SOCKS5");
	if (len < 2)
		return SOCKS_MORE;
	if (b[1] != 0)
		return bad(err, reason(b[1]));
	if (len < 5)
		return SOCKS_MORE;
	size_t whole = answer_len(b[3], b[4]);

	if (!whole)
		return bad(err, "its answer has an address of an unknown kind");
	if (len < whole)
		return SOCKS_MORE;
	*used = whole;
	s->state = SOCKS_OVER;
	return SOCKS_DONE;
}

enum socks_rc socks_hear(struct socks *s, const void *bytes, size_t len, size_t *used,
			 struct text *say, struct err *err)
{
	*used = 0;
	if (!len)
		return SOCKS_MORE;
	switch (s->state) {
	case SOCKS_METHOD:
		return hear_method(s, bytes, len, used, say, err);
	case SOCKS_LOGIN:
		return hear_login(s, bytes, len, used, say, err);
	case SOCKS_CONNECT:
		return hear_connect(s, bytes, len, used, err);
	default:
		return SOCKS_DONE;
	}
}
