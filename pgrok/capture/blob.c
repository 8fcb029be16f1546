/* Bytes kept in parts. See capture_blob.h. */
#include "pgrok/capture/blob.h"

#include <stdlib.h>
#include <string.h>

#define ALIGN 64
#define MALLOC_COST 16 /* what an allocation costs beside its bytes */

/* Bytes that go in without a new part. */
static size_t blob_room(const struct blob *b)
{
	return b->last ? b->last->cap - b->last->len : 0;
}

/* The next part's size: what is to come, or as much as there is already, for many small pieces. */
static size_t next_cap(size_t have, size_t len)
{
	size_t cap = have > len ? have : len;

	if (cap > BLOB_PART_MAX)
		cap = BLOB_PART_MAX;
	return (cap + ALIGN - 1) / ALIGN * ALIGN;
}

size_t blob_cost(const struct blob *b, size_t len)
{
	size_t room = blob_room(b), have = b->len + room, cost = 0;

	if (len <= room)
		return 0;
	for (len -= room; len > 0;) {
		size_t cap = next_cap(have, len);
		size_t n = len < cap ? len : cap;

		cost += cap + sizeof(struct blob_part) + MALLOC_COST;
		have += n;
		len -= n;
	}
	return cost;
}

size_t blob_memory(const struct blob *b)
{
	size_t sum = 0;

	for (const struct blob_part *p = b->first; p; p = p->next)
		sum += p->cap + sizeof(*p) + MALLOC_COST;
	return sum;
}

static void add_part(struct blob *b, size_t cap)
{
	struct blob_part *p = xmalloc(sizeof(*p) + cap);

	p->next = NULL;
	p->len = 0;
	p->cap = cap;
	if (b->last)
		b->last->next = p;
	else
		b->first = p;
	b->last = p;
}

void blob_add(struct blob *b, const void *data, size_t len)
{
	const char *from = data;

	while (len > 0) {
		if (blob_room(b) == 0)
			add_part(b, next_cap(b->len, len));
		size_t room = blob_room(b), n = len < room ? len : room;

		memcpy(b->last->data + b->last->len, from, n);
		b->last->len += n;
		b->len += n;
		from += n;
		len -= n;
	}
}

size_t blob_read(const struct blob *b, size_t off, void *out, size_t len)
{
	char *to = out;
	size_t done = 0;

	for (const struct blob_part *p = b->first; p && done < len; p = p->next) {
		if (off >= p->len) {
			off -= p->len;
			continue;
		}
		size_t n = p->len - off < len - done ? p->len - off : len - done;

		memcpy(to + done, p->data + off, n);
		done += n;
		off = 0;
	}
	return done;
}

char *blob_text(const struct blob *b)
{
	char *text = xmalloc(b->len + 1);

	text[blob_read(b, 0, text, b->len)] = '\0';
	return text;
}

void blob_free(struct blob *b)
{
	struct blob_part *next;

	for (struct blob_part *p = b->first; p; p = next) {
		next = p->next;
		free(p);
	}
	*b = (struct blob){0};
}
