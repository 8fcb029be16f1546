/* GET /api/requests/http/ID/body: the bytes of a body, decoded if that is asked for. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pgrok/inspect/decode.h"
#include "pgrok/inspect/parts.h"

static bool is_yes(const struct query *q, const char *name)
{
	const char *v = query_get(q, name);

	return v && strcmp(v, "0") != 0 && strcmp(v, "false") != 0;
}

static void number_header(struct httpd_req *r, const char *name, uint64_t n)
{
	char text[32];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)n);
	httpd_header(r, name, text);
}

/* The bytes of the body into d, which is to be freed. */
static void load(struct decoded *d, const struct capture_head *h, const struct capture_body *b,
		 bool decoding)
{
	struct head_part coding = head_field(h, "content-encoding");
	char *bytes = blob_text(&b->blob);

	decode(d, coding.p, decoding ? coding.len : 0, bytes, b->blob.len, DECODE_MAX);
	free(bytes);
}

void api_body(struct inspect *i, struct httpd_req *r, const struct capture_txn *x)
{
	const struct query *q = httpd_query(r);
	const char *side = query_get(q, "side");
	bool request = side && strcmp(side, "request") == 0;
	const struct capture_body *b = request ? &x->req : &x->resp;
	struct decoded d;
	long offset, limit;
	char name[80];

	if ((side && !request && strcmp(side, "response") != 0) ||
	    !query_number(q, "offset", 0, DECODE_MAX, 0, &offset) ||
	    !query_number(q, "limit", 0, DECODE_MAX, DECODE_MAX, &limit)) {
		answer_error(r, 400, "side, offset or limit is not what it may be");
		return;
	}
	load(&d, request ? &x->req_head : &x->resp_head, b, is_yes(q, "decode"));
	number_header(r, "X-Body-Size", b->size);
	number_header(r, "X-Body-Kept", b->blob.len);
	number_header(r, "X-Body-Total", d.text.len);
	httpd_header(r, "X-Body-Truncated",
		     d.truncated || b->size > b->blob.len ? "true" : "false");
	if (d.codings.len)
		httpd_header(r, "X-Body-Decoded", d.codings.p);
	if (d.error)
		httpd_header(r, "X-Body-Error", d.error);
	if (is_yes(q, "download")) {
		snprintf(name, sizeof(name), "attachment; filename=\"%s-%s.bin\"", x->id,
			 request ? "request" : "response");
		httpd_header(r, "Content-Disposition", name);
	}
	size_t from = (size_t)offset < d.text.len ? (size_t)offset : d.text.len;
	size_t len = d.text.len - from;

	if (len > (size_t)limit)
		len = (size_t)limit;
	httpd_answer(r, 200, "application/octet-stream", d.text.p + from, len);
	decoded_free(&d);
}
