/* Inside of the folder server: what its files share. Others use files.h. */
#ifndef PGROK_FILES_FILES_IN_H
#define PGROK_FILES_FILES_IN_H

#include <sys/stat.h>

#include "common/base/text.h"
#include "common/stream/stream.h"

#define FILES_LISTED 10000 /* names in a listing; there is a line that more were there */

/*
 * Opens what is at rel ("" for itself) below the folder root, for reading; what it is in *st. -1
 * with errno: EXDEV if it leads outside.
 */
int files_open(int root, const char *rel, struct stat *st) MUSTCHECK;
/* The listing of the folder fd (borrowed), which is at rel below root, as a page of HTML. */
void files_list(struct text *out, int root, int fd, const char *rel);

/* Serves s; takes it and root. */
void files_serve(struct loop *l, struct stream *s, int root);

#endif
