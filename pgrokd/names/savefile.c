/* A file of ours that is read at the start and written while the server runs. */
#include "pgrokd/names/savefile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "pgrokd/limits.h"

#define PREFIX "registry"

struct savefile savefile_of(const char *what, const char *path)
{
	return (struct savefile){.what = what, .path = path ? xstrdup(path) : NULL};
}

void savefile_free(struct savefile *f)
{
	free(f->path);
	f->path = NULL;
}

char *savefile_read(struct savefile *f, size_t *len)
{
	struct err err;
	char *text = f->path ? file_read(f->path, LIMIT_CACHE_FILE, len, &err) : NULL;

	if (!text && f->path && errno != ENOENT && errno != ENOTDIR)
		savefile_leave(f, strerror(errno));
	return text;
}

void savefile_leave(struct savefile *f, const char *why)
{
	f->foreign = true;
	log_warn(PREFIX, "%s %s is left alone, names are not saved: %s", f->what, f->path, why);
}

bool savefile_due(struct savefile *f)
{
	f->began = clock_us();
	return f->path && !f->foreign && f->began >= f->not_before;
}

void savefile_hurry(struct savefile *f)
{
	f->not_before = 0;
}

bool savefile_write(struct savefile *f, const char *text, size_t len)
{
	bool ok = file_write(f->path, text, len, 0600);
	uint64_t now, pause = LIMIT_SAVE_MS * 1000;

	if (!ok && !f->failing)
		log_warn(PREFIX, "%s %s: %s; it is tried again", f->what, f->path, strerror(errno));
	else if (ok && f->failing)
		log_info(PREFIX, "%s %s is written again", f->what, f->path);
	f->failing = !ok;
	now = clock_us();
	if (pause < (now - f->began) * LIMIT_SAVE_SHARE)
		pause = (now - f->began) * LIMIT_SAVE_SHARE;
	f->not_before = now + pause;
	return ok;
}
