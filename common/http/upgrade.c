/* The opening handshake of WebSockets. */
#include "common/http/upgrade.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/base/randid.h"

void upgrade_key(char out[static UPGRADE_KEY])
{
	unsigned char raw[16];

	rand_bytes(raw, sizeof(raw));
	EVP_EncodeBlock((unsigned char *)out, raw, sizeof(raw));
}

bool upgrade_accept(const char *key, size_t len, char out[static UPGRADE_ACCEPT])
{
	static const char guid[] =
		"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; /* RFC 6455 section 1.3 */
	unsigned char raw[18], digest[EVP_MAX_MD_SIZE];
	char text[24 + sizeof(guid)];
	unsigned n;

	/* 16 bytes in base64: 22 digits and "==". */
	if (len != 24 || memchr(key, '=', len) != key + 22 || key[23] != '=' ||
	    EVP_DecodeBlock(raw, (const unsigned char *)key, 24) != 18)
		return false;
	snprintf(text, sizeof(text), "%.24s%s", key, guid);
	if (!EVP_Digest(text, strlen(text), digest, &n, EVP_sha1(), NULL) || n != 20)
		return false;
	return EVP_EncodeBlock((unsigned char *)out, digest, 20) == 28;
}

void upgrade_request(struct text *out, const char *host, const char *target, const char *key,
		     const char *more)
{
	text_fmt(out,
		 "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		 "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n%s\r\n",
		 target, host, key, more);
}

/* Is `word` one of the values that are separated by commas? Case is ignored. */
static bool list_names(const char *at, size_t len, const char *word)
{
	size_t want = strlen(word);

	while (len) {
		const char *comma = memchr(at, ',', len);
		size_t n = comma ? (size_t)(comma - at) : len, begin = 0, end = n;

		while (begin < end && (at[begin] == ' ' || at[begin] == '\t'))
			begin++;
		while (end > begin && (at[end - 1] == ' ' || at[end - 1] == '\t'))
			end--;
		if (end - begin == want && strncasecmp(at + begin, word, want) == 0)
			return true;
		n += comma ? 1 : 0;
		at += n;
		len -= n;
	}
	return false;
}

/* The same over all fields of that name. */
static bool field_names(const char *buf, const struct http_head *h, const char *field,
			const char *word)
{
	struct http_span name, value;
	size_t at = 0;

	while (http_next_field(buf, h, &at, &name, &value))
		if (http_span_is_nocase(buf, name, field) &&
		    list_names(buf + value.off, value.len, word))
			return true;
	return false;
}

static bool field_is(const char *buf, const struct http_head *h, const char *field,
		     const char *text)
{
	struct http_span value;

	return http_field(buf, h, field, &value) && http_span_is(buf, value, text);
}

static bool has_field(const char *buf, const struct http_head *h, const char *field)
{
	struct http_span value;

	return http_field(buf, h, field, &value);
}

const char *upgrade_refused(const char *buf, const struct http_head *h, const char *key)
{
	char accept[UPGRADE_ACCEPT];

	if (h->status != 101)
		return "the server does not upgrade to a WebSocket";
	if (!field_names(buf, h, "Upgrade", "websocket") ||
	    !field_names(buf, h, "Connection", "upgrade"))
		return "the server upgrades to something else than a WebSocket";
	if (!upgrade_accept(key, strlen(key), accept) ||
	    !field_is(buf, h, "Sec-WebSocket-Accept", accept))
		return "the server's Sec-WebSocket-Accept does not answer ours";
	if (has_field(buf, h, "Sec-WebSocket-Extensions") ||
	    has_field(buf, h, "Sec-WebSocket-Protocol"))
		return "the server wants an extension that was not offered";
	return NULL;
}

bool upgrade_grant(struct text *out, const char *buf, const struct http_head *h)
{
	struct http_span key;
	char accept[UPGRADE_ACCEPT];

	if (!http_span_is(buf, h->method, "GET") || h->minor != 1 || h->chunked || h->length ||
	    !field_names(buf, h, "Upgrade", "websocket") ||
	    !field_names(buf, h, "Connection", "upgrade") ||
	    !field_is(buf, h, "Sec-WebSocket-Version", "13") ||
	    !http_field(buf, h, "Sec-WebSocket-Key", &key) ||
	    !upgrade_accept(buf + key.off, key.len, accept))
		return false;
	text_fmt(out,
		 "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
		 "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		 accept);
	return true;
}
