/* The operator's page: its files, and the form for the token. */
#include <stdio.h>
#include <string.h>

#include "assets/assets.h"
#include "pgrokd/admin/parts.h"

static const struct asset *find(const char *folder, const char *name)
{
	char path[64];

	if (snprintf(path, sizeof(path), "%s/%s", folder, name) >= (int)sizeof(path))
		return NULL;
	return asset_find(&admin_assets, path);
}

void page_index(void *arg, struct httpd_req *r)
{
	const struct asset *a = find("admin", "index.html");

	httpd_cached(r, a->mime, a->etag, a->bytes, a->len);
}

/* Some are the inspector's. */
void page_static(void *arg, struct httpd_req *r)
{
	const struct asset *a = find("admin", httpd_rest(r));

	if (!a)
		a = find("inspect", httpd_rest(r));
	if (a)
		httpd_cached(r, a->mime, a->etag, a->bytes, a->len);
	else
		httpd_text(r, 404, "404 page not found\n");
}

/* A person who opens the page is asked for the token; it comes back as ?token=. */
void page_refuse(void *arg, struct httpd_req *r, int status, const char *text)
{
	const struct asset *a = find("admin", "login.html");

	if (status == 401 && strcmp(httpd_path(r), "/") == 0)
		httpd_form_page(r, status, a->bytes, a->len);
	else
		httpd_text(r, status, "%s\n", text);
}
