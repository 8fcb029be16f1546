/* Allocation that cannot fail: the one place where running out of memory is handled. */
#include "common/base/xalloc.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Uses neither stdio nor the log: both may want memory. */
static void __attribute__((noreturn)) die(const char *line)
{
	if (write(STDERR_FILENO, line, strlen(line)) < 0) {
		/* nobody left to tell */
	}
	abort();
}

static void *check(void *p)
{
	if (!p)
		die("fatal: out of memory\n");
	return p;
}

void *xmalloc(size_t size)
{
	/* malloc(0) may return NULL without being out of memory. */
	return check(malloc(size ? size : 1));
}

void *xcalloc(size_t n, size_t size)
{
	if (size && n > SIZE_MAX / size)
		die("fatal: allocation size overflow\n");
	if (!n || !size)
		n = size = 1;
	return check(calloc(n, size));
}

void *xrealloc(void *p, size_t size)
{
	return check(realloc(p, size ? size : 1));
}

char *xstrdup(const char *s)
{
	return check(strdup(s));
}

/* Not strndup(): a sanitizer's strict string checks take s for terminated then. */
char *xstrndup(const char *s, size_t len)
{
	size_t n = strnlen(s, len);
	char *out = xmalloc(n + 1);

	memcpy(out, s, n);
	out[n] = '\0';
	return out;
}

char *xasprintf(const char *fmt, ...)
{
	char *s = NULL;
	va_list ap;

	va_start(ap, fmt);
	int n = vasprintf(&s, fmt, ap);
	va_end(ap);
	if (n < 0)
		die("fatal: out of memory\n");
	return s;
}

void xfree_secret(void *p, size_t len)
{
	if (!p)
		return;
	explicit_bzero(p, len);
	free(p);
}

void xfree_secret_str(char *s)
{
	if (s)
		xfree_secret(s, strlen(s));
}
