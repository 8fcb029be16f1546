/* The form with which a visitor gives a tunnel's password. */
#include "pgrokd/access/login.h"

#include <openssl/crypto.h>
#include <string.h>

#include "common/http/query.h"

/*
 * A path of this host, for browsers as well: they take "//x" and "/\x" for another host, and leave
 * out tabs and line breaks before they look.
 */
static bool is_path(const char *target, size_t len)
{
	if (len == 0 || len > LOGIN_TO || target[0] != '/')
		return false;
	if (len > 1 && (target[1] == '/' || target[1] == '\\'))
		return false;
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)target[i] < 0x20 || target[i] == 0x7f)
			return false;
	}
	return true;
}

void login_to(struct text *out, const char *target, size_t len)
{
	static const char form[] = RULES_LOGIN_PATH;

	if (!is_path(target, len) ||
	    (len == sizeof(form) - 1 && memcmp(target, form, sizeof(form) - 1) == 0)) {
		text_put(out, "/");
		return;
	}
	for (size_t i = 0; i < len; i++) {
		if (target[i] > ' ' && !strchr("\"<>\\^`{|}", target[i]))
			text_add(out, target + i, 1);
		else
			text_fmt(out, "%%%02X", (unsigned char)target[i]);
	}
}

int login_judge(const struct rules *r, const struct visit *v, const char *form, size_t len,
		struct login *out)
{
	const struct pass_key *pass = rules_pass(r);
	unsigned char given[PASS_HASH];
	struct query q = {0};
	int status = 400;

	if (!query_parse(&q, form, len))
		return status;
	const char *password = query_get(&q, "password"), *to = query_get(&q, "to");

	if (password) {
		pass_hash(password, strlen(password), given);
		login_to(&out->to, to ? to : "", to ? strlen(to) : 0);
		status = CRYPTO_memcmp(given, pass->password, PASS_HASH) == 0 ? 303 : 401;
		OPENSSL_cleanse(given, sizeof(given));
	}
	if (status == 303) {
		out->fields.secret = true;
		text_fmt(&out->fields, "Location: %s\r\n", out->to.p);
		pass_set(&out->fields, pass, v->tunnel, v->secure, v->now);
	}
	OPENSSL_cleanse(q.text, len + 1);
	query_free(&q);
	return status;
}
