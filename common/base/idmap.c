/* Maps from numbers (by hand) and from texts (over uthash) to pointers. */
#include "common/base/idmap.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/randid.h"
#include "common/base/xalloc.h"

#define uthash_malloc(size) xmalloc(size)
#define uthash_fatal(msg) abort()
#include <uthash.h>

/*
 * The number map is looked up for each frame of a mux session and has an entry for each connection,
 * so it is written by hand: a third of uthash's memory. Ids are our own counters (or a mux peer's,
 * of which there are few), so one multiplication spreads them.
 */
struct id_entry {
	uint64_t id;
	void *value;
	struct id_entry *next;
};

#define BUCKETS_MIN 8

struct idmap {
	struct id_entry **bucket;
	size_t mask; /* buckets - 1: a power of two */
	size_t count;
};

static struct id_entry **id_bucket(const struct idmap *m, uint64_t id)
{
	return &m->bucket[(id * 0x9E3779B97F4A7C15ULL) >> 32 & m->mask];
}

/* Where the entry of this id hangs, or where it would be appended. */
static struct id_entry **id_find(const struct idmap *m, uint64_t id)
{
	struct id_entry **at = id_bucket(m, id);

	while (*at && (*at)->id != id)
		at = &(*at)->next;
	return at;
}

struct idmap *idmap_new(void)
{
	struct idmap *m = xcalloc(1, sizeof(*m));

	m->mask = BUCKETS_MIN - 1;
	m->bucket = xcalloc(BUCKETS_MIN, sizeof(struct id_entry *));
	return m;
}

void idmap_free(struct idmap *m)
{
	if (!m)
		return;
	for (size_t i = 0; i <= m->mask; i++) {
		for (struct id_entry *e = m->bucket[i], *next; e; e = next) {
			next = e->next;
			free(e);
		}
	}
	free(m->bucket);
	free(m);
}

static void id_grow(struct idmap *m)
{
	struct idmap bigger = {.mask = 2 * m->mask + 1, .count = m->count};

	bigger.bucket = xcalloc(bigger.mask + 1, sizeof(struct id_entry *));
	for (size_t i = 0; i <= m->mask; i++) {
		for (struct id_entry *e = m->bucket[i], *next; e; e = next) {
			struct id_entry **at = id_bucket(&bigger, e->id);
			next = e->next;
			e->next = *at;
			*at = e;
		}
	}
	free(m->bucket);
	*m = bigger;
}

void idmap_put(struct idmap *m, uint64_t id, void *value)
{
	struct id_entry *e = xmalloc(sizeof(*e));

	assert(!*id_find(m, id));
	if (m->count > m->mask)
		id_grow(m);
	*e = (struct id_entry){.id = id, .value = value};
	*id_find(m, id) = e;
	m->count++;
}

void *idmap_get(const struct idmap *m, uint64_t id)
{
	const struct id_entry *e = *id_find(m, id);

	return e ? e->value : NULL;
}

void *idmap_del(struct idmap *m, uint64_t id)
{
	struct id_entry **at = id_find(m, id), *e = *at;
	void *value;

	if (!e)
		return NULL;
	value = e->value;
	*at = e->next;
	free(e);
	m->count--;
	return value;
}

size_t idmap_count(const struct idmap *m)
{
	return m->count;
}

void idmap_each(struct idmap *m, void (*fn)(void *value, void *arg), void *arg)
{
	for (size_t i = 0; i <= m->mask; i++) {
		for (struct id_entry *e = m->bucket[i], *next; e; e = next) {
			next = e->next;
			fn(e->value, arg);
		}
	}
}

struct str_entry {
	void *value;
	UT_hash_handle hh;
	char key[];
};

struct strmap {
	struct str_entry *head;
};

static uint64_t hash_key[2];
static pthread_once_t hash_once = PTHREAD_ONCE_INIT;

static void hash_init(void)
{
	rand_bytes(hash_key, sizeof(hash_key));
}

static uint64_t rotl(uint64_t x, int bits)
{
	return (x << bits) | (x >> (64 - bits));
}

static void sip_round(uint64_t v[static 4])
{
	v[0] += v[1];
	v[1] = rotl(v[1], 13) ^ v[0];
	v[0] = rotl(v[0], 32);
	v[2] += v[3];
	v[3] = rotl(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotl(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotl(v[1], 17) ^ v[2];
	v[2] = rotl(v[2], 32);
}

/*
 * SipHash-1-3 under a key drawn at start. Peers choose these texts (tunnel names): with a fixed
 * hash they could choose them all into one bucket.
 */
static unsigned str_hash(const char *s, size_t len)
{
	uint64_t v[4] = {hash_key[0] ^ 0x736f6d6570736575ULL, hash_key[1] ^ 0x646f72616e646f6dULL,
			 hash_key[0] ^ 0x6c7967656e657261ULL, hash_key[1] ^ 0x7465646279746573ULL};
	uint64_t word, last = (uint64_t)len << 56;

	for (; len >= 8; s += 8, len -= 8) {
		memcpy(&word, s, 8);
		v[3] ^= word;
		sip_round(v);
		v[0] ^= word;
	}
	for (size_t i = 0; i < len; i++)
		last |= (uint64_t)(unsigned char)s[i] << (8 * i);
	v[3] ^= last;
	sip_round(v);
	v[0] ^= last;
	v[2] ^= 0xff;
	for (int i = 0; i < 3; i++)
		sip_round(v);
	word = v[0] ^ v[1] ^ v[2] ^ v[3];
	return (unsigned)(word ^ (word >> 32));
}

struct strmap *strmap_new(void)
{
	pthread_once(&hash_once, hash_init);
	return xcalloc(1, sizeof(struct strmap));
}

static struct str_entry *str_find(const struct strmap *m, const char *key)
{
	struct str_entry *e;
	size_t len = strlen(key);

	HASH_FIND_BYHASHVALUE(hh, m->head, key, len, str_hash(key, len), e);
	return e;
}

/* A key may be a ClientId. */
static void str_free(struct str_entry *e)
{
	xfree_secret(e, sizeof(*e) + e->hh.keylen + 1);
}

static void str_remove(struct strmap *m, struct str_entry *e)
{
	HASH_DEL(m->head, e);
	str_free(e);
}

void strmap_free(struct strmap *m)
{
	struct str_entry *e, *next;

	if (!m)
		return;
	e = m->head;
	HASH_CLEAR(hh, m->head); /* the table goes, the chain of entries stays */
	for (; e; e = next) {
		next = e->hh.next;
		str_free(e);
	}
	free(m);
}

void strmap_put(struct strmap *m, const char *key, void *value)
{
	struct str_entry *e = str_find(m, key);
	size_t len = strlen(key);

	if (e) {
		e->value = value;
		return;
	}
	e = xmalloc(sizeof(*e) + len + 1);
	memcpy(e->key, key, len + 1);
	e->value = value;
	HASH_ADD_KEYPTR_BYHASHVALUE(hh, m->head, e->key, len, str_hash(key, len), e);
}

void *strmap_get(const struct strmap *m, const char *key)
{
	struct str_entry *e = str_find(m, key);

	return e ? e->value : NULL;
}

void *strmap_del(struct strmap *m, const char *key)
{
	struct str_entry *e = str_find(m, key);
	void *value;

	if (!e)
		return NULL;
	value = e->value;
	str_remove(m, e);
	return value;
}

size_t strmap_count(const struct strmap *m)
{
	return HASH_COUNT(m->head);
}

void strmap_each(struct strmap *m, void (*fn)(const char *key, void *value, void *arg), void *arg)
{
	struct str_entry *e, *next;

	HASH_ITER(hh, m->head, e, next)
	{
		fn(e->key, e->value, arg);
	}
}

void strmap_each_first(struct strmap *m, size_t n,
		       void (*fn)(const char *key, void *value, void *arg), void *arg)
{
	for (struct str_entry *e = m->head; e && n > 0; e = e->hh.next, n--)
		fn(e->key, e->value, arg);
}

uint64_t id_next(void)
{
	static atomic_uint_fast64_t last;

	return atomic_fetch_add_explicit(&last, 1, memory_order_relaxed) + 1;
}
