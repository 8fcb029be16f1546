/* Small files, read whole and written whole. They block: for start-up and helper threads. */
#ifndef COMMON_BASE_FILE_H
#define COMMON_BASE_FILE_H

#include <stddef.h>
#include <sys/types.h>

#include "common/base/compiler.h"
#include "common/base/err.h"

/*
 * All of a file (or a pipe) of at most max bytes, owned, with a NUL behind; *len does not count it.
 * It may be secret: whoever frees it decides whether it is wiped. NULL: *err says why in Go's words
 * ("open PATH: no such file or directory", "read PATH: larger than 1 MiB"), and so does errno
 * (EFBIG).
 */
char *file_read(const char *path, size_t max, size_t *len, struct err *err) MUSTCHECK;
/*
 * Writes a file whole or not at all: what is there under that name is replaced by a new file of
 * that mode once its bytes are on disk. A link of that name is replaced, not followed. False:
 * errno.
 */
bool file_write(const char *path, const void *data, size_t len, mode_t mode) MUSTCHECK;

#endif
