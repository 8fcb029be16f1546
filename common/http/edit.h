/*
 * A head made into another one: for a local service that wants another Host, or wants to know who
 * the visitor is; and fields set or removed in requests and answers. Pure.
 */
#ifndef COMMON_HTTP_EDIT_H
#define COMMON_HTTP_EDIT_H

#include "common/base/text.h"
#include "common/http/fields.h"
#include "common/http/head.h"

/* What is to be said; NULL: as it came. Borrowed. */
struct http_edit {
	const char *host;  /* Host, and the authority of an absolute-form target */
	const char *from;  /* the visitor's address: the last one in X-Forwarded-For */
	const char *proto; /* with from: X-Forwarded-Proto; X-Forwarded-Host is what Host was */
	const struct http_fields *set; /* instead of all fields of those names */
};

/*
 * Appends the head that http_request_scan() found good at `head` to out, changed. All else of it
 * stays, byte for byte and in its order; new fields come last. Of a visitor's own X-Forwarded-For
 * the list goes on (it is only as true as whoever sent it), -Proto and -Host are dropped.
 */
void http_edit_head(struct text *out, const struct http_edit *e, const struct http_head *h,
		    const char *head);
/*
 * The same for the head of an answer, good by http_response_scan(): f stands last, instead of all
 * fields of its names.
 */
void http_edit_answer(struct text *out, const struct http_fields *f, const struct http_head *h,
		      const char *head);
/* Can host stand in a Host field? */
bool http_edit_host_valid(const char *host) MUSTCHECK;

#endif
