/* Who may visit a tunnel. */
#include "pgrokd/access/rules.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct rules {
	size_t basic_len;
	char basic[]; /* what must be behind "Basic" in a request's Authorization, in base64 */
};

struct rules *rules_new(const char *auth)
{
	size_t len = strlen(auth);

	if (!len)
		return NULL;
	struct rules *r = xmalloc(sizeof(*r) + (len + 2) / 3 * 4 + 1);

	EVP_EncodeBlock((unsigned char *)r->basic, (const unsigned char *)auth, (int)len);
	r->basic_len = strlen(r->basic);
	return r;
}

void rules_free(struct rules *r)
{
	if (r)
		xfree_secret(r, sizeof(*r) + r->basic_len);
}

/*
 * "Basic" in any case, blanks, then exactly these credentials (RFC 9110 section 11.4): compared in
 * constant time, though their length is no secret.
 */
static bool has_credentials(const char *given, size_t len, const struct rules *r)
{
	static const char scheme[] = "Basic";
	size_t at = sizeof(scheme) - 1;

	if (len <= at || strncasecmp(given, scheme, at) != 0 || given[at] != ' ')
		return false;
	while (at < len && given[at] == ' ')
		at++;
	return len - at == r->basic_len && CRYPTO_memcmp(given + at, r->basic, r->basic_len) == 0;
}

int rules_allow(const struct rules *r, const struct http_head *h, const char *head)
{
	if (!r)
		return 0;
	if (!has_credentials(head + h->authorization.off, h->authorization.len, r))
		return 401;
	return 0;
}
