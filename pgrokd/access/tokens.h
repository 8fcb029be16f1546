/*
 * The tokens that clients may come with, and what each allows: a list in YAML. Counted, and never
 * changed once made; any thread may look at it.
 */
#ifndef PGROKD_ACCESS_TOKENS_H
#define PGROKD_ACCESS_TOKENS_H

#include "common/base/yaml.h"
#include "pgrokd/access/grant.h"
#include "pgrokd/access/token.h"

struct tokens;

/*
 * Reads the list; takes the place of what was there (struct tokens **). Nothing but hashes of the
 * tokens is kept, and no message contains one.
 */
yaml_set_fn tokens_set;
/* A file with the key `tokens` alone. NULL: err names file, line and key. Returns owned. */
struct tokens *tokens_parse(const char *file, const char *text, size_t len,
			    struct err *err) MUSTCHECK;
/* The same from the disk. */
struct tokens *tokens_read(const char *path, struct err *err) MUSTCHECK;

/* Owners that are in `was`, too, keep their tallies. Before any other thread knows t. */
void tokens_inherit(struct tokens *t, const struct tokens *was);
/* Is there a token of the owner who has this? */
bool tokens_have(const struct tokens *t, const struct tally *has) MUSTCHECK;
struct tokens *tokens_ref(struct tokens *t);
/* The last one frees; NULL is fine. */
void tokens_unref(struct tokens *t);

size_t tokens_count(const struct tokens *t);
/* The one at i, in the order of the list. Borrowed. */
const struct grant *tokens_at(const struct tokens *t, size_t i);
const struct token *tokens_token(const struct tokens *t, size_t i);
/* Those of t for which gone[] is false. Returns owned. */
struct tokens *tokens_without(const struct tokens *t, const bool gone[]) MUSTCHECK;
/*
 * Whose is this token? NULL: nobody's. Compares with all of them, whatever it finds. Returns a
 * reference.
 */
struct grant *tokens_find(const struct tokens *t, const struct token *token) MUSTCHECK;

#endif
