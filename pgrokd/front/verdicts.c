/* Who was let in lately. */
#include "pgrokd/front/verdicts.h"

#include <stdlib.h>
#include <string.h>

#define SLOTS 1024u /* a power of two */

struct slot {
	unsigned char key[VERDICT_KEY];
	uint64_t until; /* 0: empty */
	struct http_fields fields;
};

struct verdicts {
	uint64_t keep_ms;
	struct slot slots[SLOTS];
};

struct verdicts *verdicts_new(uint64_t keep_ms)
{
	struct verdicts *v = xcalloc(1, sizeof(*v));

	v->keep_ms = keep_ms;
	return v;
}

static void clear(struct slot *s)
{
	http_fields_free(&s->fields);
	s->until = 0;
}

void verdicts_free(struct verdicts *v)
{
	for (size_t i = 0; v && i < SLOTS; i++)
		clear(&v->slots[i]);
	if (v)
		xfree_secret(v, sizeof(*v));
}

static struct slot *slot_of(struct verdicts *v, const unsigned char key[VERDICT_KEY])
{
	return &v->slots[(key[0] | (unsigned)key[1] << 8) & (SLOTS - 1)];
}

const struct http_fields *verdicts_find(struct verdicts *v, const unsigned char key[VERDICT_KEY],
					uint64_t now)
{
	struct slot *s = slot_of(v, key);

	if (s->until && now >= s->until)
		clear(s);
	return s->until && memcmp(s->key, key, VERDICT_KEY) == 0 ? &s->fields : NULL;
}

void verdicts_add(struct verdicts *v, const unsigned char key[VERDICT_KEY], uint64_t now,
		  struct http_fields *fields)
{
	struct slot *s = slot_of(v, key);

	clear(s);
	memcpy(s->key, key, VERDICT_KEY);
	s->until = now + v->keep_ms;
	s->fields = *fields;
	*fields = (struct http_fields){0};
}
