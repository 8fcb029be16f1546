/* A folder as a tunnel's local service: its address, and connections to it. */
#include "pgrok/files/files.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/http/text.h"
#include "common/stream/stream.h"
#include "pgrok/files/files_in.h"

/* ---- addresses ---- */

bool files_is_address(const char *text)
{
	static const char *const alone[] = {".", "..", "~"}, *const begins[] = {"./", "../", "/",
										"~/", "file:"};

	for (size_t i = 0; i < sizeof(alone) / sizeof(alone[0]); i++) {
		if (strcmp(text, alone[i]) == 0)
			return true;
	}
	for (size_t i = 0; i < sizeof(begins) / sizeof(begins[0]); i++) {
		if (strncmp(text, begins[i], strlen(begins[i])) == 0)
			return true;
	}
	return false;
}

/* "file:///srv/www" and "file://localhost/srv/www" (RFC 8089). NULL: another machine's. */
static char *path_of_url(const char *url)
{
	const char *path = url + strlen("file:");

	if (strncmp(path, "//", 2) == 0) {
		path += 2;
		if (strncmp(path, "localhost/", 10) == 0)
			path += strlen("localhost");
	}
	if (*path != '/')
		return NULL;
	char *out = xmalloc(strlen(path) + 1);
	if (percent_decode(path, strlen(path), out))
		return out;
	free(out);
	return NULL;
}

static char *path_of_home(const char *rest)
{
	const char *home = getenv("HOME");
	struct passwd pw, *found = NULL;
	char buf[4096];

	if ((!home || !*home) && getpwuid_r(getuid(), &pw, buf, sizeof(buf), &found) == 0 && found)
		home = found->pw_dir;
	return xasprintf("%s%s", home ? home : "", rest);
}

char *files_resolve(const char *text, struct err *err)
{
	struct stat st;
	char *path, *whole;

	if (strncmp(text, "file:", 5) == 0)
		path = path_of_url(text);
	else
		path = *text == '~' ? path_of_home(text + 1) : xstrdup(text);
	if (!path) {
		err_set(err, "not a folder of this machine: %s (file:///...)", text);
		return NULL;
	}
	whole = realpath(path, NULL);
	if (!whole || stat(whole, &st) != 0)
		err_set(err, "%s: %s", errno == ENOENT ? "no such folder" : strerror(errno), path);
	else if (!S_ISDIR(st.st_mode))
		err_set(err, "not a folder: %s", path);
	else if (access(whole, R_OK | X_OK) != 0)
		err_set(err, "%s: %s", strerror(errno), path);
	else
		goto done;
	free(whole);
	whole = NULL;
done:
	free(path);
	return whole;
}

/* ---- connections ---- */

int files_connect(struct loop *l, const char *folder, struct err *err)
{
	int ends[2], root = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (root < 0) {
		err_set(err, "%s: %s", folder, strerror(errno));
		return -1;
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0) {
		err_set(err, "socketpair: %s", strerror(errno));
		close(root);
		return -1;
	}
	files_serve(l, stream_new(l, ends[1], NULL), root);
	return ends[0];
}
