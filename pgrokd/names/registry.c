/* The one thing all workers share: which URL is whose, where a client is at home, who had what. */
#include "pgrokd/names/registry.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/idmap.h"
#include "common/base/loop.h"
#include "common/base/randid.h"
#include "pgrokd/names/held.h"
#include "pgrokd/names/ports.h"

/* Where a ClientId lives, as long as an Auth under way or a control uses it. */
struct home {
	int worker;
	int uses;
};

struct registry {
	pthread_mutex_t lock;
	struct strmap *routes; /* key -> struct route, a reference each */
	struct strmap *homes;  /* ClientId -> struct home */
	struct affinity *affinity;
	struct held *held;
	struct ports *ports; /* all of them: under the lock */
	bool changed;        /* affinity is not what was saved last */
	bool names_changed;  /* nor are routes and held */
	uint64_t keep_ms[2]; /* [owner.named]: how long a name is held */
	int workers;
	int *clients;       /* [workers] ClientIds at home there; under the lock */
	atomic_int *joined; /* [workers] */
};

static uint64_t now_ms(void)
{
	return clock_us() / 1000;
}

static void hold_gone(void *arg, const char *key)
{
	struct registry *r = arg;
	uint16_t port = key_port(key);

	if (port)
		ports_set_busy(r->ports, port, false);
}

struct registry *registry_new(int workers)
{
	struct registry *r = xcalloc(1, sizeof(*r));

	pthread_mutex_init(&r->lock, NULL);
	r->routes = strmap_new();
	r->homes = strmap_new();
	r->affinity = affinity_new(LIMIT_AFFINITY);
	r->held = held_new(LIMIT_HELD, LIMIT_HELD_CLIENT, LIMIT_HELD_ADDRESS);
	held_on_gone(r->held, hold_gone, r);
	r->ports = ports_new();
	registry_set_keep(r, LIMIT_NAME_HELD_MS, LIMIT_NAME_KEPT_MS);
	r->workers = workers;
	r->clients = xcalloc((size_t)workers, sizeof(*r->clients));
	r->joined = xcalloc((size_t)workers, sizeof(*r->joined));
	return r;
}

void registry_set_keep(struct registry *r, uint64_t ms, uint64_t named_ms)
{
	r->keep_ms[false] = loop_scaled(ms);
	r->keep_ms[true] = loop_scaled(named_ms);
}

static void drop_route(const char *key, void *value, void *arg)
{
	(void)key;
	(void)arg;
	route_unref(value);
}

static void drop_home(const char *key, void *value, void *arg)
{
	(void)key;
	(void)arg;
	free(value);
}

void registry_free(struct registry *r)
{
	strmap_each(r->routes, drop_route, NULL);
	strmap_free(r->routes);
	strmap_each(r->homes, drop_home, NULL);
	strmap_free(r->homes);
	affinity_free(r->affinity);
	held_free(r->held);
	ports_free(r->ports);
	pthread_mutex_destroy(&r->lock);
	free(r->clients);
	free(r->joined);
	free(r);
}

struct route *registry_find(struct registry *r, const char *key)
{
	pthread_mutex_lock(&r->lock);
	struct route *found = strmap_get(r->routes, key);

	if (found)
		route_ref(found);
	pthread_mutex_unlock(&r->lock);
	return found;
}

size_t registry_routes(struct registry *r)
{
	pthread_mutex_lock(&r->lock);
	size_t n = strmap_count(r->routes);

	pthread_mutex_unlock(&r->lock);
	return n;
}

bool registry_held(struct registry *r, const char *key)
{
	pthread_mutex_lock(&r->lock);
	bool held = !strmap_get(r->routes, key) && held_against(r->held, key, NULL, now_ms());

	pthread_mutex_unlock(&r->lock);
	return held;
}

/* Is it another's, or held for another? */
static bool blocked(const struct registry *r, const struct route *route, uint64_t now,
		    struct obstacle *why)
{
	struct route *taken = strmap_get(r->routes, route->key);
	uint64_t ms = taken ? 0 : held_against(r->held, route->key, &route->owner, now);

	why->taken = taken ? route_ref(taken) : NULL;
	why->held_s = (unsigned)((ms + 999) / 1000);
	why->full = false;
	return taken || ms;
}

static void put_route(struct registry *r, struct route *route)
{
	held_drop(r->held, route->key);
	strmap_put(r->routes, route->key, route_ref(route));
	if (route->port)
		ports_set_busy(r->ports, route->port, true);
}

bool registry_claim(struct registry *r, struct route *const *routes, int n, struct obstacle *why)
{
	uint64_t now = now_ms();
	bool ok = true;

	pthread_mutex_lock(&r->lock);
	held_sweep(r->held, now);
	for (int i = 0; i < n && ok; i++)
		ok = !blocked(r, routes[i], now, why);
	for (int i = 0; i < n && ok; i++)
		put_route(r, routes[i]);
	r->names_changed |= ok;
	pthread_mutex_unlock(&r->lock);
	return ok;
}

void registry_unregister(struct registry *r, const struct route *route, bool hold)
{
	uint64_t until = now_ms() + r->keep_ms[route->owner.named];

	pthread_mutex_lock(&r->lock);
	struct route *found = strmap_get(r->routes, route->key);

	if (found && found->tunnel_id == route->tunnel_id) {
		strmap_del(r->routes, route->key);
		if (hold)
			held_add(r->held, route->key, &route->owner, until);
		if (route->port)
			ports_set_busy(r->ports, route->port, hold);
		r->names_changed = true;
	} else {
		found = NULL;
	}
	pthread_mutex_unlock(&r->lock);
	route_unref(found);
}

/* ---- ports ---- */

void registry_set_ports(struct registry *r, uint16_t min, uint16_t max)
{
	ports_set_range(r->ports, min, max);
}

uint16_t registry_free_port_of(struct registry *r, uint16_t min, uint16_t max)
{
	uint16_t start = (uint16_t)(min + rand_below((uint32_t)(max - min) + 1));
	uint64_t now = now_ms();

	pthread_mutex_lock(&r->lock);
	held_sweep(r->held, now);
	uint16_t port = ports_pick_of(r->ports, min, max, start, now);

	pthread_mutex_unlock(&r->lock);
	return port;
}

uint16_t registry_free_port(struct registry *r)
{
	uint16_t start = (uint16_t)rand_below(65536);
	uint64_t now = now_ms();

	pthread_mutex_lock(&r->lock);
	held_sweep(r->held, now);
	uint16_t port = ports_pick(r->ports, start, now);

	pthread_mutex_unlock(&r->lock);
	return port;
}

void registry_port_failed(struct registry *r, uint16_t port)
{
	pthread_mutex_lock(&r->lock);
	ports_failed(r->ports, port, now_ms());
	pthread_mutex_unlock(&r->lock);
}

/* ---- what is to survive a restart ---- */

/* Filled under the lock, so with references alone. */
struct name_list {
	const struct registry *registry;
	struct saved_name *names;
	size_t n, max;
	uint64_t now;
};

static void save(struct name_list *list, struct route *name, uint64_t left_ms)
{
	if (list->n < list->max)
		list->names[list->n++] =
			(struct saved_name){.name = route_ref(name), .left_ms = left_ms};
}

static void save_route(const char *key, void *value, void *arg)
{
	struct route *route = value;
	struct name_list *list = arg;

	(void)key;
	save(list, route, list->registry->keep_ms[route->owner.named]);
}

static void save_hold(void *arg, struct route *name, uint64_t until)
{
	struct name_list *list = arg;

	if (until > list->now)
		save(list, name, until - list->now);
}

/* Room for all there are now and a few more, its pages made before others wait for the lock. */
static struct name_list make_list(struct registry *r)
{
	struct name_list list = {.registry = r, .now = now_ms()};

	pthread_mutex_lock(&r->lock);
	size_t open = strmap_count(r->routes), held = held_count(r->held);

	pthread_mutex_unlock(&r->lock);
	list.max = (open < LIMIT_SAVED_NAMES ? open : LIMIT_SAVED_NAMES) + held;
	list.max += list.max / 8 + 64;
	list.names = xmalloc(list.max * sizeof(*list.names));
	memset(list.names, 0, list.max * sizeof(*list.names));
	return list;
}

struct saved_name *registry_names(struct registry *r, size_t *n)
{
	pthread_mutex_lock(&r->lock);
	bool changed = r->names_changed;

	pthread_mutex_unlock(&r->lock);
	*n = 0;
	if (!changed)
		return NULL;
	struct name_list list = make_list(r);

	pthread_mutex_lock(&r->lock);
	r->names_changed = false;
	held_each(r->held, save_hold, &list);
	strmap_each_first(r->routes, LIMIT_SAVED_NAMES, save_route, &list);
	pthread_mutex_unlock(&r->lock);
	*n = list.n;
	return list.names;
}

void registry_names_free(struct saved_name *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		route_unref(names[i].name);
	free(names);
}

void registry_names_unsaved(struct registry *r)
{
	pthread_mutex_lock(&r->lock);
	r->names_changed = true;
	pthread_mutex_unlock(&r->lock);
}

void registry_hold(struct registry *r, const char *key, const struct owner *owner, uint64_t left_ms)
{
	uint16_t port = key_port(key);
	uint64_t most = r->keep_ms[owner->named];

	pthread_mutex_lock(&r->lock);
	held_add(r->held, key, owner, now_ms() + (left_ms < most ? left_ms : most));
	if (port)
		ports_set_busy(r->ports, port, true);
	pthread_mutex_unlock(&r->lock);
}

/* The worker for a new client. */
static int choose_home(struct registry *r)
{
	int best = 0, best_joined = 0;

	for (int i = 0; i < r->workers; i++) {
		int joined = atomic_load_explicit(&r->joined[i], memory_order_relaxed);

		if (i == 0 || joined < best_joined ||
		    (joined == best_joined && r->clients[i] < r->clients[best])) {
			best = i;
			best_joined = joined;
		}
	}
	return best;
}

int registry_enter(struct registry *r, const char *client_id)
{
	pthread_mutex_lock(&r->lock);
	struct home *h = strmap_get(r->homes, client_id);

	if (!h) {
		h = xcalloc(1, sizeof(*h));
		h->worker = choose_home(r);
		r->clients[h->worker]++;
		strmap_put(r->homes, client_id, h);
	}
	h->uses++;
	int worker = h->worker;

	pthread_mutex_unlock(&r->lock);
	return worker;
}

void registry_leave(struct registry *r, const char *client_id)
{
	pthread_mutex_lock(&r->lock);
	struct home *h = strmap_get(r->homes, client_id);

	if (h && --h->uses == 0) {
		r->clients[h->worker]--;
		strmap_del(r->homes, client_id);
		free(h);
	}
	pthread_mutex_unlock(&r->lock);
}

int registry_home(struct registry *r, const char *client_id)
{
	pthread_mutex_lock(&r->lock);
	const struct home *h = strmap_get(r->homes, client_id);
	int worker = h ? h->worker : -1;

	pthread_mutex_unlock(&r->lock);
	return worker;
}

void registry_joined(struct registry *r, int worker, int change)
{
	atomic_fetch_add_explicit(&r->joined[worker], change, memory_order_relaxed);
}

bool registry_recall(struct registry *r, const struct affinity_keys *keys,
		     char value[static AFFINITY_VALUE])
{
	pthread_mutex_lock(&r->lock);
	bool found = affinity_get(r->affinity, keys, value);

	pthread_mutex_unlock(&r->lock);
	return found;
}

void registry_remember(struct registry *r, const struct affinity_keys *keys, const char *value)
{
	pthread_mutex_lock(&r->lock);
	if (affinity_put(r->affinity, keys, value))
		r->changed = true;
	pthread_mutex_unlock(&r->lock);
}

void registry_load(struct registry *r, const char *key, const char *value)
{
	affinity_load(r->affinity, key, value);
}

char *registry_changes(struct registry *r, size_t *len)
{
	char *out = NULL;

	pthread_mutex_lock(&r->lock);
	if (r->changed)
		out = affinity_dump(r->affinity, len);
	r->changed = false;
	pthread_mutex_unlock(&r->lock);
	return out;
}

void registry_unsaved(struct registry *r)
{
	pthread_mutex_lock(&r->lock);
	r->changed = true;
	pthread_mutex_unlock(&r->lock);
}
