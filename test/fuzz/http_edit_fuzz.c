/*
 * Fuzzes the editor of heads: what it makes of a good head is a good head that says the same, with
 * exactly what it was told to say.
 * Input: a byte that chooses the edit, then the head.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/http/edit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good)
{
	if (!good)
		abort();
}

static void same_span(const char *a, struct http_span x, const char *b, struct http_span y)
{
	check(x.len == y.len && memcmp(a + x.off, b + y.off, x.len) == 0);
}

/* The value of the only field of that name is text, or ends with it. */
static void says(const struct text *t, const struct http_head *h, const char *name,
		 const char *text)
{
	struct http_span v;
	size_t len = strlen(text);

	check(http_field(t->p, h, name, &v) && v.len >= len);
	check(memcmp(t->p + v.off + v.len - len, text, len) == 0);
}

static void compare(const struct http_edit *e, const char *in, const struct http_head *was,
		    const struct text *out)
{
	struct http_head h = {0};

	check(http_request_scan(&h, out->p, out->len) == HTTP_OK && h.head_len == out->len);
	same_span(in, was->method, out->p, h.method);
	same_span(in, was->authorization, out->p, h.authorization);
	check(h.chunked == was->chunked && h.length == was->length);
	check(h.has_length == was->has_length && h.upgrade == was->upgrade);
	check(h.conn_close == was->conn_close && h.conn_keep_alive == was->conn_keep_alive);
	if (e->origin_form)
		check((h.has_host || !was->authority.len) && h.minor >= was->minor);
	else
		check(h.minor == was->minor);
	if (e->host) {
		check(h.has_host && http_span_is(out->p, h.authority, e->host));
	} else if (e->origin_form) {
		/* Host may write it with other letters than the target did. */
		check(h.authority.len == was->authority.len);
		check(!strncasecmp(in + was->authority.off, out->p + h.authority.off,
				   h.authority.len));
		check(out->p[h.target.off] == '/' || out->p[h.target.off] == '*');
	} else {
		same_span(in, was->authority, out->p, h.authority);
		same_span(in, was->target, out->p, h.target);
	}
	if (e->from)
		says(out, &h, "X-Forwarded-For", e->from);
	if (e->proto && e->said != EDIT_TRUSTED)
		says(out, &h, "X-Forwarded-Proto", e->proto);
	if (e->set) {
		says(out, &h, "X-Env", "dev");
		check(!http_field(out->p, &h, "Cookie", &(struct http_span){0}));
	}
	if (!e->proto && !e->host && !e->set && !e->origin_form)
		check(out->len == was->head_len && memcmp(in, out->p, out->len) == 0);
}

static struct http_set_field to_set[] = {{(char[]){"X-Env"}, (char[]){"dev"}},
					 {(char[]){"Cookie"}, NULL}};
static const struct http_fields set = {to_set, 2};

/* Its framing is what it was. */
static void answer(const char *in, size_t len)
{
	struct http_head was = {0}, h = {0};
	struct text out = {0};

	if (http_response_scan(&was, in, len) != HTTP_OK || was.head_len >= HTTP_HEAD_MAX - 512)
		return;
	http_edit_answer(&out, &set, &was, in);
	check(http_response_scan(&h, out.p, out.len) == HTTP_OK && h.head_len == out.len);
	check(h.status == was.status && h.minor == was.minor && h.chunked == was.chunked);
	check(h.has_length == was.has_length && h.length == was.length);
	check(h.conn_close == was.conn_close && h.conn_keep_alive == was.conn_keep_alive);
	says(&out, &h, "X-Env", "dev");
	check(!http_field(out.p, &h, "Cookie", &(struct http_span){0}));
	text_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	struct http_edit e = {.host = data[0] & 1 ? "127.0.0.1:3000" : NULL,
			      .from = data[0] & 2 ? "203.0.113.9" : NULL,
			      .proto = data[0] & 18 ? "https" : NULL,
			      .said = (enum http_edit_said)(data[0] >> 5 & 3) % 3,
			      .set = data[0] & 4 ? &set : NULL};
	e.origin_form = (data[0] & 0x80) && !e.host;
	struct http_head h = {0};
	struct text out = {0};
	char *in = malloc(size - 1); /* ends where its memory ends */

	check(in != NULL);
	memcpy(in, data + 1, size - 1);
	if (data[0] & 8)
		answer(in, size - 1);
	/* A longer one is not a head any more for who reads it again. */
	if (http_request_scan(&h, in, size - 1) == HTTP_OK && h.head_len < HTTP_HEAD_MAX - 512) {
		http_edit_head(&out, &e, &h, in);
		compare(&e, in, &h, &out);
	}
	text_free(&out);
	free(in);
	return 0;
}
