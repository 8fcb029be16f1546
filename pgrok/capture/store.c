/* The store of transactions: what is kept, what has to go, who is told. See capture.h. */
#include "pgrok/capture/capture.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/idmap.h"
#include "common/base/randid.h"
#include "pgrok/capture/store_in.h"

/* What an entry costs in the map of ids. */
#define MAP_COST 112

enum class { CLASS_OPEN, CLASS_DONE, CLASS_PINNED, CLASSES };

/* Of one class, in the order in which they may go. */
struct class_list {
	struct capture_txn *first, *last;
};

struct capture {
	struct capture_limits limits;
	struct capture_txn *first, *last; /* in the order they began */
	struct class_list lists[CLASSES];
	struct idmap *by_id;
	struct capture_tunnel *tunnels;
	struct capture_watch *watches;
	struct capture_stats stats;
	uint64_t id_seed, id_next;
};

/* ---- set up ---- */

struct capture *capture_new(const struct capture_limits *limits)
{
	struct capture *s = xcalloc(1, sizeof(*s));

	s->limits = *limits;
	s->by_id = idmap_new();
	rand_bytes(&s->id_seed, sizeof(s->id_seed));
	return s;
}

/* ---- who is told ---- */

void capture_watch(struct capture *s, struct capture_watch *w)
{
	w->next = s->watches;
	s->watches = w;
}

void capture_unwatch(struct capture *s, struct capture_watch *w)
{
	struct capture_watch **at = &s->watches;

	while (*at && *at != w)
		at = &(*at)->next;
	if (*at)
		*at = w->next;
}

void store_tell(struct capture *s, enum capture_event ev, struct capture_txn *t,
		const struct capture_frame *frame)
{
	if (t)
		t->rev++;
	for (struct capture_watch *w = s->watches; w; w = w->next)
		w->fn(w->arg, ev, t, frame);
}

/* ---- tunnels ---- */

static bool same_tunnel(const struct capture_tunnel *t, const struct capture_conn_info *info)
{
	return t->proto == info->proto && !strcmp(t->url, info->url) &&
	       !strcmp(t->name, info->name) && !strcmp(t->local, info->local);
}

struct capture_tunnel *store_tunnel(struct capture *s, const struct capture_conn_info *info)
{
	struct capture_tunnel *t = s->tunnels;

	while (t && !same_tunnel(t, info))
		t = t->next;
	if (!t) {
		t = xcalloc(1, sizeof(*t));
		t->name = xstrdup(info->name);
		t->url = xstrdup(info->url);
		t->local = xstrdup(info->local);
		t->proto = info->proto;
		t->next = s->tunnels;
		s->tunnels = t;
	}
	t->refs++;
	return t;
}

void store_tunnel_unref(struct capture *s, struct capture_tunnel *t)
{
	struct capture_tunnel **at = &s->tunnels;

	if (--t->refs)
		return;
	while (*at != t)
		at = &(*at)->next;
	*at = t->next;
	free(t->name);
	free(t->url);
	free(t->local);
	free(t);
}

/* ---- lists ---- */

static void class_add(struct capture *s, struct capture_txn *t, enum class class, bool front)
{
	struct class_list *l = &s->lists[class];
	struct capture_txn *after = front ? NULL : l->last;

	t->class = (uint8_t) class;
	t->class_prev = after;
	t->class_next = after ? after->class_next : l->first;
	*(t->class_next ? &t->class_next->class_prev : &l->last) = t;
	*(after ? &after->class_next : &l->first) = t;
}

static void class_del(struct capture *s, struct capture_txn *t)
{
	struct class_list *l = &s->lists[t->class];

	*(t->class_prev ? &t->class_prev->class_next : &l->first) = t->class_next;
	*(t->class_next ? &t->class_next->class_prev : &l->last) = t->class_prev;
}

/* ---- the end of a transaction ---- */

static size_t head_cost(const struct capture_head *h)
{
	return h->text ? h->len + 1 + CAPTURE_ALLOC : 0;
}

static size_t frame_cost(const struct capture_frame *f)
{
	size_t sum = sizeof(*f) + CAPTURE_ALLOC + blob_memory(&f->blob);

	if (f->event)
		sum += strlen(f->event) + 1 + CAPTURE_ALLOC;
	if (f->last_id)
		sum += strlen(f->last_id) + 1 + CAPTURE_ALLOC;
	return sum;
}

static void frame_free(struct capture_frame *f)
{
	blob_free(&f->blob);
	free(f->event);
	free(f->last_id);
	free(f);
}

/* What its parts cost together: t->memory is to be the same. */
static size_t memory_of(const struct capture_txn *t)
{
	size_t sum = sizeof(*t) + CAPTURE_ALLOC + MAP_COST + strlen(t->visitor) + 1 + CAPTURE_ALLOC;

	sum += head_cost(&t->req_head) + head_cost(&t->resp_head);
	sum += head_cost(&t->req_trailers) + head_cost(&t->resp_trailers);
	sum += blob_memory(&t->req.blob) + blob_memory(&t->resp.blob);
	if (t->interim)
		sum += CAPTURE_INTERIM_MAX * sizeof(*t->interim) + CAPTURE_ALLOC;
	for (unsigned i = 0; t->interim && i < t->interim_n; i++)
		sum += head_cost(&t->interim[i].head);
	if (t->note)
		sum += strlen(t->note) + 1 + CAPTURE_ALLOC;
	return sum + t->frames_memory;
}

static void txn_free(struct capture_txn *t)
{
	struct capture_frame *next;

	for (struct capture_frame *f = t->frames; f; f = next) {
		next = f->next;
		frame_free(f);
	}
	for (unsigned i = 0; i < t->interim_n; i++)
		free(t->interim[i].head.text);
	free(t->interim);
	free(t->req_head.text);
	free(t->resp_head.text);
	free(t->req_trailers.text);
	free(t->resp_trailers.text);
	blob_free(&t->req.blob);
	blob_free(&t->resp.blob);
	free(t->visitor);
	free(t->note);
	free(t);
}

/* Takes t out of the store. */
static void txn_remove(struct capture *s, struct capture_txn *t)
{
	if (t->conn)
		t->forget(t->conn, t);
	assert(t->memory == memory_of(t));
	*(t->prev ? &t->prev->next : &s->first) = t->next;
	*(t->next ? &t->next->prev : &s->last) = t->prev;
	class_del(s, t);
	idmap_del(s->by_id, t->key);
	s->stats.memory -= t->memory;
	s->stats.entries--;
	s->stats.pinned -= t->pinned;
	store_tunnel_unref(s, t->tunnel);
	txn_free(t);
}

static void evict(struct capture *s, struct capture_txn *t)
{
	s->stats.evicted++;
	store_tell(s, CAPTURE_EV_EVICTED, t, NULL);
	txn_remove(s, t);
}

void capture_free(struct capture *s)
{
	if (!s)
		return;
	while (s->first)
		txn_remove(s, s->first);
	assert(!s->stats.memory && !s->tunnels);
	idmap_free(s->by_id);
	free(s);
}

/* ---- room ---- */

/* The next one that may go for t's sake; NULL: none. */
static struct capture_txn *next_victim(struct capture *s, const struct capture_txn *t)
{
	struct capture_txn *v = s->lists[CLASS_DONE].first;

	if (v == t && v)
		v = v->class_next;
	if (v)
		return v;
	v = s->lists[CLASS_OPEN].first;
	return v == t && v ? v->class_next : v;
}

bool store_charge(struct capture *s, struct capture_txn *t, size_t n)
{
	struct capture_txn *victim;

	if (n > s->limits.max_total)
		return false;
	while (s->stats.memory + n > s->limits.max_total) {
		victim = next_victim(s, t);
		if (!victim)
			return false;
		evict(s, victim);
	}
	s->stats.memory += n;
	if (t)
		t->memory += n;
	return true;
}

void store_refund(struct capture *s, struct capture_txn *t, size_t n)
{
	s->stats.memory -= n;
	if (t)
		t->memory -= n;
}

/* ---- a transaction ---- */

/* A walk over all 64-bit numbers in an order that nobody can foresee: nothing comes twice. */
static uint64_t new_key(struct capture *s)
{
	uint64_t x;

	do {
		x = s->id_seed + ++s->id_next * UINT64_C(0x9e3779b97f4a7c15);
		x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
		x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
		x ^= x >> 31;
	} while (!x || idmap_get(s->by_id, x));
	return x;
}

void capture_new_id(struct capture *s, char out[static CAPTURE_ID])
{
	snprintf(out, CAPTURE_ID, "%016" PRIx64, new_key(s));
}

/* 0: not an id. */
static uint64_t key_of(const char *id)
{
	uint64_t key = 0;
	int i;

	for (i = 0; i < 16; i++) {
		char c = id[i];

		if (c >= '0' && c <= '9')
			key = key << 4 | (uint64_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			key = key << 4 | (uint64_t)(c - 'a' + 10);
		else
			return 0;
	}
	return id[i] ? 0 : key;
}

static int64_t wall_us(uint64_t start_ns)
{
	return clock_wall_us() - (int64_t)((clock_ns() - start_ns) / 1000);
}

struct capture_txn *store_begin(struct capture *s, const struct txn_source *from)
{
	size_t cost = sizeof(struct capture_txn) + CAPTURE_ALLOC + MAP_COST +
		      strlen(from->visitor) + 1 + CAPTURE_ALLOC;
	struct capture_txn *t;

	if (!store_charge(s, NULL, cost)) {
		s->stats.lost++;
		return NULL;
	}
	t = xcalloc(1, sizeof(*t));
	t->memory = cost;
	t->seq = ++s->stats.begun;
	t->tunnel = from->tunnel;
	t->tunnel->refs++;
	t->conn = from->conn;
	t->forget = from->forget;
	t->visitor = xstrdup(from->visitor);
	t->edited = from->edited;
	t->start_ns = from->start_ns;
	t->start_us = wall_us(from->start_ns);
	t->connect_ns = from->connect_ns;
	t->sent_ns = t->first_ns = t->last_ns = -1;
	if (from->origin)
		snprintf(t->origin, sizeof(t->origin), "%s", from->origin);
	if (from->id && key_of(from->id) && !idmap_get(s->by_id, key_of(from->id)))
		snprintf(t->id, sizeof(t->id), "%s", from->id);
	else
		capture_new_id(s, t->id);
	t->key = key_of(t->id);
	idmap_put(s->by_id, t->key, t);
	t->prev = s->last;
	*(s->last ? &s->last->next : &s->first) = t;
	s->last = t;
	class_add(s, t, CLASS_OPEN, false);
	s->stats.entries++;
	return t;
}

void store_finish(struct capture *s, struct capture_txn *t, enum capture_state state,
		  const char *error)
{
	t->state = state;
	t->error = error;
	t->conn = NULL;
	t->tunnel->finished++;
	if (!t->pinned) {
		class_del(s, t);
		class_add(s, t, CLASS_DONE, false);
	}
	store_tell(s, CAPTURE_EV_FINISHED, t, NULL);
}

void store_unfollowed(struct capture *s)
{
	s->stats.unfollowed++;
}

void store_set_head(struct capture *s, struct capture_txn *t, struct capture_head *h,
		    const char *text, size_t len)
{
	if (!len || h->text || !store_charge(s, t, len + 1 + CAPTURE_ALLOC))
		return;
	h->text = xmalloc(len + 1);
	memcpy(h->text, text, len);
	h->text[len] = '\0';
	h->len = (uint32_t)len;
}

void store_add_interim(struct capture *s, struct capture_txn *t, int64_t at_ns, const char *text,
		       size_t len)
{
	if (t->interim_n == CAPTURE_INTERIM_MAX)
		return;
	if (!t->interim) {
		if (!store_charge(s, t, CAPTURE_INTERIM_MAX * sizeof(*t->interim) + CAPTURE_ALLOC))
			return;
		t->interim = xcalloc(CAPTURE_INTERIM_MAX, sizeof(*t->interim));
	}
	struct capture_interim *i = &t->interim[t->interim_n];

	i->at_ns = at_ns;
	store_set_head(s, t, &i->head, text, len);
	t->interim_n += i->head.text != NULL;
}

/* How many of len bytes may be kept behind `kept` of `size`. */
static size_t may_keep(const struct capture *s, uint64_t size, size_t kept, size_t len)
{
	/* A gap can't be told from what was sent: after one byte lost no more are kept. */
	if (size != kept || size >= s->limits.max_body)
		return 0;
	return len < s->limits.max_body - size ? len : s->limits.max_body - size;
}

void store_add_body(struct capture *s, struct capture_txn *t, struct capture_body *b,
		    const char *data, size_t len)
{
	size_t keep = may_keep(s, b->size, b->blob.len, len);

	b->size += len;
	if (keep && store_charge(s, t, blob_cost(&b->blob, keep)))
		blob_add(&b->blob, data, keep);
}

char *capture_reason(const struct capture_txn *t)
{
	/* "HTTP/1.1 200 OK": http_response_scan() has seen to it that there are that many bytes. */
	const char *text = t->resp_head.text ? t->resp_head.text + 12 : "";
	size_t len = strcspn(text, "\r\n");

	while (len && *text == ' ') {
		text++;
		len--;
	}
	return xstrndup(text, len);
}

uint64_t capture_duration_ns(const struct capture_txn *t)
{
	if (t->state == CAPTURE_OPEN)
		return clock_ns() - t->start_ns;
	return t->last_ns > 0 ? (uint64_t)t->last_ns : 0;
}

/* ---- frames ---- */

/* Drops the oldest frame that is complete. False: there is none. */
static bool drop_frame(struct capture *s, struct capture_txn *t)
{
	struct capture_frame **at = &t->frames, *before = NULL, *f;

	while (*at && !(*at)->complete) {
		before = *at;
		at = &before->next;
	}
	f = *at;
	if (!f)
		return false;
	*at = f->next;
	if (t->frames_last == f)
		t->frames_last = before;
	t->frames_memory -= frame_cost(f);
	store_refund(s, t, frame_cost(f));
	t->frames_dropped++;
	frame_free(f);
	return true;
}

/* n bytes more for t's frames: as many as a body's at most, so that the old ones go first. */
static bool charge_frames(struct capture *s, struct capture_txn *t, size_t n)
{
	while (t->frames_memory + n > s->limits.max_body) {
		if (!drop_frame(s, t))
			return false;
	}
	if (!store_charge(s, t, n))
		return false;
	t->frames_memory += n;
	return true;
}

struct capture_frame *store_add_frame(struct capture *s, struct capture_txn *t,
				      enum capture_frame_type type, bool from_client)
{
	struct capture_frame *f;

	t->frames_n++;
	if (!charge_frames(s, t, sizeof(*f) + CAPTURE_ALLOC)) {
		t->frames_dropped++;
		return NULL;
	}
	f = xcalloc(1, sizeof(*f));
	f->n = t->frames_n;
	f->at_ns = (int64_t)(clock_ns() - t->start_ns);
	f->type = type;
	f->from_client = from_client;
	*(t->frames_last ? &t->frames_last->next : &t->frames) = f;
	t->frames_last = f;
	return f;
}

void store_grow_frame(struct capture *s, struct capture_txn *t, struct capture_frame *f,
		      const char *data, size_t len)
{
	size_t keep = may_keep(s, f->size, f->blob.len, len);

	f->size += len;
	/* Half of what it costs may be the last part's room: then less of it is kept. */
	for (; keep; keep /= 2) {
		if (charge_frames(s, t, blob_cost(&f->blob, keep)))
			break;
	}
	if (keep)
		blob_add(&f->blob, data, keep);
}

void store_frame_text(struct capture *s, struct capture_txn *t, char **member, const char *text,
		      size_t len)
{
	if (*member) {
		t->frames_memory -= strlen(*member) + 1 + CAPTURE_ALLOC;
		store_refund(s, t, strlen(*member) + 1 + CAPTURE_ALLOC);
		free(*member);
		*member = NULL;
	}
	len = strnlen(text, len);
	if (charge_frames(s, t, len + 1 + CAPTURE_ALLOC))
		*member = xstrndup(text, len);
}

/* ---- who looks ---- */

const struct capture_limits *capture_limits_of(const struct capture *s)
{
	return &s->limits;
}

void capture_stats(const struct capture *s, struct capture_stats *out)
{
	*out = s->stats;
}

const struct capture_txn *capture_newest(const struct capture *s)
{
	return s->last;
}

const struct capture_txn *capture_oldest(const struct capture *s)
{
	return s->first;
}

static struct capture_txn *find(const struct capture *s, const char *id)
{
	uint64_t key = key_of(id);

	return key ? idmap_get(s->by_id, key) : NULL;
}

const struct capture_txn *capture_find(const struct capture *s, const char *id)
{
	return find(s, id);
}

/* Bytes of text that fit in max, whole characters of UTF-8. */
static size_t cut_at(const char *text, size_t max)
{
	size_t len = strlen(text);

	if (len <= max)
		return len;
	while (max > 0 && ((unsigned char)text[max] & 0xc0) == 0x80)
		max--;
	return max;
}

static void set_note(struct capture *s, struct capture_txn *t, const char *note)
{
	size_t len = cut_at(note, CAPTURE_NOTE);

	if (t->note) {
		store_refund(s, t, strlen(t->note) + 1 + CAPTURE_ALLOC);
		free(t->note);
		t->note = NULL;
	}
	if (len && store_charge(s, t, len + 1 + CAPTURE_ALLOC))
		t->note = xstrndup(note, len);
}

static void set_pinned(struct capture *s, struct capture_txn *t, bool pinned)
{
	if (t->pinned == pinned)
		return;
	t->pinned = pinned;
	s->stats.pinned += pinned ? 1 : -(size_t)1;
	class_del(s, t);
	if (pinned)
		class_add(s, t, CLASS_PINNED, false);
	else
		class_add(s, t, t->state == CAPTURE_OPEN ? CLASS_OPEN : CLASS_DONE, true);
}

bool capture_annotate(struct capture *s, const char *id, const bool *pinned, const char *mark,
		      const char *note)
{
	struct capture_txn *t = find(s, id);

	if (!t)
		return false;
	if (mark)
		snprintf(t->mark, sizeof(t->mark), "%.*s", (int)cut_at(mark, CAPTURE_MARK - 1),
			 mark);
	if (note)
		set_note(s, t, note);
	if (pinned)
		set_pinned(s, t, *pinned);
	store_tell(s, CAPTURE_EV_CHANGED, t, NULL);
	return true;
}

bool capture_delete(struct capture *s, const char *id)
{
	struct capture_txn *t = find(s, id);

	if (t)
		evict(s, t);
	return t;
}

void capture_clear(struct capture *s, bool keep_pinned)
{
	struct capture_txn *next;

	for (struct capture_txn *t = s->first; t; t = next) {
		next = t->next;
		if (!keep_pinned || !t->pinned)
			txn_remove(s, t);
	}
	store_tell(s, CAPTURE_EV_CLEARED, NULL, NULL);
}
