/* Rules for visitors as they are sent: what they may be. */
#include "msg/pgrok/access.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "common/http/path.h"
#include "common/net/cidr.h"
#include "common/net/tls_ca.h"

typedef bool valid_fn(const char *text, struct err *err);

/* ---- entries ---- */

static bool has_control(const char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			return true;
	}
	return false;
}

static bool user_valid(const char *text, struct err *err)
{
	if (!strchr(text, ':'))
		return err_set(err, "user:password is wanted, there is no ':'");
	return !has_control(text) || err_set(err, "a control character in user:password");
}

/* Wider than RFC 6750 section 2.1: Drip's clients have any text behind "Bearer ". */
static bool bearer_valid(const char *text, struct err *err)
{
	if (!*text || has_control(text) || strchr(text, ' '))
		return err_set(err, "a token is letters, digits and other characters, no blank");
	return true;
}

static bool ips_valid(const char *text, struct err *err)
{
	struct cidr c;

	return cidr_parse(text, &c, err);
}

/* RFC 9110 section 5.6.2 */
static bool method_valid(const char *text, struct err *err)
{
	size_t n = 0;

	while (isascii((unsigned char)text[n]) &&
	       (isalnum((unsigned char)text[n]) || (text[n] && strchr("!#$%&'*+-.^_`|~", text[n]))))
		n++;
	if (n == 0 || text[n] || n > ACCESS_METHOD)
		return err_set(err, "'%.40s' is not a method", text);
	return true;
}

static bool path_valid(const char *text, struct err *err)
{
	char *path = http_path_make(text, err);

	free(path);
	return path;
}

static const struct {
	const char *key;
	int most;
	valid_fn *valid;
} lists[ACCESS_LISTS] = {
	[ACCESS_USERS] = {"auth", 64, user_valid},
	[ACCESS_BEARER] = {"bearer", 64, bearer_valid},
	[ACCESS_ALLOW_IPS] = {"allow_ips", 256, ips_valid},
	[ACCESS_DENY_IPS] = {"deny_ips", 256, ips_valid},
	[ACCESS_METHODS] = {"methods", 32, method_valid},
	[ACCESS_PATHS] = {"paths", 64, path_valid},
};

const char *access_key(enum access_list which)
{
	return lists[which].key;
}

int access_most(enum access_list which)
{
	return lists[which].most;
}

bool access_entry_valid(enum access_list which, const char *text, struct err *err)
{
	if (strlen(text) > ACCESS_ENTRY)
		return err_set(err, "longer than %d bytes", ACCESS_ENTRY);
	if (strchr(text, '\n'))
		return err_set(err, "a line break in it");
	return lists[which].valid(text, err);
}

bool access_password_valid(const char *text, struct err *err)
{
	if (!*text || strlen(text) > ACCESS_PASSWORD)
		return err_set(err, "a password has 1 to %d bytes", ACCESS_PASSWORD);
	return !has_control(text) || err_set(err, "a control character in it");
}

static bool access_ca_valid(const char *pem, struct err *err)
{
	struct tls_ca *ca = tls_ca_read(pem, err);

	tls_ca_free(ca);
	return ca;
}

/* ---- all of them ---- */

size_t access_next(const char *list, const char **entry)
{
	const char *at = *entry ? *entry + strcspn(*entry, "\n") : list;

	if (!at)
		return 0;
	if (*entry && *at)
		at++;
	*entry = at;
	return strcspn(at, "\n");
}

static bool list_valid(enum access_list which, const char *list, struct err *err)
{
	const char *entry = NULL;
	int n = 0;
	size_t len;

	while ((len = access_next(list, &entry)) > 0) {
		char *text = xstrndup(entry, len);
		bool ok = access_entry_valid(which, text, err);

		xfree_secret_str(text);
		if (!ok)
			return err_set(err, "%s: %s", lists[which].key, err->text);
		if (++n > lists[which].most)
			return err_set(err, "%s: more than %d entries", lists[which].key,
				       lists[which].most);
	}
	/* Nothing may hide behind an empty line. */
	if (entry && *entry)
		return err_set(err, "%s: an empty entry", lists[which].key);
	return true;
}

static size_t length(const char *text)
{
	return text ? strlen(text) : 0;
}

bool access_valid(const struct msg_access *a, struct err *err)
{
	size_t all = length(a->password);

	for (int i = 0; i < ACCESS_LISTS; i++)
		all += length(a->list[i]);
	if (all > ACCESS_TEXT)
		return err_set(err, "the rules for visitors have more than %d bytes", ACCESS_TEXT);
	for (int i = 0; i < ACCESS_LISTS; i++) {
		if (!list_valid((enum access_list)i, a->list[i], err))
			return false;
	}
	if (length(a->mtls_ca) && !access_ca_valid(a->mtls_ca, err))
		return err_set(err, "mtls_ca: %s", err->text);
	if (length(a->password) && !access_password_valid(a->password, err))
		return err_set(err, "password: %s", err->text);
	if (a->preflight != 0 && a->preflight != 1)
		return err_set(err, "auth_preflight: not true or false");
	return true;
}

const char *access_any_http(const struct msg_access *a)
{
	for (int i = 0; i < ACCESS_LISTS; i++) {
		if (i != ACCESS_ALLOW_IPS && i != ACCESS_DENY_IPS && length(a->list[i]))
			return lists[i].key;
	}
	if (length(a->password))
		return "password";
	if (length(a->mtls_ca))
		return "mtls_ca";
	return a->preflight ? "auth_preflight" : NULL;
}

const char *access_any(const struct msg_access *a)
{
	if (length(a->list[ACCESS_ALLOW_IPS]))
		return lists[ACCESS_ALLOW_IPS].key;
	if (length(a->list[ACCESS_DENY_IPS]))
		return lists[ACCESS_DENY_IPS].key;
	return access_any_http(a);
}
