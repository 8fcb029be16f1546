/*
 * Fuzzes what the inspector makes of captured traffic: every form of every transaction has to be
 * JSON, and our own checker has to agree with jansson about what is. Input: as capture_fuzz; the
 * whole of it is also a body to check and to decode.
 */
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "pgrok/inspect/check.h"
#include "pgrok/inspect/decode.h"
#include "pgrok/inspect/forms.h"
#include "pgrok/replay/replay.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good)
{
	if (!good)
		abort();
}

static void check_form(void (*form)(struct text *t, const struct capture_txn *x),
		       const struct capture_txn *x)
{
	struct text t = {0};
	struct err err;
	size_t offset;

	form(&t, x);
	json_t *parsed = json_loadb(t.p, t.len, JSON_ALLOW_NUL, NULL);

	check(json_is_object(parsed));
	check(check_json(t.p, t.len, &err, &offset));
	json_decref(parsed);
	text_free(&t);
}

static void form_full(struct text *t, const struct capture_txn *x)
{
	form_request(t, x, true);
}

static void form_frames(struct text *t, const struct capture_txn *x)
{
	text_put(t, "{\"frames\":[");
	for (const struct capture_frame *f = x->frames; f; f = f->next)
		form_frame(t, f);
	text_put(t, "]}");
}

/* What is sent once more is one request with the same body, however odd the first one was. */
static void check_replay(const struct capture_txn *x)
{
	const struct replay_edit as_it_was = {0};
	struct http_head h = {0};
	const char *why;
	size_t len;
	char *request = replay_request(x, &as_it_was, "h", &len, &why);

	check(request || why);
	if (!request)
		return;
	check(http_request_scan(&h, request, len) == HTTP_OK && !h.chunked);
	check(h.head_len + h.length == len && h.length == x->req.size);
	check(h.target.len == x->target.len &&
	      !memcmp(request + h.target.off, x->req_head.text + x->target.off, h.target.len));
	free(request);
}

static void play(const uint8_t *data, size_t size)
{
	struct capture *s = capture_new(&(struct capture_limits){1u << 20, 8u << 20});
	struct capture_conn *c = capture_conn_new(s, &(struct capture_conn_info){
							     .name = "n",
							     .url = "http://u",
							     .local = "l",
							     .visitor = "v",
							     .proto = PROTO_HTTP,
						     });

	while (size >= 3) {
		size_t len = data[1] | (size_t)data[2] << 8;
		enum side from = data[0] & 1 ? SIDE_VISITOR : SIDE_SERVICE;

		data += 3;
		size -= 3;
		len = len < size ? len : size;
		capture_conn_bytes(c, from, (const char *)data, len);
		data += len;
		size -= len;
	}
	capture_conn_close(c, NULL);
	for (const struct capture_txn *x = capture_oldest(s); x; x = x->next) {
		check_form(form_entry, x);
		check_form(form_full, x);
		check_form(form_compat, x);
		check_form(form_har, x);
		check_form(form_frames, x);
		check_replay(x);
	}
	capture_free(s);
}

static void check_body(const char *text, size_t len)
{
	struct err err;
	size_t offset;
	bool ours = check_json(text, len, &err, &offset);

	check(offset <= len && ours == !*err.text);
	/*
	 * jansson wants UTF-8, numbers that fit, no lone surrogates, less depth; NUL is an end to
	 * it.
	 */
	json_t *theirs = json_loadb(text, len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);

	check(!theirs || ours || memchr(text, '\0', len));
	json_decref(theirs);
	(void)!check_xml(text, len, &err, &offset);
	check(offset <= len);
	for (const char *const *name = decode_codings(); *name; name++) {
		struct decoded d;

		decode(&d, *name, strlen(*name), text, len, DECODE_MAX);
		check(d.text.len <= DECODE_MAX);
		decoded_free(&d);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	play(data, size);
	check_body((const char *)data, size);
	return 0;
}
