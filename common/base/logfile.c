/* Where the lines of the log go. */
#include "common/base/logfile.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/out.h"

/* Any thread writes; the descriptor's number stays the same while a file is open. */
static struct out out = {.fd = -1};
static atomic_bool on_stdout;
static atomic_ullong written; /* bytes in the file */
static atomic_ullong max_bytes;
static pthread_mutex_t rotating = PTHREAD_MUTEX_INITIALIZER; /* held by whoever renames */
static char *file_name;                                      /* NULL: no file */
static bool is_regular;

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

static bool open_file(const char *path, struct err *err)
{
	struct stat st;

	if (!may_follow(path, err))
		return false;
	/* Only plain files: never /dev/null. */
	if (lstat(path, &st) == 0 && S_ISREG(st.st_mode) && !shift(path))
		return err_set(err, "cannot rename log file %s: %s", path, strerror(errno));
	int fd = open_append(path);

	if (fd < 0)
		return err_set(err, "cannot open log file %s: %s", path, strerror(errno));
	is_regular = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
	atomic_store(&written, is_regular ? (unsigned long long)st.st_size : 0);
	file_name = xstrdup(path);
	out_init(&out, fd);
	return true;
}

bool logfile_open(const char *target, struct err *err)
{
	logfile_close();
	bool to_stdout = strcmp(target, "stdout") == 0 || strcmp(target, "/dev/stdout") == 0;

	if (to_stdout || strcmp(target, "/dev/stderr") == 0) {
		atomic_store(&on_stdout, to_stdout);
		out_init(&out, to_stdout ? STDOUT_FILENO : STDERR_FILENO);
		return true;
	}
	return open_file(target, err);
}

/* Onto the same number: a thread in the middle of a line needs to know nothing of it. */
static bool follow_name(struct err *err)
{
	int fd = open_append(file_name);
	bool ok = fd >= 0 && dup2(fd, out.fd) >= 0 && fcntl(out.fd, F_SETFD, FD_CLOEXEC) == 0;
	struct stat st;

	if (!ok)
		err_set(err, "cannot reopen log file %s: %s", file_name, strerror(errno));
	else if (is_regular && fstat(out.fd, &st) == 0)
		atomic_store(&written, (unsigned long long)st.st_size);
	if (fd >= 0)
		close(fd);
	return ok;
}

bool logfile_reopen(struct err *err)
{
	if (!file_name)
		return true;
	pthread_mutex_lock(&rotating);
	bool ok = follow_name(err);

	pthread_mutex_unlock(&rotating);
	return ok;
}

void logfile_close(void)
{
	int fd = out.fd;
	bool owned = out.owned;

	out_end(&out);
	/* What out_init() was given for a file is ours, too; a pipe was opened a second time. */
	if (file_name && !owned)
		close(fd);
	free(file_name);
	file_name = NULL;
	is_regular = false;
	atomic_store(&on_stdout, false);
}

bool logfile_is_stdout(void)
{
	return atomic_load_explicit(&on_stdout, memory_order_relaxed);
}

void logfile_set_max(uint64_t bytes)
{
	atomic_store(&max_bytes, bytes);
}

/*
 * The file is full: its name goes to a new one. Where the folder does not allow that, it is
 * emptied: a full disk would hurt more than lost lines.
 */
static void rotate(void)
{
	struct err err;

	if (pthread_mutex_trylock(&rotating) != 0)
		return; /* another thread is at it */
	if (atomic_load(&written) > atomic_load(&max_bytes) &&
	    !(shift(file_name) && follow_name(&err)) && ftruncate(out.fd, 0) == 0)
		atomic_store(&written, 0);
	pthread_mutex_unlock(&rotating);
}

bool logfile_write(const char *line, size_t len)
{
	bool ok = out_line(&out, line, len);
	unsigned long long max = atomic_load_explicit(&max_bytes, memory_order_relaxed);

	if (ok && is_regular && atomic_fetch_add(&written, len) + len > max && max)
		rotate();
	return ok;
}

unsigned long logfile_take_lost(void)
{
	return out_take_dropped(&out);
}
