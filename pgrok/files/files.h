/*
 * A folder as a tunnel's local service: what a visitor's request finds there is read and answered
 * within this process. Nothing outside of the folder is ever reached, by no path and no link;
 * names that begin with a dot do not exist.
 */
#ifndef PGROK_FILES_FILES_H
#define PGROK_FILES_FILES_H

#include <stdbool.h>

#include "common/base/err.h"
#include "common/base/loop.h"

#define FILES_IDLE_MS 60000 /* a visitor who does not ask for anything more */

/*
 * Is this text a folder's address: ".", "..", "~", "./x", "../x", "/x", "~/x", "file:///x"? Then it
 * is none of a host and port.
 */
bool files_is_address(const char *text);
/* Its absolute path, owned by the caller; NULL: err says why not ("no such folder: ./site"). */
char *files_resolve(const char *text, struct err *err) MUSTCHECK;

/*
 * A connection to the folder: a connected, non-blocking socket, which speaks HTTP/1.1 and is owned
 * by the caller. Its other end is served on the loop until either end closes. -1: err says why
 * not.
 */
int files_connect(struct loop *l, const char *folder, struct err *err) MUSTCHECK;

#endif
