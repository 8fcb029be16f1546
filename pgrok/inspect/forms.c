/* The forms of the API. See inspect_forms.h. */
#include "pgrok/inspect/forms.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/utf8.h"
#include "common/http/text.h"

static const char *const kinds[] = {"http", "websocket", "sse"};
static const char *const states[] = {"open", "done", "failed"};

struct head_part form_method(const struct capture_txn *x)
{
	if (!x->req_head.text)
		return (struct head_part){"", 0};
	return (struct head_part){x->req_head.text + x->method.off, x->method.len};
}

struct head_part form_target(const struct capture_txn *x)
{
	if (!x->req_head.text)
		return (struct head_part){"", 0};
	return (struct head_part){x->req_head.text + x->target.off, x->target.len};
}

struct head_part form_host(const struct capture_txn *x)
{
	return head_field(&x->req_head, "host");
}

static void put_part(struct text *t, const char *key, struct head_part p)
{
	text_key(t, key);
	text_json(t, p.p, p.len);
}

static void put_string(struct text *t, const char *key, const char *s)
{
	text_key(t, key);
	text_json_str(t, s);
}

static void put_number(struct text *t, const char *key, int64_t n)
{
	text_key(t, key);
	text_fmt(t, "%lld", (long long)n);
}

static void put_bool(struct text *t, const char *key, bool b)
{
	text_key(t, key);
	text_put(t, b ? "true" : "false");
}

static bool truncated(const struct capture_body *b)
{
	return b->size > b->blob.len;
}

struct head_part form_reason(const struct capture_txn *x)
{
	struct head_part s = head_status(&x->resp_head);

	if (s.len <= 4)
		return (struct head_part){"", 0};
	return (struct head_part){s.p + 4, s.len - 4};
}

/* ---- Entry ---- */

static void entry_times(struct text *t, const struct capture_txn *x)
{
	text_key(t, "start");
	text_time(t, x->start_us);
	text_key(t, "start_ms");
	text_fmt(t, "%lld.%03d", (long long)(x->start_us / 1000), (int)(x->start_us % 1000));
	text_key(t, "duration_ms");
	text_fmt(t, "%.3f", (double)capture_duration_ns(x) / 1e6);
}

void form_entry(struct text *t, const struct capture_txn *x)
{
	text_comma(t);
	text_put(t, "{");
	put_string(t, "id", x->id);
	put_number(t, "rev", (int64_t)x->rev);
	put_number(t, "seq", (int64_t)x->seq);
	put_string(t, "kind", kinds[x->kind]);
	put_string(t, "state", states[x->state]);
	put_string(t, "error", x->error);
	put_string(t, "tunnel_name", x->tunnel->name);
	put_string(t, "proto", proto_name(x->tunnel->proto));
	put_string(t, "url", x->tunnel->url);
	put_string(t, "remote_addr", x->visitor);
	put_part(t, "method", form_method(x));
	put_part(t, "host", form_host(x));
	put_part(t, "path", form_target(x));
	put_number(t, "status", x->status);
	put_part(t, "reason", form_reason(x));
	put_part(t, "req_type", head_type(&x->req_head));
	put_part(t, "resp_type", head_type(&x->resp_head));
	put_number(t, "req_size", (int64_t)x->req.size);
	put_number(t, "resp_size", (int64_t)x->resp.size);
	put_number(t, "frames", (int64_t)x->frames_n);
	entry_times(t, x);
	put_bool(t, "truncated", truncated(&x->req) || truncated(&x->resp));
	put_bool(t, "pinned", x->pinned);
	put_string(t, "mark", x->mark);
	put_string(t, "note", x->note ? x->note : "");
	put_string(t, "origin", *x->origin ? x->origin : NULL);
	put_bool(t, "edited", x->edited);
	text_put(t, "}");
}

/* ---- a transaction ---- */

static void put_raw(struct text *t, const char *key, const struct capture_head *h,
		    const struct capture_body *b)
{
	struct text_base64 state = {0};

	text_key(t, key);
	text_put(t, "\"");
	text_base64_add(t, &state, h->text ? h->text : "", h->len);
	for (const struct blob_part *p = b->blob.first; p; p = p->next)
		text_base64_add(t, &state, p->data, p->len);
	text_base64_end(t, &state);
	text_put(t, "\"");
}

/* What request and answer have in common. */
static void put_message(struct text *t, const struct capture_head *h,
			const struct capture_head *trailers, const struct capture_body *b,
			bool request, bool raw)
{
	text_key(t, "headers");
	head_map(t, h, request);
	if (raw)
		put_raw(t, "raw", h, b);
	text_key(t, "header_list");
	head_list(t, h, false);
	text_key(t, "trailers");
	head_list(t, trailers, true);
	put_number(t, "head_size", h->len);
	text_key(t, "body");
	text_put(t, "{");
	put_number(t, "size", (int64_t)b->size);
	put_number(t, "kept", (int64_t)b->blob.len);
	put_bool(t, "truncated", truncated(b));
	put_bool(t, "complete", b->complete);
	put_part(t, "type", head_field(h, "content-type"));
	put_part(t, "coding", head_field(h, "content-encoding"));
	text_put(t, "}");
}

static void put_interim(struct text *t, const struct capture_txn *x)
{
	text_key(t, "interim");
	text_put(t, "[");
	for (unsigned i = 0; i < x->interim_n; i++) {
		const struct capture_interim *one = &x->interim[i];

		text_comma(t);
		text_put(t, "{");
		put_number(t, "status", strtol(head_status(&one->head).p, NULL, 10));
		put_number(t, "at_ns", one->at_ns);
		text_key(t, "header_list");
		head_list(t, &one->head, false);
		text_put(t, "}");
	}
	text_put(t, "]");
}

static void put_request(struct text *t, const struct capture_txn *x, bool raw)
{
	text_key(t, "request");
	text_put(t, "{");
	put_part(t, "method", form_method(x));
	put_part(t, "proto", head_word(&x->req_head, 2));
	put_part(t, "uri", form_target(x));
	put_message(t, &x->req_head, &x->req_trailers, &x->req, true, raw);
	text_put(t, "}");
}

static void put_response(struct text *t, const struct capture_txn *x, bool raw)
{
	text_key(t, "response");
	if (!x->status) {
		text_put(t, "null");
		return;
	}
	text_put(t, "{");
	put_part(t, "status", head_status(&x->resp_head));
	put_number(t, "status_code", x->status);
	put_part(t, "proto", head_word(&x->resp_head, 0));
	put_message(t, &x->resp_head, &x->resp_trailers, &x->resp, false, raw);
	put_interim(t, x);
	text_put(t, "}");
}

void form_request(struct text *t, const struct capture_txn *x, bool raw)
{
	text_comma(t);
	text_fmt(t, "{\"uri\":\"/api/requests/http/%s\"", x->id);
	put_string(t, "id", x->id);
	put_string(t, "tunnel_name", x->tunnel->name);
	put_string(t, "remote_addr", x->visitor);
	text_key(t, "start");
	text_time(t, x->start_us);
	put_number(t, "duration", (int64_t)capture_duration_ns(x));
	put_request(t, x, raw);
	put_response(t, x, raw);
	text_key(t, "timing");
	text_put(t, "{");
	put_number(t, "connect_ns", x->connect_ns);
	put_number(t, "request_sent_ns", x->sent_ns);
	put_number(t, "first_byte_ns", x->first_ns);
	put_number(t, "last_byte_ns", x->state == CAPTURE_OPEN ? -1 : x->last_ns);
	text_put(t, "}");
	text_key(t, "entry");
	form_entry(t, x);
	text_put(t, "}");
}

/* ---- frames ---- */

static void put_payload(struct text *t, const struct capture_frame *f)
{
	char *payload = blob_text(&f->blob);
	size_t len = f->blob.len;

	/* A cut may have gone through a character. */
	for (int i = 0; i < 3 && f->size > f->blob.len && len && !utf8_valid(payload, len); i++)
		len--;
	if (!f->encoded && utf8_valid(payload, len)) {
		text_key(t, f->type == CAPTURE_FRAME_CLOSE ? "reason" : "text");
		text_json(t, payload, len);
	} else {
		struct text_base64 state = {0};

		text_key(t, "data");
		text_put(t, "\"");
		text_base64_add(t, &state, payload, f->blob.len);
		text_base64_end(t, &state);
		text_put(t, "\"");
	}
	free(payload);
}

void form_frame(struct text *t, const struct capture_frame *f)
{
	static const char *const types[] = {"text",  "binary", "ping",    "pong",
					    "close", "event",  "comment", "error"};

	text_comma(t);
	text_put(t, "{");
	put_number(t, "n", (int64_t)f->n);
	put_number(t, "at_ns", f->at_ns);
	put_string(t, "from", f->from_client ? "client" : "server");
	put_string(t, "type", types[f->type]);
	put_number(t, "size", (int64_t)f->size);
	put_number(t, "kept", (int64_t)f->blob.len);
	put_number(t, "fragments", f->fragments);
	put_bool(t, "compressed", f->compressed);
	put_bool(t, "encoded", f->encoded);
	put_payload(t, f);
	if (f->type == CAPTURE_FRAME_CLOSE)
		put_number(t, "code", f->code);
	if (f->type == CAPTURE_FRAME_EVENT) {
		put_string(t, "event", f->event ? f->event : "message");
		put_string(t, "id", f->last_id ? f->last_id : "");
		put_number(t, "retry", (int64_t)f->retry_ms);
	}
	text_put(t, "}");
}

/* ---- errors ---- */

void form_error(struct text *t, int status, const char *msg)
{
	text_put(t, "{");
	put_number(t, "error_code", status == 404 ? 100 : status == 502 ? 103 : 102);
	put_number(t, "status_code", status);
	put_string(t, "msg", msg);
	/* Where programs look that start tunnels. */
	text_put(t, ",\"details\":{\"err\":");
	text_json_str(t, msg);
	text_put(t, "}}");
}
