/*
 * names.json in -stateDir: which names are in use and held, so that after a restart only
 * their owners get them.
 */
#ifndef PGROKD_NAMES_STATEFILE_H
#define PGROKD_NAMES_STATEFILE_H

#include "pgrokd/names/registry.h"
#include "pgrokd/names/savefile.h"

/* dir NULL: none. Makes it if it is missing. */
struct savefile statefile_of(const char *dir) MUSTCHECK;
/*
 * Holds the names in it for their owners, from now on; before any worker runs. A file that is not
 * ours, or of a server for another domain, is left alone, with a message.
 */
void statefile_load(struct savefile *f, const char *domain, struct registry *r);
/* Writes it if it is time and anything changed since the last time that worked. */
void statefile_save(struct savefile *f, const char *domain, struct registry *r);

#endif
