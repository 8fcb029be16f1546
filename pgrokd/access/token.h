/* A client's token as it may be kept and compared. */
#ifndef PGROKD_ACCESS_TOKEN_H
#define PGROKD_ACCESS_TOKEN_H

#include <stdbool.h>

#define TOKEN_HASH 32

/* Its SHA-256. No token: given is false. */
struct token {
	bool given;
	unsigned char hash[TOKEN_HASH];
};

/* "" is not a token. */
struct token token_of(const char *text);
/* The same, and not both missing? In constant time. */
bool token_same(const struct token *a, const struct token *b);

#endif
