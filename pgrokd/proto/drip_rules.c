/* What a Drip client says of who may visit its tunnel, as rules of ours. */
#include "pgrokd/proto/drip_rules.h"

#include <string.h>
#include <strings.h>

/* A line each. An entry of two lines would be two. */
static bool join(struct text *out, const struct field_texts *list, const char *key, struct err *err)
{
	for (size_t i = 0; i < list->n; i++) {
		if (!*list->text[i] || strpbrk(list->text[i], "\r\n"))
			return err_set(err, "%s: an entry is empty or has more than one line", key);
		text_fmt(out, "%s%s", i ? "\n" : "", list->text[i]);
	}
	return true;
}

/* A tunnel that was to be shut must not be open. */
static bool take_auth(const struct drip_proxy_auth *a, struct msg_access *out, struct err *err)
{
	bool bearer = strcasecmp(a->type, DRIP_BEARER) == 0 || (!*a->type && *a->token);

	if (bearer && (!*a->token || strpbrk(a->token, "\r\n")))
		return err_set(err, "proxy_auth: its token is empty or has more than one line");
	if (!bearer && *a->type && strcasecmp(a->type, DRIP_PASSWORD) != 0)
		return err_set(err, "proxy_auth: its type is neither password nor bearer");
	if (!bearer && !*a->password)
		return err_set(err, "proxy_auth: its password is empty");
	if (bearer)
		out->list[ACCESS_BEARER] = a->token;
	else
		out->password = a->password;
	return true;
}

bool drip_rules_of(const struct drip_register *r, struct drip_rules *out, struct err *err)
{
	*out = (struct drip_rules){0};
	for (int i = 0; i < ACCESS_LISTS; i++)
		out->access.list[i] = "";
	if (!join(&out->allow, &r->ip_access.allow_ips, "allow_ips", err) ||
	    !join(&out->deny, &r->ip_access.deny_ips, "deny_ips", err))
		return false;
	if (out->allow.p)
		out->access.list[ACCESS_ALLOW_IPS] = out->allow.p;
	if (out->deny.p)
		out->access.list[ACCESS_DENY_IPS] = out->deny.p;
	return !r->proxy_auth.enabled || take_auth(&r->proxy_auth, &out->access, err);
}

void drip_rules_free(struct drip_rules *r)
{
	text_free(&r->allow);
	text_free(&r->deny);
}
