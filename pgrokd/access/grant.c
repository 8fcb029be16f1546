/* What a client may do. */
#include "pgrokd/access/grant.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pgrokd/limits.h"

/* ---- what an owner has ---- */

static struct tally *tally_new(void)
{
	struct tally *t = xcalloc(1, sizeof(*t));

	atomic_init(&t->refs, 1);
	return t;
}

struct tally *tally_ref(struct tally *t)
{
	if (t)
		atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
	return t;
}

void tally_unref(struct tally *t)
{
	if (t && atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) == 1)
		free(t);
}

bool tally_enter(struct tally *t, atomic_int *count, int n, int most)
{
	if (!t)
		return true;
	if (atomic_fetch_add(count, n) <= most - n)
		return true;
	atomic_fetch_sub(count, n);
	return false;
}

bool tally_leave_over(struct tally *t, atomic_int *count, int most)
{
	int n = t ? atomic_load(count) : 0;

	while (t && n > most)
		if (atomic_compare_exchange_weak(count, &n, n - 1))
			return true;
	return false;
}

/* ---- globs ---- */

bool glob_valid(const char *glob, const char **why)
{
	size_t len = strlen(glob);

	*why = "a name may not be empty";
	if (!len)
		return false;
	*why = "a name may have at most 253 characters";
	if (len > LIMIT_NAME)
		return false;
	*why = "only lower-case letters, digits, '.', '-', '_' and '*' are wanted (of an "
	       "international name its xn-- form)";
	if (strspn(glob, "abcdefghijklmnopqrstuvwxyz0123456789.-_*") != len)
		return false;
	*why = "a name may not have an empty part between its dots";
	return glob[0] != '.' && glob[len - 1] != '.' && !strstr(glob, "..");
}

static bool glob_matches(const char *glob, const char *name)
{
	const char *star = NULL, *from = NULL; /* the last '*', and what it stands for ends here */

	while (*name) {
		if (*glob == '*') {
			star = glob++;
			from = name;
		} else if (*glob == *name) {
			glob++;
			name++;
		} else if (star && *from != '.') {
			glob = star + 1;
			name = ++from;
		} else {
			return false;
		}
	}
	while (*glob == '*')
		glob++;
	return !*glob;
}

static bool globs_match(const struct globs *all, const char *name)
{
	for (size_t i = 0; i < all->n; i++)
		if (glob_matches(all->glob[i], name))
			return true;
	return false;
}

/* ---- life ---- */

struct grant *grant_new(const char *owner)
{
	struct grant *g = xcalloc(1, sizeof(*g));

	atomic_init(&g->refs, 1);
	g->owner = xstrdup(owner);
	g->expires = INT64_MAX;
	g->protos = (1u << PROTOS) - 1;
	g->tunnels = g->visitors = INT_MAX;
	g->tally = tally_new();
	return g;
}

struct grant *grant_ref(struct grant *g)
{
	if (g)
		atomic_fetch_add_explicit(&g->refs, 1, memory_order_relaxed);
	return g;
}

static void globs_free(struct globs *all)
{
	while (all->n)
		free(all->glob[--all->n]);
	free(all->glob);
}

void grant_unref(struct grant *g)
{
	if (!g || atomic_fetch_sub_explicit(&g->refs, 1, memory_order_acq_rel) != 1)
		return;
	globs_free(&g->below);
	globs_free(&g->hosts);
	tally_unref(g->tally);
	free(g->ports);
	free(g->owner);
	free(g);
}

/* ---- questions ---- */

const char *grant_owner(const struct grant *g)
{
	return g ? g->owner : "";
}

bool grant_expired(const struct grant *g, int64_t now)
{
	return g && now >= g->expires;
}

/* "a, b and 3 more" of what it may have, behind a sentence. */
static void add_globs(struct err *why, const struct globs *all, const char *what)
{
	size_t shown = all->n < 5 ? all->n : 5;

	for (size_t i = 0; i < shown; i++)
		err_set(why, "%.300s%s%.60s", why->text, i ? ", " : what, all->glob[i]);
	if (shown < all->n)
		err_set(why, "%.400s and %zu more", why->text, all->n - shown);
}

/* What may stand below the domain comes without it, as it is asked for. */
static enum refusal refuse_name(const struct grant *g, const char *name, struct err *why)
{
	if (name)
		err_set(why, "The name %.100s is not one of your token's", name);
	else
		err_set(why, "Your token does not allow names by chance");
	add_globs(why, &g->below, ": subdomain ");
	add_globs(why, &g->hosts, g->below.n ? "; hostname " : ": hostname ");
	return REFUSED_NAME;
}

static enum refusal judge_name(const struct grant *g, const struct wish *w, struct err *why)
{
	if (!g->names_bound)
		return ALLOWED;
	if (!w->host) {
		for (size_t i = 0; i < g->below.n; i++)
			if (strcmp(g->below.glob[i], "*") == 0)
				return ALLOWED;
		return refuse_name(g, NULL, why);
	}
	if (globs_match(w->below ? &g->below : &g->hosts, w->host))
		return ALLOWED;
	return refuse_name(g, w->host, why);
}

static enum refusal judge_port(const struct grant *g, uint16_t port, struct err *why)
{
	bool first = true;

	if (!g->ports_bound || (!port && g->n_ports))
		return ALLOWED;
	for (size_t i = 0; i < g->n_ports; i++)
		if (port >= g->ports[i].min && port <= g->ports[i].max)
			return ALLOWED;
	if (port)
		err_set(why, "Port %u is not one of your token's", port);
	else
		err_set(why, "Your token does not allow ports");
	for (size_t i = 0; i < g->n_ports && i < 5; i++, first = false)
		err_set(why, "%.300s%s%u-%u", why->text, first ? ": " : ", ", g->ports[i].min,
			g->ports[i].max);
	return REFUSED_PORT;
}

enum refusal grant_tunnel(const struct grant *g, const struct wish *w, struct err *why)
{
	if (!g)
		return ALLOWED;
	if (!(g->protos & 1u << w->proto)) {
		err_set(why, "Your token does not allow %s tunnels", proto_name(w->proto));
		return REFUSED_PROTO;
	}
	return w->proto == PROTO_TCP ? judge_port(g, w->port, why) : judge_name(g, w, why);
}
