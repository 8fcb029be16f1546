/* Maps from ids to objects: what crosses a thread or a wait is an id, and not found is normal. */
#ifndef COMMON_BASE_IDMAP_H
#define COMMON_BASE_IDMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A number -> pointer. The map owns nothing it points at. Not for use by two threads. */
struct idmap;
struct idmap *idmap_new(void);
void idmap_free(struct idmap *m);
/* The id must not be there (assert). */
void idmap_put(struct idmap *m, uint64_t id, void *value);
void *idmap_get(const struct idmap *m, uint64_t id); /* NULL: it died meanwhile */
void *idmap_del(struct idmap *m, uint64_t id);       /* the value, or NULL */
size_t idmap_count(const struct idmap *m);
/* Calls fn for each; fn may delete the entry it is called for, no other. */
void idmap_each(struct idmap *m, void (*fn)(void *value, void *arg), void *arg);

/* The same with text keys, which are copied. */
struct strmap;
struct strmap *strmap_new(void);
void strmap_free(struct strmap *m);
void strmap_put(struct strmap *m, const char *key, void *value); /* replaces */
void *strmap_get(const struct strmap *m, const char *key);
void *strmap_del(struct strmap *m, const char *key);
size_t strmap_count(const struct strmap *m);
void strmap_each(struct strmap *m, void (*fn)(const char *key, void *value, void *arg), void *arg);
/* The same for the n that were put first; fn may delete nothing. */
void strmap_each_first(struct strmap *m, size_t n,
		       void (*fn)(const char *key, void *value, void *arg), void *arg);

/* A process-wide counter: 1, 2, 3 ... never 0, from any thread. */
uint64_t id_next(void);

#endif
