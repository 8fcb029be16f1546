/* Tokens that the operator took back while the server ran. */
#include "pgrokd/access/revoked.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/text.h"
#include "pgrokd/limits.h"

struct line {
	char owner[LIMIT_OWNER + 1]; /* for who reads the file */
	struct token token;
};

struct revoked {
	struct line *line;
	size_t n;
};

static const char head[] =
	"# Tokens that were taken back. Without its line here, and after a SIGHUP, one counts again.\n";

struct revoked *revoked_new(void)
{
	return xcalloc(1, sizeof(struct revoked));
}

static void clear(struct revoked *r)
{
	free(r->line);
	*r = (struct revoked){0};
}

void revoked_free(struct revoked *r)
{
	if (r)
		clear(r);
	free(r);
}

static bool has(const struct revoked *r, const struct token *token)
{
	bool found = false;

	for (size_t i = 0; i < r->n; i++)
		found |= token_same(&r->line[i].token, token);
	return found;
}

static void add(struct revoked *r, const char *owner, const struct token *token)
{
	if (has(r, token))
		return;
	r->line = xrealloc(r->line, (r->n + 1) * sizeof(*r->line));
	r->line[r->n] = (struct line){.token = *token};
	snprintf(r->line[r->n++].owner, sizeof(r->line->owner), "%s", owner);
}

/* text: one line. */
static bool parse_line(struct revoked *r, char *text, const char **why)
{
	struct token token;
	char *hash = strchr(text, ' ');

	*why = "OWNER sha256:HEX is wanted";
	if (!hash || hash == text || hash - text > LIMIT_OWNER)
		return false;
	*hash++ = '\0';
	if (strncmp(hash, "sha256:", 7) != 0 || !token_parse(hash, &token, why))
		return false;
	add(r, text, &token);
	return true;
}

bool revoked_parse(struct revoked *r, const char *text, struct err *err)
{
	struct revoked next = {0};
	char *copy = xstrdup(text), *at = copy, *line;
	const char *why;
	bool ok = true;

	for (int n = 1; ok && (line = strsep(&at, "\n")); n++) {
		line[strcspn(line, "\r")] = '\0';
		if (*line && *line != '#' && !parse_line(&next, line, &why))
			ok = err_set(err, "line %d: %s", n, why);
	}
	free(copy);
	clear(ok ? r : &next);
	if (ok)
		*r = next;
	return ok;
}

char *revoked_text(const struct revoked *r)
{
	struct text t = {0};
	char hash[TOKEN_TEXT];

	text_put(&t, head);
	for (size_t i = 0; i < r->n; i++) {
		token_text(&r->line[i].token, hash);
		text_fmt(&t, "%s %s\n", r->line[i].owner, hash);
	}
	return t.p;
}

static char *path_in(const char *dir)
{
	return xasprintf("%s/revoked.txt", dir);
}

bool revoked_read(struct revoked *r, const char *dir, struct err *err)
{
	char *path = dir ? path_in(dir) : NULL;
	size_t len;
	char *text = path ? file_read(path, LIMIT_REVOKED_FILE, &len, err) : NULL;
	bool ok = text || !path || errno == ENOENT || errno == ENOTDIR;

	if (text && !revoked_parse(r, text, err))
		ok = err_set(err, "%s: %s", path, err->text);
	else if (ok && path && !text)
		clear(r);
	free(text);
	free(path);
	return ok;
}

bool revoked_write(const struct revoked *r, const char *dir, struct err *err)
{
	if (!dir)
		return err_set(err, "there is no -stateDir");
	char *path = path_in(dir), *text = revoked_text(r);
	bool ok = file_write(path, text, strlen(text), 0600) ||
		  err_set(err, "%s: %s", path, strerror(errno));

	free(text);
	free(path);
	return ok;
}

bool revoked_add(struct revoked *r, const struct tokens *t, const char *owner)
{
	for (size_t i = 0; i < tokens_count(t); i++) {
		if (strcmp(tokens_at(t, i)->owner, owner) != 0)
			continue;
		add(r, owner, tokens_token(t, i));
		return true;
	}
	return false;
}

struct tokens *revoked_apply(const struct revoked *r, struct tokens *t)
{
	size_t n = t ? tokens_count(t) : 0, out = 0;
	bool *gone = xcalloc(n + 1, sizeof(*gone));

	for (size_t i = 0; i < n; i++) {
		gone[i] = has(r, tokens_token(t, i));
		out += gone[i];
	}
	t = out ? tokens_without(t, gone) : tokens_ref(t);
	free(gone);
	return t;
}
