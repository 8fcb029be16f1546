/* What is opened below a served folder: nothing outside of it, by no link. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/base/xalloc.h"
#include "pgrok/files/files_in.h"

#define OPEN_FLAGS (O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)
#define OPEN_TRIES 8 /* openat2() says EAGAIN when something was renamed meanwhile */

/* Without help of the kernel: no links at all, one segment after the other. */
static int open_by_segments(int root, const char *rel)
{
	int at = root, fd = -1;

	while (*rel) {
		size_t n = strcspn(rel, "/");
		char *name = xstrndup(rel, n);
		bool up = !n || strcmp(name, "..") == 0;
		rel += n + (rel[n] == '/');
		errno = EXDEV;
		fd = up ? -1 : openat(at, name, OPEN_FLAGS | O_NOFOLLOW | (*rel ? O_DIRECTORY : 0));
		int saved = errno;
		free(name);
		if (at != root)
			close(at);
		if (fd < 0) {
			errno = saved == ELOOP ? EXDEV : saved;
			return -1;
		}
		at = fd;
	}
	return fd;
}

static int open_beneath(int root, const char *rel)
{
#ifdef SYS_openat2
	struct open_how how = {.flags = OPEN_FLAGS,
			       .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
	long fd = -1;

	for (int i = 0; i < OPEN_TRIES; i++) {
		fd = syscall(SYS_openat2, root, rel, &how, sizeof(how));
		if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
			break;
	}
	/* Old kernels do not know it, old containers forbid it. */
	if (fd >= 0 || (errno != ENOSYS && errno != EPERM))
		return (int)fd;
#endif
	return open_by_segments(root, rel);
}

int files_open(int root, const char *rel, struct stat *st)
{
	int fd = *rel ? open_beneath(root, rel) : openat(root, ".", OPEN_FLAGS | O_DIRECTORY);

	if (fd < 0)
		return -1;
	if (fstat(fd, st) == 0 && (S_ISREG(st->st_mode) || S_ISDIR(st->st_mode)))
		return fd;
	/* A pipe, a socket, a device: not served. */
	close(fd);
	errno = EACCES;
	return -1;
}
