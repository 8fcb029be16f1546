/* What went wrong, as text. */
#include "common/base/err.h"

#include <stdarg.h>
#include <stdio.h>

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
