/*
 * The path of a request as the server behind may read it. One path has many spellings, and servers
 * differ in which they take for the same: what decides over a path looks at all readings. Pure.
 */
#ifndef COMMON_HTTP_PATH_H
#define COMMON_HTTP_PATH_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/err.h"

#define PATH_MAX_READ 4096  /* bytes of a path; a longer one is not read */
#define PATH_MAX_WORK 65536 /* bytes of all readings of one */

/*
 * The form of a path that requests are compared with, for http_path_reaches(): decoded, without the
 * slash at its end ("" for "/"). Returns owned; NULL: err says what is wrong with it (no slash in
 * front, a query, "..", a pattern).
 */
char *http_path_make(const char *text, struct err *err) MUSTCHECK;

/*
 * Can a server take the target of a request for one of these n paths, or for something below it?
 * Case counts. Percent-encoding, once or twice; "." and ".." resolved or not; empty segments;
 * %2F and backslashes as slashes or not; ";" and what is behind it in a segment or without; the end
 * at a "#" or an encoded "?": each server has its own mix, and one that says yes is enough. So is
 * a path that is too long, for the number of its readings as well, or that has an encoded control
 * character in it: no reading of it is certain. An absolute-form target is its path; "*" is none.
 */
bool http_path_reaches(const char *target, size_t len, const char *const *paths, size_t n);

#endif
