/*
 * A file of ours that is read at the start and written while the server runs. What is there and is
 * not ours is never written over.
 */
#ifndef PGROKD_NAMES_SAVEFILE_H
#define PGROKD_NAMES_SAVEFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/xalloc.h"

struct savefile {
	const char *what;    /* for the log: an option's or a variable's name */
	char *path;          /* owned; NULL: there is none, and nothing is saved */
	bool foreign;        /* not ours: not written */
	bool failing;        /* it could not be written, and that was said */
	uint64_t not_before; /* microseconds: the next time it may be written */
	uint64_t began;      /* of this writing */
};

/* Copies path. */
struct savefile savefile_of(const char *what, const char *path) MUSTCHECK;
void savefile_free(struct savefile *f);
/* Its text, owned. NULL: there is none; one that can't be read is left alone, with a message. */
char *savefile_read(struct savefile *f, size_t *len) MUSTCHECK;
/* It is not ours: left alone from now on, with a message. */
void savefile_leave(struct savefile *f, const char *why);
/*
 * Is it time to write it? At most every LIMIT_SAVE_MS, and for at most one part in LIMIT_SAVE_SHARE
 * of the time. Making the text begins with this.
 */
bool savefile_due(struct savefile *f) MUSTCHECK;
/* It is time, whatever was before. */
void savefile_hurry(struct savefile *f);
/* tmp + rename, mode 0600. False: to be tried again; said once until it works again. */
bool savefile_write(struct savefile *f, const char *text, size_t len) MUSTCHECK;

#endif
