/* The listing of a folder, as a page of HTML. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/http/text.h"
#include "pgrok/files/files_in.h"
#include "pgrok/files/path.h"

struct entry {
	char *name;
	bool folder;
	uint64_t size;
	time_t changed;
};

struct entries {
	struct entry *e;
	size_t n, cap;
	bool more;
};

/* Folders first, then by name, byte by byte. */
static int compare(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->folder != y->folder)
		return x->folder ? -1 : 1;
	return strcmp(x->name, y->name);
}

/* What is behind the name, links followed as far as a request could follow them. False: nothing. */
static bool look_at(int root, int fd, const char *rel, const char *name, struct stat *st)
{
	if (fstatat(fd, name, st, AT_SYMLINK_NOFOLLOW) != 0)
		return false;
	if (S_ISLNK(st->st_mode)) {
		char *path = xasprintf("%s%s%s", rel, *rel ? "/" : "", name);
		int at = files_open(root, path, st);
		free(path);
		if (at < 0)
			return false;
		close(at);
	}
	return S_ISREG(st->st_mode) || S_ISDIR(st->st_mode);
}

static void collect(struct entries *all, DIR *dir, int root, const char *rel)
{
	struct dirent *d;
	struct stat st;

	while ((d = readdir(dir))) {
		if (d->d_name[0] == '.' || !look_at(root, dirfd(dir), rel, d->d_name, &st))
			continue;
		if (all->n == FILES_LISTED) {
			all->more = true;
			return;
		}
		if (all->n == all->cap) {
			all->cap = all->cap ? 2 * all->cap : 64;
			all->e = xrealloc(all->e, all->cap * sizeof(*all->e));
		}
		all->e[all->n++] = (struct entry){.name = xstrdup(d->d_name),
						  .folder = S_ISDIR(st.st_mode),
						  .size = (uint64_t)st.st_size,
						  .changed = st.st_mtime};
	}
}

static void put_size(struct text *out, uint64_t n)
{
	static const char units[] = "kMGTPE";
	double v = (double)n / 1000;
	size_t u = 0;

	if (n < 1000) {
		text_fmt(out, "%u", (unsigned)n);
		return;
	}
	while (v >= 999.5 && u + 2 < sizeof(units)) {
		v /= 1000;
		u++;
	}
	text_fmt(out, "%.*f %c", v < 9.95 ? 1 : 0, v, units[u]);
}

static void put_entry(struct text *out, const struct entry *e)
{
	char when[32];
	struct tm tm;

	strftime(when, sizeof(when), "%Y-%m-%d %H:%M", gmtime_r(&e->changed, &tm));
	/* "./" so that no name is taken for a scheme. */
	text_put(out, "<tr><td><a href=\"./");
	text_percent(out, e->name);
	text_put(out, e->folder ? "/\">" : "\">");
	text_html(out, e->name, strlen(e->name));
	text_put(out, e->folder ? "/</a><td>" : "</a><td>");
	if (!e->folder)
		put_size(out, e->size);
	text_fmt(out, "<td>%s\n", when);
}

void files_list(struct text *out, int root, int fd, const char *rel)
{
	struct entries all = {0};
	int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = own < 0 ? NULL : fdopendir(own);

	if (dir) {
		collect(&all, dir, root, rel);
		closedir(dir);
	} else if (own >= 0) {
		close(own);
	}
	if (all.n)
		qsort(all.e, all.n, sizeof(*all.e), compare);
	text_put(out, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
		      "<meta name=\"viewport\" content=\"width=device-width\">\n<title>/");
	text_html(out, rel, strlen(rel));
	text_put(
		out,
		"</title>\n<style>:root{color-scheme:light dark}"
		"body{font:15px/1.6 system-ui,sans-serif;margin:2em auto;max-width:60em;padding:0 1em}"
		"table{border-collapse:collapse;width:100%}td{padding:.1em 1em .1em 0}"
		"td+td{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums;"
		"opacity:.7}a{text-decoration:none;overflow-wrap:anywhere}a:hover{"
		"text-decoration:underline}h1{font-size:1.2em;overflow-wrap:anywhere}</style>\n"
		"</head><body>\n<h1>/");
	text_html(out, rel, strlen(rel));
	text_put(out, "</h1>\n<table>\n");
	if (*rel)
		text_put(out, "<tr><td><a href=\"../\">../</a><td><td>\n");
	for (size_t i = 0; i < all.n; i++)
		put_entry(out, &all.e[i]);
	text_put(out, "</table>\n");
	if (!all.n)
		text_put(out, "<p>There is nothing here.</p>\n");
	if (all.more)
		text_fmt(out, "<p>... and more: only %d names are shown.</p>\n", FILES_LISTED);
	text_put(out, "</body></html>\n");
	for (size_t i = 0; i < all.n; i++)
		free(all.e[i].name);
	free(all.e);
}
