/* The one thing all workers share: which URL is whose, where a client is at home, who had what. */
#include "pgrokd/names/registry.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/idmap.h"

/* Where a ClientId lives, as long as an Auth under way or a control uses it. */
struct home {
	int worker;
	int uses;
};

struct registry {
	pthread_mutex_t lock;
	struct strmap *routes;     /* key -> struct route, a reference each */
	struct strmap *homes;      /* ClientId -> struct home */
	struct affinity *affinity; /* all three: under the lock */
	bool changed;              /* affinity is not what was saved last */
	int workers;
	int *clients;       /* [workers] ClientIds at home there; under the lock */
	atomic_int *joined; /* [workers] */
};

struct registry *registry_new(int workers)
{
	struct registry *r = xcalloc(1, sizeof(*r));

	pthread_mutex_init(&r->lock, NULL);
	r->routes = strmap_new();
	r->homes = strmap_new();
	r->affinity = affinity_new(LIMIT_AFFINITY);
	r->workers = workers;
	r->clients = xcalloc((size_t)workers, sizeof(*r->clients));
	r->joined = xcalloc((size_t)workers, sizeof(*r->joined));
	return r;
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

bool registry_claim(struct registry *r, struct route *const *routes, int n, struct route **taken)
{
	*taken = NULL;
	pthread_mutex_lock(&r->lock);
	for (int i = 0; i < n && !*taken; i++)
		*taken = strmap_get(r->routes, routes[i]->key);
	if (*taken)
		route_ref(*taken);
	else
		for (int i = 0; i < n; i++)
			strmap_put(r->routes, routes[i]->key, route_ref(routes[i]));
	pthread_mutex_unlock(&r->lock);
	return !*taken;
}

void registry_unregister(struct registry *r, const char *key, uint64_t tunnel_id)
{
	pthread_mutex_lock(&r->lock);
	struct route *found = strmap_get(r->routes, key);

	if (found && found->tunnel_id == tunnel_id)
		strmap_del(r->routes, key);
	else
		found = NULL;
	pthread_mutex_unlock(&r->lock);
	route_unref(found);
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
