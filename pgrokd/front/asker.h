/*
 * A small HTTP client for one service that is asked short questions: connections are kept and
 * bounded in number, a question has one deadline, an answer a largest size.
 */
#ifndef PGROKD_FRONT_ASKER_H
#define PGROKD_FRONT_ASKER_H

#include <openssl/ssl.h>

#include "common/base/err.h"
#include "common/base/loop.h"
#include "common/http/head.h"
#include "common/http/web_url.h"

struct ask_answer {
	const char *why; /* there is none: why not; NULL: there is one */
	const struct http_head *head;
	const char *bytes; /* of the head */
	const char *body;
	size_t body_len;
};

struct asker;
struct ask;

/* Called once, from the loop; the answer is borrowed for the call. */
typedef void ask_fn(void *arg, const struct ask_answer *a);

/* Both are borrowed; tls: as asker_tls() made it, NULL for http. Returns owned. */
struct asker *asker_new(struct loop *l, const struct web_url *to, SSL_CTX *tls) MUSTCHECK;
/* The context for a service at https, with this machine's CAs, for any thread. Returns owned. */
SSL_CTX *asker_tls(struct err *err) MUSTCHECK;
/* Takes a (NULL is fine), whose questions are answered or cancelled. */
void asker_close(struct asker *a);
/* A GET without a body, its whole head: copied. fn is never called from inside. */
struct ask *ask(struct asker *a, const char *head, size_t len, ask_fn *fn, void *arg) MUSTCHECK;
/* fn will not be called. Only before it was. */
void ask_cancel(struct ask *q);

#endif
