/* The cookie of a visitor that has given a tunnel's password. See pass.h. */
#include "pgrokd/access/pass.h"

#include <inttypes.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/randid.h"

#define NAME_SECURE "__Host-pgrok" /* browsers take it from this very host alone, and by https */
#define NAME_PLAIN "pgrok-visit"
#define LIFE_S 86400
#define TRIES 8 /* of that name in one request: other sites of the domain may set some, too */

#define MAC_TEXT (2 * PASS_HASH)
#define TIME_DIGITS 12 /* at most */

/* After a restart everyone logs in again. */
static unsigned char key[PASS_HASH];
static pthread_once_t key_once = PTHREAD_ONCE_INIT;

static void make_key(void)
{
	rand_bytes(key, sizeof(key));
}

void pass_hash(const void *bytes, size_t len, unsigned char out[static PASS_HASH])
{
	if (!EVP_Digest(bytes, len, out, NULL, EVP_sha256(), NULL))
		fatal("no SHA-256");
}

/* Over parts of which only the first has no fixed length, and no line breaks. */
static void make_mac(const struct pass_key *k, const char *tunnel, int64_t until,
		     unsigned char out[static PASS_HASH])
{
	struct text t = {.secret = true};
	unsigned len = 0;

	pthread_once(&key_once, make_key);
	text_fmt(&t, "%s\n%" PRId64 "\n", tunnel, until);
	text_add(&t, k->owner, sizeof(k->owner));
	text_add(&t, k->password, sizeof(k->password));
	if (!HMAC(EVP_sha256(), key, sizeof(key), (unsigned char *)t.p, t.len, out, &len))
		fatal("no HMAC");
	text_free(&t);
}

void pass_set(struct text *out, const struct pass_key *k, const char *tunnel, bool secure,
	      int64_t now)
{
	unsigned char mac[PASS_HASH];
	char text[MAC_TEXT + 1];

	make_mac(k, tunnel, now + LIFE_S, mac);
	hex_text(text, mac, sizeof(mac));
	text_fmt(out,
		 "Set-Cookie: %s=%" PRId64 ".%s; Path=/; Max-Age=%d; HttpOnly; SameSite=Lax%s\r\n",
		 secure ? NAME_SECURE : NAME_PLAIN, now + LIFE_S, text, LIFE_S,
		 secure ? "; Secure" : "");
	OPENSSL_cleanse(text, sizeof(text));
}

/* "1700000000.<64 digits>" */
static bool is_good(const struct pass_key *k, const char *tunnel, int64_t now, const char *value,
		    size_t len)
{
	unsigned char given[PASS_HASH], mac[PASS_HASH];
	char text[MAC_TEXT + 1];
	int64_t until = 0;
	size_t n = 0;

	for (; n < len && n < TIME_DIGITS && value[n] >= '0' && value[n] <= '9'; n++)
		until = until * 10 + value[n] - '0';
	if (n == 0 || len != n + 1 + MAC_TEXT || value[n] != '.' || until <= now)
		return false;
	memcpy(text, value + n + 1, MAC_TEXT);
	text[MAC_TEXT] = '\0';
	if (!hex_bytes(text, given, sizeof(given)))
		return false;
	make_mac(k, tunnel, until, mac);
	return CRYPTO_memcmp(given, mac, sizeof(mac)) == 0;
}

bool pass_valid(const struct pass_key *k, const char *tunnel, bool secure, int64_t now,
		const char *cookies, size_t len)
{
	const char *name = secure ? NAME_SECURE : NAME_PLAIN;
	size_t name_len = strlen(name), n;
	int tries = TRIES;

	for (; len > 0 && tries > 0; cookies += n, len -= n) {
		while (len > 0 && (*cookies == ' ' || *cookies == ';')) {
			cookies++;
			len--;
		}
		const char *end = memchr(cookies, ';', len);

		n = end ? (size_t)(end - cookies) : len;
		if (n <= name_len || cookies[name_len] != '=' ||
		    memcmp(cookies, name, name_len) != 0)
			continue;
		if (is_good(k, tunnel, now, cookies + name_len + 1, n - name_len - 1))
			return true;
		tries--;
	}
	return false;
}
