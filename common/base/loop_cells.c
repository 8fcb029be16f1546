/* Where libevent's smallest blocks are: cells of one size, in pages that nothing else uses. */
#include "common/base/loop_cells.h"

#include <event2/event.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define CELL 32
#define CELLS (1u << 18) /* addresses; memory is taken for those in use */
#define AREA ((size_t)CELLS * CELL)

/* Sanitizers have to see every block. gcc says that one is on by a macro, clang by a feature. */
#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || \
	__has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define USED false
#else
#define USED true
#endif

union cell {
	union cell *next; /* free */
	char bytes[CELL];
};

static struct {
	pthread_mutex_t lock;
	union cell *area; /* NULL: none to be had */
	union cell *free;
	size_t fresh; /* cells that were in use at some time */
} cells = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool is_cell(const void *p)
{
	return cells.area && (uintptr_t)p - (uintptr_t)cells.area < AREA;
}

static void *cell_take(void)
{
	union cell *c = NULL;

	pthread_mutex_lock(&cells.lock);
	if (cells.free) {
		c = cells.free;
		cells.free = c->next;
	} else if (cells.area && cells.fresh < CELLS) {
		c = &cells.area[cells.fresh++];
	}
	pthread_mutex_unlock(&cells.lock);
	return c;
}

static void *take(size_t size)
{
	void *p = size <= CELL ? cell_take() : NULL;

	return p ? p : malloc(size);
}

static void give(void *p)
{
	union cell *c = p;

	if (!is_cell(p)) {
		free(p);
		return;
	}
	pthread_mutex_lock(&cells.lock);
	c->next = cells.free;
	cells.free = c;
	pthread_mutex_unlock(&cells.lock);
}

static void *take_more(void *p, size_t size)
{
	void *to;

	if (!is_cell(p))
		return realloc(p, size);
	to = malloc(size);
	if (to) {
		memcpy(to, p, size < CELL ? size : CELL);
		give(p);
	}
	return to;
}

void loop_cells_use(void)
{
	void *area = USED ? mmap(NULL, AREA, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
			  : MAP_FAILED;

	if (area == MAP_FAILED)
		return;
	cells.area = area;
	event_set_mem_functions(take, take_more, give);
}
