/* Who may visit a tunnel. */
#include "pgrokd/access/rules.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

struct rules {
	size_t basic_len;
	char basic[]; /* the Authorization a request must carry: "Basic ..." */
};

struct rules *rules_new(const char *auth)
{
	static const char scheme[] = "Basic ";
	size_t len = strlen(auth), scheme_len = sizeof(scheme) - 1;

	if (!len)
		return NULL;
	struct rules *r = xmalloc(sizeof(*r) + sizeof(scheme) + (len + 2) / 3 * 4);

	memcpy(r->basic, scheme, scheme_len);
	EVP_EncodeBlock((unsigned char *)r->basic + scheme_len, (const unsigned char *)auth,
			(int)len);
	r->basic_len = strlen(r->basic);
	return r;
}

void rules_free(struct rules *r)
{
	if (r)
		xfree_secret(r, sizeof(*r) + r->basic_len);
}

int rules_allow(const struct rules *r, const struct http_head *h, const char *head)
{
	if (!r)
		return 0;
	/* Byte for byte, as the Go server compares; the length is no secret. */
	if (h->authorization.len != r->basic_len ||
	    CRYPTO_memcmp(head + h->authorization.off, r->basic, r->basic_len) != 0)
		return 401;
	return 0;
}
