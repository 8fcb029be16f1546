/* Counts half-open connections per address, over all workers. */
#include "pgrokd/front/door.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/idmap.h"

struct door {
	pthread_mutex_t lock;  /* held for one look-up in the map */
	struct strmap *counts; /* address -> intptr_t */
	int per_ip;
};

struct door *door_new(int per_ip)
{
	struct door *d = xcalloc(1, sizeof(*d));

	pthread_mutex_init(&d->lock, NULL);
	d->counts = strmap_new();
	d->per_ip = per_ip;
	return d;
}

void door_free(struct door *d)
{
	strmap_free(d->counts);
	pthread_mutex_destroy(&d->lock);
	free(d);
}

/* One household: an IPv4 address, or the first half of an IPv6 one. */
static const char *household(const struct addr *peer, char text[static ADDR_TEXT])
{
	struct addr a = *peer;

	if (a.sa.any.sa_family == AF_INET6) {
		struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&a.sa;

		if (!IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
			memset(v6->sin6_addr.s6_addr + 8, 0, 8);
	}
	return addr_ip_text(&a, text);
}

bool door_enter(struct door *d, const struct addr *peer)
{
	char ip[ADDR_TEXT];

	if (addr_is_loopback(peer))
		return true;
	household(peer, ip);
	pthread_mutex_lock(&d->lock);
	intptr_t n = (intptr_t)strmap_get(d->counts, ip);
	bool ok = n < d->per_ip;

	if (ok)
		strmap_put(d->counts, ip, (void *)(n + 1));
	pthread_mutex_unlock(&d->lock);
	return ok;
}

void door_leave(struct door *d, const struct addr *peer)
{
	char ip[ADDR_TEXT];

	if (addr_is_loopback(peer))
		return;
	household(peer, ip);
	pthread_mutex_lock(&d->lock);
	intptr_t n = (intptr_t)strmap_get(d->counts, ip);

	if (n > 1)
		strmap_put(d->counts, ip, (void *)(n - 1));
	else
		strmap_del(d->counts, ip);
	pthread_mutex_unlock(&d->lock);
}
