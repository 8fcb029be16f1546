/*
 * What a look-up in the registry costs: 5,000 names, one thread and two.
 *
 *   make build/release/bench-registry && build/release/bench-registry
 */
#include "pgrokd/names/registry.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NAMES 5000
#define ROUNDS 2000000

static struct registry *r;
static char keys[NAMES][40];

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void *look_up(void *arg)
{
	unsigned at = *(unsigned *)arg;

	for (int i = 0; i < ROUNDS; i++) {
		at = at * 1664525 + 1013904223;
		route_unref(registry_find(r, keys[(at >> 8) % NAMES]));
	}
	return NULL;
}

int main(void)
{
	unsigned seeds[2] = {1, 7919};
	struct obstacle why;

	r = registry_new(2);
	for (int i = 0; i < NAMES; i++) {
		snprintf(keys[i], sizeof(keys[i]), "http://t%d.example.test", i);
		struct route *x = route_new(PROTO_HTTP, strdup(keys[i]), NULL);
		if (!x || !registry_claim(r, &x, 1, &why))
			return 1;
	}
	for (int threads = 1; threads <= 2; threads++) {
		pthread_t all[2];
		double began = now_ns();
		for (int i = 0; i < threads; i++)
			pthread_create(&all[i], NULL, look_up, &seeds[i]);
		for (int i = 0; i < threads; i++)
			pthread_join(all[i], NULL);
		double each = (now_ns() - began) / ROUNDS;
		printf("%d threads: %.0f ns a look-up, %.1f million/s in all\n", threads, each,
		       threads * 1e3 / each);
	}
	return 0;
}
