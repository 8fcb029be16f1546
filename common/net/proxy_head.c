/* PROXY protocol, versions 1 and 2: proxy-protocol.txt of HAProxy, sections 2.1 and 2.2. */
#include "common/net/proxy_head.h"

#include <stdio.h>
#include <string.h>

#define V1_WORD "PROXY "
#define V1_MAX 107
#define V2_WORD "\r\n\r\n\0\r\nQUIT\n"
#define V2_WORD_LEN 12
#define V2_FIXED 16

/* Byte 13 */
#define V2_LOCAL 0x20
#define V2_PROXY 0x21
/* Byte 14 */
#define V2_TCP4 0x11
#define V2_TCP6 0x21

static enum proxy_rc bad(struct proxy_head *h, const char *why)
{
	h->error = why;
	return PROXY_BAD;
}

/* ---- version 1 ---- */

/* The next word, up to a blank or the end. False: there is none, or it is too long. */
static bool next_word(const char **at, char *word, size_t cap)
{
	size_t len = strcspn(*at, " ");

	if (!len || len >= cap)
		return false;
	memcpy(word, *at, len);
	word[len] = '\0';
	*at += len;
	return true;
}

/* One blank, then a word. */
static bool next_word_behind(const char **at, char *word, size_t cap)
{
	if (**at != ' ')
		return false;
	++*at;
	return next_word(at, word, cap);
}

static bool read_ip(const char *text, int family, struct addr *out)
{
	return !strchr(text, '%') && addr_numeric(text, 0, out) && out->sa.any.sa_family == family;
}

static bool read_port(const char *text, struct addr *out)
{
	int port = addr_port(text);

	if (port < 0 || (*text == '0' && text[1]))
		return false;
	if (out->sa.any.sa_family == AF_INET)
		out->sa.in.sin_port = htons((uint16_t)port);
	else
		out->sa.in6.sin6_port = htons((uint16_t)port);
	return true;
}

/* Behind "PROXY TCP4": " 192.0.2.1 192.0.2.9 56324 443". */
static enum proxy_rc read_addresses(struct proxy_head *h, const char *at, int family)
{
	struct addr *const ends[] = {&h->from, &h->to};
	char word[ADDR_TEXT];
	bool ok = true;

	for (int i = 0; i < 2 && ok; i++)
		ok = next_word_behind(&at, word, sizeof(word)) && read_ip(word, family, ends[i]);
	for (int i = 0; i < 2 && ok; i++)
		ok = next_word_behind(&at, word, sizeof(word)) && read_port(word, ends[i]);
	if (!ok || *at)
		return bad(h, "bad addresses in a PROXY line");
	return PROXY_OK;
}

static enum proxy_rc read_line(struct proxy_head *h, const char *line)
{
	const char *at = line + strlen(V1_WORD);
	char word[8];

	if (next_word(&at, word, sizeof(word))) {
		if (strcmp(word, "TCP4") == 0)
			return read_addresses(h, at, AF_INET);
		if (strcmp(word, "TCP6") == 0)
			return read_addresses(h, at, AF_INET6);
		if (strcmp(word, "UNKNOWN") == 0)
			return PROXY_OK;
	}
	return bad(h, "unknown protocol in a PROXY line");
}

static enum proxy_rc scan_v1(struct proxy_head *h, const char *buf, size_t len)
{
	size_t look = len < V1_MAX ? len : V1_MAX;
	const char *end = memchr(buf, '\n', look);
	char line[V1_MAX + 1];

	if (!end)
		return look < V1_MAX ? PROXY_MORE : bad(h, "a PROXY line is too long");
	h->len = (size_t)(end - buf) + 1;
	if (end[-1] != '\r' || memchr(buf, '\0', h->len))
		return bad(h, "a PROXY line that is none");
	memcpy(line, buf, h->len - 2);
	line[h->len - 2] = '\0';
	return read_line(h, line);
}

/* ---- version 2 ---- */

static void take_addr(struct addr *out, int family, const void *ip, const void *port)
{
	memset(out, 0, sizeof(*out));
	if (family == AF_INET) {
		out->sa.in.sin_family = AF_INET;
		memcpy(&out->sa.in.sin_addr, ip, 4);
		memcpy(&out->sa.in.sin_port, port, 2);
		out->len = sizeof(out->sa.in);
	} else {
		out->sa.in6.sin6_family = AF_INET6;
		memcpy(&out->sa.in6.sin6_addr, ip, 16);
		memcpy(&out->sa.in6.sin6_port, port, 2);
		out->len = sizeof(out->sa.in6);
	}
}

/* Two addresses of `size` bytes and their ports; what is behind them is passed over. */
static enum proxy_rc take_addresses(struct proxy_head *h, const char *at, size_t len, int family,
				    size_t size)
{
	if (len < 2 * size + 4)
		return bad(h, "a PROXY head that is too short for its addresses");
	take_addr(&h->from, family, at, at + 2 * size);
	take_addr(&h->to, family, at + size, at + 2 * size + 2);
	return PROXY_OK;
}

/* Unspecified, TCP or UDP over IPv4 or IPv6, a Unix socket of both kinds. */
static bool known_family(unsigned char family)
{
	return family == 0 ||
	       ((family & 0xf) >= 1 && (family & 0xf) <= 2 && family >> 4 >= 1 && family >> 4 <= 3);
}

static enum proxy_rc scan_v2(struct proxy_head *h, const char *buf, size_t len)
{
	unsigned char command, family;
	size_t more;

	if (len < V2_FIXED)
		return PROXY_MORE;
	command = (unsigned char)buf[12];
	family = (unsigned char)buf[13];
	more = (size_t)(unsigned char)buf[14] << 8 | (unsigned char)buf[15];
	if (command != V2_LOCAL && command != V2_PROXY)
		return bad(h, "unknown version or command in a PROXY head");
	if (command == V2_PROXY && !known_family(family))
		return bad(h, "unknown protocol in a PROXY head");
	if (V2_FIXED + more > PROXY_HEAD_MAX)
		return bad(h, "a PROXY head is too long");
	if (len < V2_FIXED + more)
		return PROXY_MORE;
	h->len = V2_FIXED + more;
	if (command == V2_PROXY && family == V2_TCP4)
		return take_addresses(h, buf + V2_FIXED, more, AF_INET, 4);
	if (command == V2_PROXY && family == V2_TCP6)
		return take_addresses(h, buf + V2_FIXED, more, AF_INET6, 16);
	return PROXY_OK;
}

/* ---- both ---- */

static bool begins(const char *buf, size_t len, const char *word, size_t word_len)
{
	return memcmp(buf, word, len < word_len ? len : word_len) == 0;
}

enum proxy_rc proxy_head_scan(struct proxy_head *h, const char *buf, size_t len)
{
	enum proxy_rc rc;

	memset(h, 0, sizeof(*h));
	if (!len)
		return PROXY_MORE;
	if (begins(buf, len, V1_WORD, strlen(V1_WORD)))
		rc = len < strlen(V1_WORD) ? PROXY_MORE : scan_v1(h, buf, len);
	else if (begins(buf, len, V2_WORD, V2_WORD_LEN))
		rc = scan_v2(h, buf, len);
	else
		rc = bad(h, "no PROXY head");
	if (rc != PROXY_OK)
		h->from.len = h->to.len = 0;
	return rc;
}

/* ---- made ---- */

/* The address that is said of a, in the form of `family`. */
static const char *ip_said(const struct addr *a, size_t size, unsigned char bytes[static 16])
{
	memset(bytes, 0, 16);
	if (!a || addr_ip_bytes(a, bytes) != size)
		memset(bytes, 0, 16);
	return (const char *)bytes;
}

static size_t make_v1(const struct addr *from, const struct addr *to, size_t size, char *out)
{
	const char *const nobody = size == 4 ? "0.0.0.0" : "::";
	char a[ADDR_TEXT], b[ADDR_TEXT];
	unsigned char bytes[16];
	bool same = to && addr_ip_bytes(to, bytes) == size;
	int n;

	if (!size)
		n = snprintf(out, PROXY_HEAD_MADE, V1_WORD "UNKNOWN\r\n");
	else
		n = snprintf(out, PROXY_HEAD_MADE, V1_WORD "TCP%c %s %s %u %u\r\n",
			     size == 4 ? '4' : '6', addr_ip_text(from, a),
			     same ? addr_ip_text(to, b) : nobody, addr_get_port(from),
			     to ? addr_get_port(to) : 0);
	return (size_t)n;
}

static void put_port(char *out, const struct addr *a)
{
	uint16_t port = htons(a ? addr_get_port(a) : 0);

	memcpy(out, &port, sizeof(port));
}

static size_t make_v2(const struct addr *from, const struct addr *to, size_t size, char *out)
{
	size_t more = size ? 2 * size + 4 : 0;
	unsigned char bytes[16];

	memcpy(out, V2_WORD, V2_WORD_LEN);
	out[12] = size ? V2_PROXY : V2_LOCAL;
	out[13] = (char)(!size ? 0 : size == 4 ? V2_TCP4 : V2_TCP6);
	out[14] = 0;
	out[15] = (char)more;
	if (!size)
		return V2_FIXED;
	memcpy(out + V2_FIXED, ip_said(from, size, bytes), size);
	memcpy(out + V2_FIXED + size, ip_said(to, size, bytes), size);
	put_port(out + V2_FIXED + 2 * size, from);
	put_port(out + V2_FIXED + 2 * size + 2, to);
	return V2_FIXED + more;
}

size_t proxy_head_make(int version, const struct addr *from, const struct addr *to,
		       char out[static PROXY_HEAD_MADE])
{
	unsigned char bytes[16];
	size_t size = from ? addr_ip_bytes(from, bytes) : 0;

	return version == 1 ? make_v1(from, to, size, out) : make_v2(from, to, size, out);
}
