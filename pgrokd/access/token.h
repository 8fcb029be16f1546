/* A client's token as it may be kept and compared. */
#ifndef PGROKD_ACCESS_TOKEN_H
#define PGROKD_ACCESS_TOKEN_H

#include <stdbool.h>

#include "common/base/compiler.h"

#define TOKEN_HASH 32

/* Its SHA-256. No token: given is false. */
struct token {
	bool given;
	unsigned char hash[TOKEN_HASH];
};

#define TOKEN_TEXT (sizeof("sha256:") + 2 * TOKEN_HASH)
/* "sha256:" and hex digits, as it may stand in a file. */
void token_text(const struct token *t, char out[static TOKEN_TEXT]);
/*
 * A token as it stands in a file: that form, or in clear. False: *why says what is wrong, without
 * what was given.
 */
bool token_parse(const char *text, struct token *t, const char **why) MUSTCHECK;
/* "" is not a token. */
struct token token_of(const char *text);
/* The same, and not both missing? In constant time. */
bool token_same(const struct token *a, const struct token *b);

#endif
