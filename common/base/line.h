/*
 * One line, written into a buffer of fixed size. Where strangers' texts are put they are escaped,
 * so that none can forge a line, or a part of one.
 */
#ifndef COMMON_BASE_LINE_H
#define COMMON_BASE_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/compiler.h"

#define LINE_TAIL 8 /* kept free for the mark of a cut and the end of a JSON object */

/* How texts are escaped. */
enum line_form {
	LINE_TEXT,  /* what a terminal or a reader of lines would act on, and bytes that are not
		       UTF-8: \xNN */
	LINE_JSON,  /* in a string of JSON; bytes that are not UTF-8 are \\xNN */
	LINE_QUOTED /* between quotes, as web servers do: all but visible ASCII is \xNN */
};

struct line {
	char *bytes;
	size_t len, cap;
	enum line_form form;
	bool cut; /* something did not fit; nothing is added any more */
};

/* An empty one in this buffer, which is borrowed. */
struct line line_of(char *bytes, size_t cap, enum line_form form);
/* As it is. */
void line_put(struct line *l, const char *s, size_t len);
void line_str(struct line *l, const char *s);
void line_number(struct line *l, uint64_t n);
/* Its last three digits. */
void line_thousandths(struct line *l, uint64_t n);
/* Escaped. */
void line_escaped(struct line *l, const char *s, size_t len);
/* Escaped, at most max bytes of the line and "..." where that was not enough. */
void line_part(struct line *l, const char *s, size_t len, size_t max);
/* As it is, into what is kept free: together at most LINE_TAIL bytes. */
void line_tail(struct line *l, const char *s);

#endif
