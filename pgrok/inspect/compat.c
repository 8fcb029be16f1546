/* A transaction in the form that pgrok's own inspector gives it, for tools written for that. */
#include <stdlib.h>
#include <string.h>

#include "common/base/utf8.h"
#include "common/http/query.h"
#include "common/http/text.h"
#include "pgrok/inspect/check.h"
#include "pgrok/inspect/forms.h"

/* The chunk framing that a head speaks of is put back: one chunk. */
static bool is_chunked(const struct capture_head *h)
{
	return head_part_is(head_field(h, "transfer-encoding"), "chunked");
}

/* Head and body as one text. */
static struct text raw_of(const struct capture_head *h, const struct capture_head *trailers,
			  const struct capture_body *b)
{
	struct text t = {0};
	bool chunked = is_chunked(h) && b->blob.len;

	text_add(&t, h->text ? h->text : "", h->len);
	if (chunked)
		text_fmt(&t, "%zx\r\n", b->blob.len);
	t.len += blob_read(&b->blob, 0, text_room(&t, b->blob.len), b->blob.len);
	t.p[t.len] = '\0';
	if (chunked)
		text_put(&t, "\r\n");
	if (is_chunked(h)) {
		text_put(&t, "0\r\n");
		text_add(&t, trailers->text ? trailers->text : "", trailers->len);
		text_put(&t, "\r\n");
	}
	return t;
}

static void put_base64(struct text *t, const char *key, const void *bytes, size_t len)
{
	struct text_base64 state = {0};

	text_key(t, key);
	text_put(t, "\"");
	text_base64_add(t, &state, bytes, len);
	text_base64_end(t, &state);
	text_put(t, "\"");
}

static int by_name(const void *a, const void *b)
{
	const struct query_pair *const *x = a, *const *y = b;
	int order = strcmp((*x)->name, (*y)->name);

	return order ? order : *x < *y ? -1 : 1;
}

/* {"a":["1","3"],"b":["2"]}, names sorted. */
static void put_query(struct text *t, const char *text, size_t len)
{
	struct query q = {0};
	const struct query_pair **sorted = NULL;

	text_put(t, "{");
	if (len && query_parse(&q, text, len) && q.n) {
		sorted = xcalloc(q.n, sizeof(struct query_pair *));
		for (size_t i = 0; i < q.n; i++)
			sorted[i] = &q.pairs[i];
		qsort(sorted, q.n, sizeof(struct query_pair *), by_name);
	}
	for (size_t i = 0; sorted && i < q.n; i++) {
		bool first = !i || strcmp(sorted[i - 1]->name, sorted[i]->name) != 0;

		text_put(t, !i ? "" : first ? "]," : ",");
		if (first) {
			text_json_str(t, sorted[i]->name);
			text_put(t, ":[");
		}
		text_json_str(t, sorted[i]->value);
	}
	text_put(t, sorted ? "]}" : "}");
	free(sorted);
	query_free(&q);
}

static void put_error(struct text *t, struct head_part type, const char *bytes, size_t len)
{
	struct err err = {""};
	size_t offset = 0;
	bool fine = true;

	if (head_part_is(type, "application/json"))
		fine = check_json(bytes, len, &err, &offset);
	else if (head_part_is(type, "application/xml") || head_part_is(type, "text/xml"))
		fine = check_xml(bytes, len, &err, &offset);
	text_key(t, "Error");
	text_json_str(t, err.text);
	text_key(t, "ErrorOffset");
	text_fmt(t, "%d", fine ? -1 : (int)offset);
}

static void put_body(struct text *t, const struct capture_head *h, const struct capture_body *b)
{
	struct head_part raw_type = head_field(h, "content-type"), type = head_type(h);
	char *bytes = blob_text(&b->blob);
	size_t len = b->blob.len;

	text_key(t, "Body");
	text_put(t, "{");
	text_key(t, "RawContentType");
	text_json(t, raw_type.p, raw_type.len);
	text_key(t, "ContentType");
	text_json(t, type.p, type.len);
	put_base64(t, "Text", bytes, len);
	text_key(t, "Length");
	text_fmt(t, "%llu", (unsigned long long)b->size);
	put_error(t, type, bytes, len);
	text_key(t, "Form");
	if (head_part_is(type, "application/x-www-form-urlencoded"))
		put_query(t, bytes, len);
	else
		text_put(t, "null");
	text_put(t, "}");
	free(bytes);
}

static void put_path(struct text *t, const struct capture_txn *x)
{
	struct head_part method = form_method(x), target = form_target(x);
	const char *mark = target.len ? memchr(target.p, '?', target.len) : NULL;
	size_t path_len = mark ? (size_t)(mark - target.p) : target.len;
	char *path = xmalloc(path_len + 1);
	struct text line = {0};

	if (!percent_decode(target.p, path_len, path)) {
		memcpy(path, target.p, path_len);
		path[path_len] = '\0';
	}
	text_add(&line, method.p, method.len);
	text_fmt(&line, " %s", path);
	text_key(t, "MethodPath");
	text_json(t, line.p, line.len);
	text_key(t, "Params");
	put_query(t, mark ? mark + 1 : "", mark ? target.len - path_len - 1 : 0);
	text_free(&line);
	free(path);
}

static void put_raw(struct text *t, const struct text *raw)
{
	put_base64(t, "Raw", raw->p, raw->len);
}

static void put_binary(struct text *t, const struct text *raw)
{
	text_key(t, "Binary");
	text_put(t, utf8_valid(raw->p, raw->len) ? "false" : "true");
}

static void put_request(struct text *t, const struct capture_txn *x)
{
	struct text raw = raw_of(&x->req_head, &x->req_trailers, &x->req);

	text_key(t, "Req");
	text_put(t, "{");
	put_raw(t, &raw);
	put_path(t, x);
	text_key(t, "Header");
	head_map(t, &x->req_head, true);
	put_body(t, &x->req_head, &x->req);
	put_binary(t, &raw);
	text_put(t, "}");
	text_free(&raw);
}

static void put_response(struct text *t, const struct capture_txn *x)
{
	struct head_part status = head_status(&x->resp_head);

	text_key(t, "Resp");
	if (!x->status) {
		text_put(t,
			 "{\"Raw\":\"\",\"Status\":\"\",\"Header\":null,\"Body\":"
			 "{\"RawContentType\":\"\",\"ContentType\":\"\",\"Text\":\"\",\"Length\":0,"
			 "\"Error\":\"\",\"ErrorOffset\":0,\"Form\":null},\"Binary\":false}");
		return;
	}
	struct text raw = raw_of(&x->resp_head, &x->resp_trailers, &x->resp);

	text_put(t, "{");
	put_raw(t, &raw);
	text_key(t, "Status");
	text_json(t, status.p, status.len);
	text_key(t, "Header");
	head_map(t, &x->resp_head, false);
	put_body(t, &x->resp_head, &x->resp);
	put_binary(t, &raw);
	text_put(t, "}");
	text_free(&raw);
}

void form_compat(struct text *t, const struct capture_txn *x)
{
	int64_t duration = x->status == 101           ? x->first_ns
			   : x->state == CAPTURE_OPEN ? 0
						      : x->last_ns;

	text_comma(t);
	text_put(t, "{");
	text_key(t, "Id");
	text_json_str(t, x->id);
	text_key(t, "Duration");
	text_fmt(t, "%lld", (long long)(duration > 0 ? duration : 0));
	text_key(t, "Start");
	text_fmt(t, "%lld", (long long)(x->start_us / 1000000));
	text_put(t, ",\"ConnCtx\":{\"Tunnel\":{");
	text_key(t, "PublicUrl");
	text_json_str(t, x->tunnel->url);
	text_put(t, ",\"Protocol\":{\"Txns\":{}},\"LocalAddr\":");
	text_json_str(t, x->tunnel->local);
	text_put(t, "},\"ClientAddr\":");
	text_json_str(t, *x->visitor ? x->visitor : "127.0.0.1");
	text_put(t, "}");
	put_request(t, x);
	put_response(t, x);
	text_put(t, "}");
}
