/*
 * The form with which a visitor gives a tunnel's password: POST to RULES_LOGIN_PATH. Its fields are
 * `password` and `to`, where to go afterwards.
 */
#ifndef PGROKD_ACCESS_LOGIN_H
#define PGROKD_ACCESS_LOGIN_H

#include "common/base/text.h"
#include "pgrokd/access/rules.h"

#define LOGIN_FORM 4096 /* bytes of a form */
#define LOGIN_TO 2048   /* of a target; a longer one is "/" */

/* What comes of it. Zeroed memory at first; text_free() both. */
struct login {
	struct text fields; /* of the answer: Location and Set-Cookie; only with 303 */
	struct text to;     /* where the visitor wants to go; always a path on this host */
};

/* 303: the password is right. 401: it is wrong. 400: this is not the form. */
int login_judge(const struct rules *r, const struct visit *v, const char *form, size_t len,
		struct login *out) MUSTCHECK;
/* Appends where a request wanted to go, if that is a path on this host that leads on; else "/". */
void login_to(struct text *out, const char *target, size_t len);

#endif
