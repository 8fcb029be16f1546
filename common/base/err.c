/* What went wrong, as text. */
#include "common/base/err.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "common/base/utf8.h"

bool err_vset(struct err *e, const char *fmt, va_list ap)
{
	struct err made;

	vsnprintf(made.text, sizeof(made.text), fmt, ap);
	utf8_mend(made.text); /* formats like %.40s cut, too */
	*e = made;
	return false;
}

bool err_set(struct err *e, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	err_vset(e, fmt, ap);
	va_end(ap);
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
