/* Served folders: what a request means, and that nothing leads out of the folder. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pgrok/config/config.h"
#include "pgrok/files/files.h"
#include "pgrok/files/files_in.h"
#include "pgrok/files/path.h"

static void maps_paths(void **state)
{
	static const struct {
		const char *target, *rel;
		bool slash;
	} good[] = {
		{"/", "", true},
		{"/a", "a", false},
		{"/a/", "a", true},
		{"/a/b.txt", "a/b.txt", false},
		{"/a/b.txt?x=../../y", "a/b.txt", false},
		{"/a#b", "a", false},
		{"//a///b//", "a/b", true},
		{"/a%20b", "a b", false},
		{"/%61", "a", false},
		{"/a%2Eb", "a.b", false},
		{"/a..b/c.", "a..b/c.", false},
		{"/%25", "%", false},
		{"/%E6%97%A5", "日", false},
		{"/日", "日", false},
		{"/a\\..\\b", "a\\..\\b", false},
		{"/%ff", "\xff", false},
		{"http://host", "", true},
		{"http://host/a/b?c", "a/b", false},
		{"https://host?c=/d", "", true},
		{"/?q", "", true},
	};
	static const struct {
		const char *target;
		enum files_path_rc rc;
	} bad[] = {
		{"/..", FILES_PATH_HIDDEN},
		{"/../etc/passwd", FILES_PATH_HIDDEN},
		{"/a/../b", FILES_PATH_HIDDEN},
		{"/./a", FILES_PATH_HIDDEN},
		{"/a/.", FILES_PATH_HIDDEN},
		{"/%2e%2e/a", FILES_PATH_HIDDEN},
		{"/%2E./a", FILES_PATH_HIDDEN},
		{"/.git/config", FILES_PATH_HIDDEN},
		{"/a/.htaccess", FILES_PATH_HIDDEN},
		{"/%2egit", FILES_PATH_HIDDEN},
		{"/a%2fb", FILES_PATH_HIDDEN},
		{"/..%2fetc", FILES_PATH_HIDDEN},
		{"/a%2f..%2f..%2fetc", FILES_PATH_HIDDEN},
		{"http://host/../a", FILES_PATH_HIDDEN},
		{"/a%00b", FILES_PATH_BAD},
		{"/a%", FILES_PATH_BAD},
		{"/a%4", FILES_PATH_BAD},
		{"/a%zz", FILES_PATH_BAD},
		{"/%%", FILES_PATH_BAD},
	};
	char *rel;
	bool slash;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		if (files_path(good[i].target, strlen(good[i].target), &rel, &slash) !=
		    FILES_PATH_OK)
			fail_msg("%s is refused", good[i].target);
		assert_string_equal(rel, good[i].rel);
		assert_int_equal(slash, good[i].slash);
		free(rel);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (files_path(bad[i].target, strlen(bad[i].target), &rel, &slash) != bad[i].rc)
			fail_msg("%s is not %d", bad[i].target, bad[i].rc);
	}
}

static void finds_queries(void **state)
{
	static const char *const table[][2] = {
		{"/a?b=c", "?b=c"}, {"/a", ""}, {"/a?", "?"}, {"/a#b?c", ""}, {"http://h?x", "?x"}};
	size_t len;

	for (size_t i = 0; i < 5; i++) {
		const char *q = files_query(table[i][0], strlen(table[i][0]), &len);
		assert_int_equal(len, strlen(table[i][1]));
		assert_memory_equal(q, table[i][1], len);
	}
}

static void reads_ranges(void **state)
{
	static const struct {
		const char *text;
		uint64_t size;
		enum files_range_rc rc;
		uint64_t first, last;
	} table[] = {
		{"bytes=0-0", 10, FILES_RANGE_OK, 0, 0},
		{"bytes=0-", 10, FILES_RANGE_OK, 0, 9},
		{"bytes=3-5", 10, FILES_RANGE_OK, 3, 5},
		{"Bytes=3-5", 10, FILES_RANGE_OK, 3, 5},
		{"bytes=9-9", 10, FILES_RANGE_OK, 9, 9},
		{"bytes=3-99", 10, FILES_RANGE_OK, 3, 9},
		{"bytes=-1", 10, FILES_RANGE_OK, 9, 9},
		{"bytes=-10", 10, FILES_RANGE_OK, 0, 9},
		{"bytes=-11", 10, FILES_RANGE_OK, 0, 9},
		{"bytes=0-99999999999999999999999999", 10, FILES_RANGE_OK, 0, 9},
		{"bytes=-99999999999999999999999999", 10, FILES_RANGE_OK, 0, 9},
		{"bytes=10-", 10, FILES_RANGE_BEYOND, 0, 0},
		{"bytes=10-12", 10, FILES_RANGE_BEYOND, 0, 0},
		{"bytes=99999999999999999999999999-", 10, FILES_RANGE_BEYOND, 0, 0},
		{"bytes=-0", 10, FILES_RANGE_BEYOND, 0, 0},
		{"bytes=0-", 0, FILES_RANGE_BEYOND, 0, 0},
		{"bytes=-5", 0, FILES_RANGE_BEYOND, 0, 0},
		{"bytes=5-3", 10, FILES_RANGE_NONE, 0, 0},
		{"bytes=", 10, FILES_RANGE_NONE, 0, 0},
		{"bytes=-", 10, FILES_RANGE_NONE, 0, 0},
		{"bytes=1", 10, FILES_RANGE_NONE, 0, 0},
		{"bytes=a-b", 10, FILES_RANGE_NONE, 0, 0},
		{"bytes=1-2,4-5", 10, FILES_RANGE_NONE, 0, 0},
		{"bytes=1-2x", 10, FILES_RANGE_NONE, 0, 0},
		{"bytes=+1-2", 10, FILES_RANGE_NONE, 0, 0},
		{"lines=1-2", 10, FILES_RANGE_NONE, 0, 0},
		{"", 10, FILES_RANGE_NONE, 0, 0},
		{"b", 10, FILES_RANGE_NONE, 0, 0},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		uint64_t first = 0, last = 0;
		enum files_range_rc rc = files_range(table[i].text, strlen(table[i].text),
						     table[i].size, &first, &last);
		if (rc != table[i].rc)
			fail_msg("'%s' of %u: %d", table[i].text, (unsigned)table[i].size, rc);
		if (rc == FILES_RANGE_OK) {
			assert_int_equal(first, table[i].first);
			assert_int_equal(last, table[i].last);
		}
	}
}

static void knows_types(void **state)
{
	static const char *const table[][2] = {
		{"index.html", "text/html; charset=utf-8"},
		{"A.HTML", "text/html; charset=utf-8"},
		{"x/y.css", "text/css; charset=utf-8"},
		{"a.tar.gz", "application/gzip"},
		{"app.js", "text/javascript; charset=utf-8"},
		{"x.svg", "image/svg+xml"},
		{"data.json", "application/json"},
		{"x.wasm", "application/wasm"},
		{"README", "application/octet-stream"},
		{"x.", "application/octet-stream"},
		{"x.unknown", "application/octet-stream"},
		{"x.html/plain", "application/octet-stream"},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		assert_string_equal(files_mime(table[i][0]), table[i][1]);
}

static void reads_tags(void **state)
{
	static const struct {
		const char *list;
		bool has;
	} lists[] = {{"\"ab\"", true},
		     {"W/\"ab\"", true},
		     {"*", true},
		     {"\"x\", \"ab\"", true},
		     {"\"x\",\"ab\"", true},
		     {"\"x,\", \"ab\"", true},
		     {"\"a\"", false},
		     {"\"abc\"", false},
		     {"ab", false},
		     {"", false},
		     {"\"x \"ab\"", false},
		     {"\"x", false},
		     {"\"x\" \"ab\"", false}};
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		if (files_etag_listed(lists[i].list, strlen(lists[i].list), "\"ab\"") !=
		    lists[i].has)
			fail_msg("%s", lists[i].list);
	}
}

/* ---- a folder on disk ---- */

struct place {
	char root[64], outside[64];
	int fd;
};

static void put_file(const char *folder, const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fputs(name, f);
	fclose(f);
}

static void put_link(const struct place *p, const char *to, const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", p->root, name);
	assert_int_equal(symlink(to, path), 0);
}

static int set_up(void **state)
{
	static struct place p;
	char path[256];

	strcpy(p.root, "/tmp/pgrok-files-XXXXXX");
	strcpy(p.outside, "/tmp/pgrok-other-XXXXXX");
	assert_non_null(mkdtemp(p.root));
	assert_non_null(mkdtemp(p.outside));
	put_file(p.root, "a.txt");
	put_file(p.outside, "secret");
	snprintf(path, sizeof(path), "%s/sub", p.root);
	assert_int_equal(mkdir(path, 0700), 0);
	put_file(p.root, "sub/b.txt");
	snprintf(path, sizeof(path), "%s/pipe", p.root);
	assert_int_equal(mkfifo(path, 0600), 0);
	put_link(&p, "sub/b.txt", "inside");
	put_link(&p, "../a.txt", "sub/up");
	put_link(&p, p.outside, "out");
	snprintf(path, sizeof(path), "../%s/secret", strrchr(p.outside, '/') + 1);
	put_link(&p, path, "out-relative");
	put_link(&p, "/proc/self/root/etc", "magic");
	put_link(&p, "loop", "loop");
	put_link(&p, "..", "parent");
	p.fd = open(p.root, O_RDONLY | O_DIRECTORY);
	assert_true(p.fd >= 0);
	*state = &p;
	return 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;
	char command[200];

	close(p->fd);
	snprintf(command, sizeof(command), "rm -rf %s %s", p->root, p->outside);
	return system(command); /* NOLINT: the names are our own */
}

static void stays_inside(void **state)
{
	static const char *const good[] = {"", "a.txt", "sub", "sub/b.txt", "inside", "sub/up"};
	static const struct {
		const char *rel;
		int error;
	} bad[] = {
		{"absent", ENOENT},     {"a.txt/x", ENOTDIR},    {"sub/absent", ENOENT},
		{"out", EXDEV},         {"out/secret", EXDEV},   {"out-relative", EXDEV},
		{"magic", EXDEV},       {"magic/passwd", EXDEV}, {"parent", EXDEV},
		{"pipe", EACCES},       {"..", EXDEV},           {"../../etc/passwd", EXDEV},
		{"/etc/passwd", EXDEV}, {"loop", ELOOP},
	};
	struct place *p = *state;
	struct stat st;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		int fd = files_open(p->fd, good[i], &st);
		if (fd < 0)
			fail_msg("'%s': %s", good[i], strerror(errno));
		close(fd);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int fd = files_open(p->fd, bad[i].rel, &st);
		if (fd >= 0 || errno != bad[i].error)
			fail_msg("'%s': %s", bad[i].rel, fd >= 0 ? "opened" : strerror(errno));
	}
}

/* From now on this process runs on a kernel that has never heard of openat2(). */
static void forget_openat2(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = 4, .filter = filter};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
		_exit(100);
}

/* Without the kernel's help there are no links at all, and still no way out. */
static void stays_inside_without_openat2(void **state)
{
	static const char *const good[] = {"", "a.txt", "sub", "sub/b.txt"};
	static const char *const bad[] = {"absent",     "inside", "sub/up", "out",
					  "out/secret", "magic",  "parent", "parent/a.txt",
					  "..",         "sub/..", "pipe",   "out-relative"};
	struct place *p = *state;
	struct stat st;
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		forget_openat2();
		for (int i = 0; i < 4; i++) {
			if (files_open(p->fd, good[i], &st) < 0)
				_exit(1 + i);
		}
		for (int i = 0; i < 12; i++) {
			if (files_open(p->fd, bad[i], &st) >= 0)
				_exit(10 + i);
		}
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void lists_what_is_served(void **state)
{
	struct place *p = *state;
	struct text page = {0};

	put_file(p->root, ".hidden");
	put_file(p->root, "<b>&\"x y");
	files_list(&page, p->fd, p->fd, "");
	const char *text = page.p;
	assert_non_null(strstr(text, "<a href=\"./sub/\">sub/</a>"));
	assert_non_null(strstr(text, "<a href=\"./a.txt\">a.txt</a><td>5<td>"));
	assert_non_null(
		strstr(text, "<a href=\"./%3Cb%3E%26%22x%20y\">&#60;b&#62;&#38;&#34;x y</a>"));
	assert_non_null(strstr(text, "\"./inside\""));
	assert_null(strstr(text, "\"./out"));
	assert_null(strstr(text, "pipe"));
	assert_null(strstr(text, "hidden"));
	assert_null(strstr(text, "../"));
	/* Folders first. */
	assert_true(strstr(text, "./sub/") < strstr(text, "./a.txt"));
	text_free(&page);
}

static void knows_addresses(void **state)
{
	static const char *const yes[] = {".", "..", "~",   "./x",      "../x",
					  "/", "/x", "~/x", "file:///x"};
	static const char *const no[] = {"8080", ":80",   "host:80", "x",
					 "x/y",  ".x:80", "~user",   ""};
	struct place *p = *state;
	struct endpoint e = {0};
	char text[128];
	struct err err;

	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
		assert_true(files_is_address(yes[i]));
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		assert_false(files_is_address(no[i]));

	assert_true(endpoint_parse_local(&e, p->root, &err));
	assert_string_equal(e.folder, p->root);
	assert_string_equal(e.text, p->root);
	snprintf(text, sizeof(text), "file://%s/su%%62/", p->root);
	assert_true(endpoint_parse_local(&e, text, &err));
	snprintf(text, sizeof(text), "%s/sub", p->root);
	assert_string_equal(e.folder, text);
	snprintf(text, sizeof(text), "file://localhost%s/sub", p->root);
	assert_true(endpoint_parse_local(&e, text, &err));
	assert_true(endpoint_parse_local(&e, "8080", &err));
	assert_null(e.folder);
	assert_string_equal(e.host, "127.0.0.1");
	endpoint_free(&e);

	assert_false(endpoint_parse_local(&e, "/no/such/place", &err));
	assert_string_equal(err.text, "no such folder: /no/such/place");
	snprintf(text, sizeof(text), "%s/a.txt", p->root);
	assert_false(endpoint_parse_local(&e, text, &err));
	assert_non_null(strstr(err.text, "not a folder"));
	assert_false(endpoint_parse_local(&e, "file://elsewhere/x", &err));
	assert_non_null(strstr(err.text, "not a folder of this machine"));
	assert_null(e.text);
}

static void only_for_http(void **state)
{
	struct config *c = config_new();
	struct config_tunnel *t = config_add_tunnel(c, "t");
	struct err err;

	assert_true(config_set_protos(t, "http+https", "/", "default", &err));
	assert_string_equal(t->local[PROTO_HTTPS].folder, "/");
	assert_false(config_set_protos(t, "http+tcp", "/", "default", &err));
	assert_non_null(strstr(err.text, "t[tcp]"));
	assert_false(config_set_protos(t, "http", "/no/such/place", "default", &err));
	assert_non_null(strstr(err.text, "no such folder"));
	/* The server and the inspector are no folders. */
	struct endpoint e = {0};
	assert_false(endpoint_parse(&e, "/", &err));
	config_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(maps_paths),
		cmocka_unit_test(finds_queries),
		cmocka_unit_test(reads_ranges),
		cmocka_unit_test(knows_types),
		cmocka_unit_test(reads_tags),
		cmocka_unit_test_setup_teardown(stays_inside, set_up, tear_down),
		cmocka_unit_test_setup_teardown(stays_inside_without_openat2, set_up, tear_down),
		cmocka_unit_test_setup_teardown(lists_what_is_served, set_up, tear_down),
		cmocka_unit_test_setup_teardown(knows_addresses, set_up, tear_down),
		cmocka_unit_test(only_for_http),
	};

	return cmocka_run_group_tests_name("pgrok_files", tests, NULL, NULL);
}
