/* A transaction as an entry of a HAR 1.2 log: http://www.softwareishard.com/blog/har-12-spec/ */
#include <stdlib.h>
#include <string.h>

#include "common/base/utf8.h"
#include "pgrok/inspect/decode.h"
#include "pgrok/inspect/forms.h"

static void put_part(struct text *t, const char *key, struct head_part p)
{
	text_key(t, key);
	text_json(t, p.p, p.len);
}

static void put_number(struct text *t, const char *key, int64_t n)
{
	text_key(t, key);
	text_fmt(t, "%lld", (long long)n);
}

/* {"name":...,"value":... without the closing bracket. */
static void put_pair(struct text *t, struct head_part name, struct head_part value)
{
	text_comma(t);
	text_put(t, "{");
	put_part(t, "name", name);
	put_part(t, "value", value);
}

static void put_headers(struct text *t, const struct capture_head *h)
{
	struct head_part name, value;

	text_key(t, "headers");
	text_put(t, "[");
	for (size_t at = 0; head_next(h, false, &at, &name, &value);) {
		put_pair(t, name, value);
		text_put(t, "}");
	}
	text_put(t, "]");
}

/* What comes before `sep`, blanks around it taken off; *rest: what comes behind. */
static struct head_part split(struct head_part *rest, char sep)
{
	const char *end = rest->p + rest->len,
		   *at = rest->len ? memchr(rest->p, sep, rest->len) : NULL;
	struct head_part part = {rest->p, (size_t)((at ? at : end) - rest->p)};

	*rest = at ? (struct head_part){at + 1, (size_t)(end - at - 1)}
		   : (struct head_part){end, 0};
	return head_trimmed(part.p, part.p + part.len);
}

/* Attributes of a Set-Cookie that a HAR has a place for. */
static void put_attributes(struct text *t, struct head_part rest)
{
	while (rest.len) {
		struct head_part value = split(&rest, ';'), name = split(&value, '=');

		if (head_part_is(name, "path") || head_part_is(name, "domain"))
			put_part(t, head_part_is(name, "path") ? "path" : "domain", value);
		else if (head_part_is(name, "httponly"))
			text_put(t, ",\"httpOnly\":true");
		else if (head_part_is(name, "secure"))
			text_put(t, ",\"secure\":true");
	}
}

/* field: "cookie", several to a line, or "set-cookie", one with its attributes. */
static void put_cookies(struct text *t, const struct capture_head *h, const char *field,
			bool several)
{
	struct head_part name, line;

	text_key(t, "cookies");
	text_put(t, "[");
	for (size_t at = 0; head_next(h, false, &at, &name, &line);) {
		if (!head_part_is(name, field))
			continue;
		do {
			struct head_part value = split(&line, ';'), of = split(&value, '=');

			if (!of.len)
				continue;
			put_pair(t, of, head_trimmed(value.p, value.p + value.len));
			if (!several)
				put_attributes(t, line);
			text_put(t, "}");
		} while (several && line.len);
	}
	text_put(t, "]");
}

static void put_query(struct text *t, struct head_part target)
{
	text_key(t, "queryString");
	text_put(t, "[");
	(void)split(&target, '?');
	while (target.len) {
		struct head_part value = split(&target, '&'), name = split(&value, '=');

		if (!name.len && !value.len)
			continue;
		put_pair(t, name, value);
		text_put(t, "}");
	}
	text_put(t, "]");
}

/*
 * The body as text, decoded as its readers expect it; what is no text in base64, with a key that
 * says so. Returns its size.
 */
static size_t put_body(struct text *t, const struct capture_head *h, const struct capture_body *b)
{
	struct head_part coding = head_field(h, "content-encoding");
	char *bytes = blob_text(&b->blob);
	struct text_base64 state = {0};
	struct decoded d;
	size_t size;

	decode(&d, coding.p, coding.len, bytes, b->blob.len, DECODE_MAX);
	text_key(t, "text");
	if (utf8_valid(d.text.p ? d.text.p : "", d.text.len)) {
		text_json(t, d.text.p ? d.text.p : "", d.text.len);
	} else {
		text_put(t, "\"");
		text_base64_add(t, &state, d.text.p, d.text.len);
		text_base64_end(t, &state);
		text_put(t, "\",\"encoding\":\"base64\"");
	}
	if (d.truncated || b->size > b->blob.len)
		text_put(t, ",\"comment\":\"truncated\"");
	else if (d.error)
		text_put(t, ",\"comment\":\"could not be decoded\"");
	size = d.codings.len ? d.text.len : b->size;
	decoded_free(&d);
	free(bytes);
	return size;
}

static void put_url(struct text *t, const struct capture_txn *x)
{
	struct head_part host = form_host(x), target = form_target(x);
	struct text url = {0};

	if (target.len && *target.p == '/')
		text_fmt(&url, "%s://%.*s", proto_name(x->tunnel->proto), (int)host.len, host.p);
	text_add(&url, target.p, target.len);
	text_key(t, "url");
	text_json(t, url.p, url.len);
	text_free(&url);
}

static void put_request(struct text *t, const struct capture_txn *x)
{
	text_key(t, "request");
	text_put(t, "{");
	put_part(t, "method", form_method(x));
	put_url(t, x);
	put_part(t, "httpVersion", head_word(&x->req_head, 2));
	put_cookies(t, &x->req_head, "cookie", true);
	put_headers(t, &x->req_head);
	put_query(t, form_target(x));
	if (x->req.size) {
		text_key(t, "postData");
		text_put(t, "{");
		put_part(t, "mimeType", head_field(&x->req_head, "content-type"));
		text_put(t, ",\"params\":[]");
		(void)put_body(t, &x->req_head, &x->req);
		text_put(t, "}");
	}
	put_number(t, "headersSize", x->req_head.len);
	put_number(t, "bodySize", (int64_t)x->req.size);
	text_put(t, "}");
}

static void put_response(struct text *t, const struct capture_txn *x)
{
	size_t size;

	text_key(t, "response");
	text_put(t, "{");
	put_number(t, "status", x->status);
	put_part(t, "statusText", form_reason(x));
	put_part(t, "httpVersion", head_word(&x->resp_head, 0));
	put_cookies(t, &x->resp_head, "set-cookie", false);
	put_headers(t, &x->resp_head);
	text_key(t, "content");
	text_put(t, "{");
	put_part(t, "mimeType", head_field(&x->resp_head, "content-type"));
	size = put_body(t, &x->resp_head, &x->resp);
	put_number(t, "size", (int64_t)size);
	if (size != x->resp.size)
		put_number(t, "compression", (int64_t)size - (int64_t)x->resp.size);
	text_put(t, "}");
	put_part(t, "redirectURL", head_field(&x->resp_head, "location"));
	put_number(t, "headersSize", x->status ? (int64_t)x->resp_head.len : -1);
	put_number(t, "bodySize", x->status ? (int64_t)x->resp.size : -1);
	text_put(t, "}");
}

/*
 * From the point of time before to this one, ms. A point that never came, or came before, is none.
 */
static double step(int64_t *before, int64_t at_ns)
{
	int64_t from = *before;

	if (at_ns > from)
		*before = at_ns;
	return (double)(*before - from) / 1e6;
}

/* "time" has to be the sum of those that apply. */
static void put_times(struct text *t, const struct capture_txn *x)
{
	int64_t at = 0;
	double connect = step(&at, x->connect_ns), send = step(&at, x->sent_ns);
	double wait = step(&at, x->first_ns), receive = step(&at, x->last_ns);

	text_key(t, "time");
	text_fmt(t, "%.6f", (double)at / 1e6);
	text_put(t, ",\"cache\":{},\"timings\":{\"blocked\":-1,\"dns\":-1,\"ssl\":-1");
	text_key(t, "connect");
	if (x->connect_ns)
		text_fmt(t, "%.6f", connect);
	else
		text_put(t, "-1"); /* it was connected already */
	text_fmt(t, ",\"send\":%.6f,\"wait\":%.6f,\"receive\":%.6f}", send, wait, receive);
}

void form_har(struct text *t, const struct capture_txn *x)
{
	text_comma(t);
	text_put(t, "{");
	text_key(t, "startedDateTime");
	text_time(t, x->start_us);
	put_times(t, x);
	put_request(t, x);
	put_response(t, x);
	text_key(t, "_id");
	text_json_str(t, x->id);
	text_key(t, "_tunnel");
	text_json_str(t, x->tunnel->name);
	text_key(t, "_remoteAddress");
	text_json_str(t, x->visitor);
	text_put(t, "}");
}
