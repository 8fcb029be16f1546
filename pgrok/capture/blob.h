/* Bytes that are kept in parts, so that growing copies nothing and leaves no holes in the heap. */
#ifndef PGROK_CAPTURE_BLOB_H
#define PGROK_CAPTURE_BLOB_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/xalloc.h"

#define BLOB_PART_MAX (64u << 10)

struct blob_part {
	struct blob_part *next;
	size_t len, cap;
	char data[];
};

/* Zeroed memory is an empty one. */
struct blob {
	struct blob_part *first, *last;
	size_t len;
};

/* Bytes of memory that blob_add() of len bytes would take, exactly; 0: they fit in. */
size_t blob_cost(const struct blob *b, size_t len);
/* Bytes of memory of all parts. */
size_t blob_memory(const struct blob *b);
void blob_add(struct blob *b, const void *data, size_t len);
/* Copies up to len bytes from off on; returns how many there were. */
size_t blob_read(const struct blob *b, size_t off, void *out, size_t len);
/* All of it with a NUL behind. Returns owned. */
char *blob_text(const struct blob *b) MUSTCHECK;
void blob_free(struct blob *b);

#endif
