/* Where the lines of a log go. */
#include "common/base/logfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/out.h"

/* O_NONBLOCK: a named pipe that nobody reads must not hang the daemon. */
static int open_append(const char *path)
{
	return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
}

/* A link that somebody else could have put there must not lead to a file of another user. */
static bool may_follow(const char *path, struct err *err)
{
	struct stat link, st;

	if (lstat(path, &link) < 0 || !S_ISLNK(link.st_mode))
		return true;
	if (stat(path, &st) < 0 && errno == ENOENT)
		return err_set(err, "log file %s is a link that leads nowhere", path);
	if (S_ISREG(st.st_mode) && st.st_uid == geteuid())
		return true;
	return err_set(err, "log file %s is a link to something that is not a file of this user",
		       path);
}

/* FILE -> FILE.1 -> FILE.2 ...; the oldest goes. */
static bool shift(const char *path)
{
	char *to = xasprintf("%s.%d", path, LOGFILE_KEPT);

	for (int i = LOGFILE_KEPT - 1; i >= 0; i--) {
		char *from = i ? xasprintf("%s.%d", path, i) : xstrdup(path);
		bool ok = rename(from, to) == 0 || (i && errno == ENOENT);

		free(to);
		to = from;
		if (!ok) {
			free(to);
			return false;
		}
	}
	free(to);
	return true;
}

static bool open_file(struct logfile *f, const char *path, enum logfile_begin begin,
		      struct err *err)
{
	struct stat st;

	if (!may_follow(path, err))
		return false;
	/* Only plain files: never /dev/null. */
	if (begin == LOGFILE_FRESH && lstat(path, &st) == 0 && S_ISREG(st.st_mode) && !shift(path))
		return err_set(err, "cannot rename log file %s: %s", path, strerror(errno));
	int fd = open_append(path);

	if (fd < 0)
		return err_set(err, "cannot open log file %s: %s", path, strerror(errno));
	f->is_regular = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
	atomic_store(&f->written, f->is_regular ? (unsigned long long)st.st_size : 0);
	f->name = xstrdup(path);
	out_init(&f->out, fd);
	return true;
}

bool logfile_open(struct logfile *f, const char *target, enum logfile_begin begin, struct err *err)
{
	logfile_close(f);
	bool to_stdout = strcmp(target, "stdout") == 0 || strcmp(target, "/dev/stdout") == 0;

	if (to_stdout || strcmp(target, "/dev/stderr") == 0) {
		atomic_store(&f->on_stdout, to_stdout);
		out_init(&f->out, to_stdout ? STDOUT_FILENO : STDERR_FILENO);
		return true;
	}
	return open_file(f, target, begin, err);
}

/* Onto the same number: a thread in the middle of a line needs to know nothing of it. */
static bool follow_name(struct logfile *f, struct err *err)
{
	int fd = open_append(f->name);
	bool ok = fd >= 0 && dup2(fd, f->out.fd) >= 0 && fcntl(f->out.fd, F_SETFD, FD_CLOEXEC) == 0;
	struct stat st;

	if (!ok)
		err_set(err, "cannot reopen log file %s: %s", f->name, strerror(errno));
	else if (f->is_regular && fstat(f->out.fd, &st) == 0)
		atomic_store(&f->written, (unsigned long long)st.st_size);
	if (fd >= 0)
		close(fd);
	return ok;
}

bool logfile_reopen(struct logfile *f, struct err *err)
{
	if (!f->name)
		return true;
	pthread_mutex_lock(&f->rotating);
	bool ok = follow_name(f, err);

	pthread_mutex_unlock(&f->rotating);
	return ok;
}

void logfile_close(struct logfile *f)
{
	int fd = f->out.fd;
	bool owned = f->out.owned;

	out_end(&f->out);
	/* What out_init() was given for a file is ours, too; a pipe was opened a second time. */
	if (f->name && !owned)
		close(fd);
	free(f->name);
	f->name = NULL;
	f->is_regular = false;
	atomic_store(&f->on_stdout, false);
}

bool logfile_is_stdout(const struct logfile *f)
{
	return atomic_load_explicit(&f->on_stdout, memory_order_relaxed);
}

void logfile_set_max(struct logfile *f, uint64_t bytes)
{
	atomic_store(&f->max_bytes, bytes);
}

/*
 * The file is full: its name goes to a new one. Where the folder does not allow that, it is
 * emptied: a full disk would hurt more than lost lines.
 */
static void rotate(struct logfile *f)
{
	struct err err;

	if (pthread_mutex_trylock(&f->rotating) != 0)
		return; /* another thread is at it */
	if (atomic_load(&f->written) > atomic_load(&f->max_bytes) &&
	    !(shift(f->name) && follow_name(f, &err)) && ftruncate(f->out.fd, 0) == 0)
		atomic_store(&f->written, 0);
	pthread_mutex_unlock(&f->rotating);
}

bool logfile_write(struct logfile *f, const char *lines, size_t len)
{
	bool ok = out_line(&f->out, lines, len);
	unsigned long long max = atomic_load_explicit(&f->max_bytes, memory_order_relaxed);

	if (ok && f->is_regular && atomic_fetch_add(&f->written, len) + len > max && max)
		rotate(f);
	return ok;
}

unsigned long logfile_take_lost(struct logfile *f)
{
	return out_take_dropped(&f->out);
}
