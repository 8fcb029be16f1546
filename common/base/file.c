/* Small files, read whole and written whole. */
#include "common/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/xalloc.h"

/* ---- reading ---- */

/* Go's *PathError: "open PATH: permission denied". Sets errno. */
static void path_error(struct err *err, const char *verb, const char *path, int error)
{
	char why[ERRNO_TEXT];

	err_set(err, "%s %s: %s", verb, path, errno_text(error, why));
	errno = error;
}

static void too_large(struct err *err, const char *path, size_t max)
{
	bool odd = max % (1u << 20);

	err_set(err, "read %s: larger than %zu %s", path, odd ? max : max >> 20,
		odd ? "bytes" : "MiB");
	errno = EFBIG;
}

/* Reads until the end, or room bytes. -1: errno. */
static ssize_t read_up_to(int fd, char *buf, size_t room)
{
	size_t used = 0;
	ssize_t n;

	while (used < room && (n = read(fd, buf + used, room - used)) != 0) {
		if (n > 0)
			used += (size_t)n;
		else if (errno != EINTR)
			return -1;
	}
	return (ssize_t)used;
}

char *file_read(const char *path, size_t max, size_t *len, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), error;
	char *buf;
	ssize_t n;

	if (fd < 0) {
		path_error(err, "open", path, errno);
		return NULL;
	}
	buf = xmalloc(max + 1); /* what is never written to costs nothing */
	n = read_up_to(fd, buf, max + 1);
	error = errno;
	close(fd);
	if (n >= 0 && (size_t)n <= max) {
		buf[n] = '\0';
		*len = (size_t)n;
		return buf;
	}
	xfree_secret(buf, n < 0 ? max + 1 : (size_t)n);
	if (n < 0)
		path_error(err, "read", path, error);
	else
		too_large(err, path, max);
	return NULL;
}

/* ---- writing ---- */

static bool write_all(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno != EINTR)
			return false;
		if (n > 0) {
			data += n;
			len -= (size_t)n;
		}
	}
	return true;
}

bool file_write(const char *path, const void *data, size_t len, mode_t mode)
{
	char *tmp = xasprintf("%s.XXXXXX", path);
	int fd = mkostemp(tmp, O_CLOEXEC); /* new and 0600: nothing is followed, none can look in */
	bool ok = false;
	int error = errno;

	if (fd < 0)
		goto done;
	ok = fchmod(fd, mode) == 0 && write_all(fd, data, len) && fsync(fd) == 0;
	error = errno;
	if (close(fd) != 0 && ok) {
		error = errno;
		ok = false;
	}
	if (ok && rename(tmp, path) != 0) {
		error = errno;
		ok = false;
	}
	if (!ok)
		unlink(tmp);
done:
	free(tmp);
	errno = error;
	return ok;
}
