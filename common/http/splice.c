/* Some bytes in place of others. */
#include "common/http/splice.h"

#include <assert.h>

void http_splice_begin(struct http_splice *s, const char *from)
{
	text_drop(&s->out, s->out.len);
	s->from = from;
	s->done = 0;
}

struct text *http_splice(struct http_splice *s, const char *at, size_t len)
{
	size_t from = (size_t)(at - s->from);

	text_add(&s->out, s->from + s->done, from - s->done);
	s->done = from + len;
	return &s->out;
}

const char *http_splice_made(struct http_splice *s, size_t len, size_t *made)
{
	if (!s->done)
		return NULL;
	assert(s->done <= len);
	text_add(&s->out, s->from + s->done, len - s->done);
	*made = s->out.len;
	return s->out.len ? s->out.p : "";
}
