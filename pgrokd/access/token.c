/* A client's token as it may be kept and compared. */
#include "pgrokd/access/token.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

#include "common/base/text.h"

#define HASHED "sha256:"

struct token token_of(const char *text)
{
	struct token t = {.given = *text != '\0'};

	if (t.given && !EVP_Digest(text, strlen(text), t.hash, NULL, EVP_sha256(), NULL))
		t.given = false;
	return t;
}

void token_text(const struct token *t, char out[static TOKEN_TEXT])
{
	memcpy(out, HASHED, sizeof(HASHED));
	hex_text(out + strlen(HASHED), t->hash, TOKEN_HASH);
}

bool token_parse(const char *text, struct token *t, const char **why)
{
	*why = "a token may not be empty";
	if (!*text)
		return false;
	if (strncmp(text, HASHED, strlen(HASHED)) != 0) {
		*t = token_of(text);
		return t->given;
	}
	*why = "behind sha256: 64 hex digits are wanted";
	t->given = hex_bytes(text + strlen(HASHED), t->hash, sizeof(t->hash));
	return t->given;
}

bool token_same(const struct token *a, const struct token *b)
{
	return a->given && b->given && CRYPTO_memcmp(a->hash, b->hash, TOKEN_HASH) == 0;
}
