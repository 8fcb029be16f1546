/* A list in one text, as options and fields hold it: words with commas or blanks between them. */
#ifndef COMMON_BASE_WORDS_H
#define COMMON_BASE_WORDS_H

#include "common/base/compiler.h"

/* The next word of *list, which is behind it then; NULL: there is none. Returns owned. */
char *words_next(const char **list) MUSTCHECK;

#endif
