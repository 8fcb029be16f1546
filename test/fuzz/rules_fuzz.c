/*
 * Fuzzes visitors' rules: any list from a client, any request, any form. A path that stands in the
 * list is never let through, and nothing that a form says leads to another host.
 */
#include <stdlib.h>
#include <string.h>

#include "msg/pgrok/access.h"
#include "pgrokd/access/login.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const unsigned char owner[PASS_HASH];

static bool is_plain(const char *entry, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (strchr("%;\\#", entry[i]))
			return false;
	}
	return true;
}

static void check_paths(const char *list, const struct visit *v, int status)
{
	struct http_span target = v->head->target;
	const char *entry = NULL;
	size_t len;

	while ((len = access_next(list, &entry)) > 0) {
		if (len == target.len && memcmp(entry, v->bytes + target.off, len) == 0 &&
		    is_plain(entry, len) && status != 403 && status != RULES_LOGIN)
			abort();
	}
}

static void check_to(const char *text, size_t len)
{
	struct text to = {0};

	login_to(&to, text, len);
	if (to.p[0] != '/' || to.p[1] == '/' || to.p[1] == '\\' || to.len > 3 * LOGIN_TO)
		abort();
	for (size_t i = 0; i < to.len; i++) {
		if (to.p[i] <= ' ' || to.p[i] == '"' || to.p[i] == '<')
			abort();
	}
	text_free(&to);
}

static void check_form(const struct rules *r, const struct visit *v, const char *form, size_t len)
{
	struct login l = {0};
	int status = login_judge(r, v, form, len, &l);

	if (status != 303 && status != 401 && status != 400)
		abort();
	if ((status == 303) != (l.fields.len > 0))
		abort();
	text_free(&l.fields);
	text_free(&l.to);
}

/* A byte that selects the list, the list, a NUL, a request's head, or a form. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct msg_access a = {.password = "p", .preflight = size & 1};
	const uint8_t *nul = size > 1 ? memchr(data + 1, '\0', size - 1) : NULL;
	struct rules_conf conf = {.auth = "", .access = &a, .owner = owner};
	struct http_head h = {0};
	struct addr from = {.len = 0};
	struct rules *r;
	struct err err;

	if (!nul)
		return 0;
	int which = data[0] % ACCESS_LISTS;
	const char *bytes = (const char *)nul + 1;
	size_t len = size - (size_t)(nul + 1 - data);
	struct visit v = {
		.from = &from, .tunnel = "http://a", .now = 1, .head = &h, .bytes = bytes};

	a.list[which] = (const char *)data + 1;
	if (rules_make(&conf, &r, &err) != access_valid(&a, &err))
		abort();
	if (r && http_request_scan(&h, bytes, len) == HTTP_OK) {
		int status = rules_allow(r, &v);

		if (status && status != 401 && status != 403 && status != RULES_LOGIN)
			abort();
		if (which == ACCESS_PATHS)
			check_paths(a.list[which], &v, status);
		check_to(bytes + h.target.off, h.target.len);
	}
	if (r)
		check_form(r, &v, bytes, len);
	rules_unref(r);
	return 0;
}
