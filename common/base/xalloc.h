/* Memory that is there or the process ends: out of memory has one place, xalloc.c. */
#ifndef COMMON_BASE_XALLOC_H
#define COMMON_BASE_XALLOC_H

#include <stddef.h>

#include "common/base/compiler.h"

/* All return owned memory, never NULL; xcalloc's is zeroed, n * size may not overflow (fatal). */
void *xmalloc(size_t size) MUSTCHECK;
void *xcalloc(size_t n, size_t size) MUSTCHECK;
void *xrealloc(void *p, size_t size) MUSTCHECK;
char *xstrdup(const char *s) MUSTCHECK;
/* At most len bytes of s, always terminated. */
char *xstrndup(const char *s, size_t len) MUSTCHECK;
char *xasprintf(const char *fmt, ...) PRINTF_LIKE(1, 2) MUSTCHECK;

/* Wipes a secret's bytes, then frees it; NULL is fine. The string form wipes strlen(s) bytes. */
void xfree_secret(void *p, size_t len);
void xfree_secret_str(char *s);

#endif
