/* What went wrong, as text: made where it is known, said where it is known whom it concerns. */
#ifndef COMMON_BASE_ERR_H
#define COMMON_BASE_ERR_H

#include <stdarg.h>
#include <stdbool.h>

#include "common/base/compiler.h"

#define ERR_TEXT 512 /* a longer one is cut, between two characters */

/* text[0] is NUL as long as nothing was set. */
struct err {
	char text[ERR_TEXT];
};

/*
 * Sets the text and returns false, so that a function can end in it. The arguments may contain
 * e->text: err_set(e, "%s: %s", file, e->text) says more about what is already known.
 */
bool err_set(struct err *e, const char *fmt, ...) PRINTF_LIKE(2, 3);
bool err_vset(struct err *e, const char *fmt, va_list ap) PRINTF_LIKE(2, 0);

#define ERRNO_TEXT 64
/*
 * errno's words as Go has them ("connection refused"): in lower case. Into buf, which is returned.
 */
const char *errno_text(int error, char buf[static ERRNO_TEXT]);

#endif
