/* REGISTRY_CACHE_FILE: the affinity as a JSON file, so that names survive a restart. */
#ifndef PGROKD_NAMES_CACHEFILE_H
#define PGROKD_NAMES_CACHEFILE_H

#include "pgrokd/names/registry.h"
#include "pgrokd/names/savefile.h"

/*
 * Reads the file into the registry, before any worker runs. Missing: fine. The Go server's (gob) is
 * renamed FILE.gob; anything else that is not ours is left alone, with a message.
 */
void cachefile_load(struct savefile *f, struct registry *r);
/* Writes it if it is time and anything changed since the last time that worked. */
void cachefile_save(struct savefile *f, struct registry *r);

#endif
