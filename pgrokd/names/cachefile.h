/* REGISTRY_CACHE_FILE: the affinity as a JSON file, so that names survive a restart. */
#ifndef PGROKD_NAMES_CACHEFILE_H
#define PGROKD_NAMES_CACHEFILE_H

#include "pgrokd/names/registry.h"

/*
 * Reads the file into the registry, before any worker runs. Missing: fine. A file that is not
 * JSON (the Go server's gob) is renamed FILE.gob; bad JSON is left alone, and logged.
 */
void cachefile_load(const char *path, struct registry *r);
/* Writes it (tmp + rename, mode 0600) if anything changed since the last time. */
void cachefile_save(const char *path, struct registry *r);

#endif
