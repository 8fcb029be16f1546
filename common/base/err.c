/* What went wrong, as text. */
#include "common/base/err.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool err_set(struct err *e, const char *fmt, ...)
{
	struct err made;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(made.text, sizeof(made.text), fmt, ap);
	va_end(ap);
	*e = made;
	return false;
}

const char *errno_text(int error, char buf[static ERRNO_TEXT])
{
	char sys[128];

	snprintf(buf, ERRNO_TEXT, "%.*s", ERRNO_TEXT - 1, strerror_r(error, sys, sizeof(sys)));
	/* "RFS specific error", "I/O error": an acronym keeps its capitals. */
	if (buf[0] && islower((unsigned char)buf[1]))
		buf[0] = (char)tolower((unsigned char)buf[0]);
	return buf;
}
