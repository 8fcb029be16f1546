/*
 * A head made into another one: for a local service that wants another Host, or wants to know who
 * the visitor is; and fields set or removed in requests and answers. Pure.
 */
#ifndef COMMON_HTTP_EDIT_H
#define COMMON_HTTP_EDIT_H

#include "common/base/text.h"
#include "common/http/fields.h"
#include "common/http/head.h"

/* What becomes of X-Forwarded fields that came. */
enum http_edit_said {
	EDIT_GOES_ON,  /* the list goes on (as true as whoever sent it), -Proto and -Host go */
	EDIT_REPLACED, /* all go */
	EDIT_TRUSTED   /* the list goes on, -Proto and -Host stay if they were said */
};

/* What is to be said; NULL: as it came. Borrowed. */
struct http_edit {
	const char *host;         /* Host, and the authority of an absolute-form target */
	const char *from;         /* the visitor's address: the last one in X-Forwarded-For */
	const char *proto;        /* X-Forwarded-Proto, and X-Forwarded-Host is what Host was */
	enum http_edit_said said; /* of those that are to be said */
	/* Whatever form came: a path, a Host, HTTP/1.1; if it says who is asked. Not with host. */
	bool origin_form;
	const struct http_fields *set; /* instead of all fields of those names */
};

/*
 * Appends the head that http_request_scan() found good at `head` to out, changed. All else of it
 * stays, byte for byte and in its order; new fields come last. What is said or set does not stay in
 * Connection, on whose word the next proxy would take it out.
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
