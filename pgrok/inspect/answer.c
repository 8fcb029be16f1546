/* What the handlers answer with. */
#include <stdarg.h>
#include <stdio.h>

#include "pgrok/inspect/parts.h"

void answer_text(struct httpd_req *r, int status, const char *mime, struct text *t)
{
	httpd_answer(r, status, mime, t->p ? t->p : "", t->len);
	text_free(t);
}

void answer_error(struct httpd_req *r, int status, const char *fmt, ...)
{
	struct text t = {0};
	char msg[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	form_error(&t, status, msg);
	answer_text(r, status, JSON_TYPE, &t);
}
