/* Unit tests of common/log. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/log.h"

static char dir[64], path[96], text[1 << 20];

static int setup(void **state)
{
	strcpy(dir, "/tmp/pgrok-log-test.XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/x.log", dir);
	return 0;
}

static int teardown(void **state)
{
	char name[128];

	log_close();
	log_set_format(LOG_TEXT);
	unlink(path);
	for (int i = 1; i < 9; i++) {
		snprintf(name, sizeof(name), "%s.%d", path, i);
		unlink(name);
	}
	return rmdir(dir);
}

static void must_open(const char *target, const char *level)
{
	struct err err;

	assert_true(log_open(target, level, &err));
}

static const char *slurp_fd(int fd)
{
	size_t len = 0;
	ssize_t n;

	while ((n = read(fd, text + len, sizeof(text) - 1 - len)) > 0)
		len += (size_t)n;
	text[len] = '\0';
	close(fd);
	return text;
}

static const char *slurp(const char *name)
{
	int fd = open(name, O_RDONLY);

	assert_true(fd >= 0);
	return slurp_fd(fd);
}

/* '0' in the shape stands for a digit, all else for itself. */
static bool has_shape(const char *s, const char *shape)
{
	for (; *shape; s++, shape++) {
		if (*shape == '0' ? !isdigit((unsigned char)*s) : *s != *shape)
			return false;
	}
	return true;
}

static void file_form(void **state)
{
	struct stat st;

	umask(022);
	must_open(path, "DEBUG");
	assert_false(log_to_stdout());
	log_info("ctl:309f56fc", "Tunnel established at %s", "http://x");
	log_warn("", "w");
	log_error(NULL, "e");
	log_debug("p", "d");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	const char *s = slurp(path);
	assert_true(has_shape(s, "[0000/00/00 00:00:00 UTC] [INFO] [ctl:"));
	const char *rest = strstr(s, " [INFO]");
	assert_true(strncmp(rest, " [INFO] [ctl:309f56fc] Tunnel established at http://x\n[", 54) ==
		    0);
	assert_non_null(strstr(s, " UTC] [WARN] w\n["));
	assert_non_null(strstr(s, " UTC] [EROR] e\n["));
	assert_non_null(strstr(s, " UTC] [DEBG] [p] d\n"));
}

/* Puts a pipe in stdout's place; returns its reading end. */
static int stdout_to_pipe(int *saved)
{
	int ends[2];

	fflush(stdout);
	*saved = dup(STDOUT_FILENO);
	assert_int_equal(pipe(ends), 0);
	dup2(ends[1], STDOUT_FILENO);
	close(ends[1]);
	return ends[0];
}

static void stdout_back(int saved)
{
	dup2(saved, STDOUT_FILENO);
	close(saved);
}

static void stdout_form(void **state)
{
	int saved, fd = stdout_to_pipe(&saved);

	must_open("stdout", "INFO");
	bool to_stdout = log_to_stdout();
	log_info("client", "up");
	log_reopen();
	log_close();
	stdout_back(saved);
	const char *s = slurp_fd(fd);
	assert_true(to_stdout);
	assert_true(has_shape(s, "[0000/00/00 00:00:00 UTC] [INFO] [client] up\n"));
	assert_int_equal(strlen(s), 45);
}

static void levels(void **state)
{
	static const struct {
		const char *name;
		enum log_level lowest;
	} rows[] = {
		{"DEBUG", LOG_DEBUG}, {"info", LOG_INFO},   {"WARNING", LOG_WARN},
		{"Warn", LOG_WARN},   {"ERROR", LOG_ERROR},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		must_open(path, rows[i].name);
		for (int l = LOG_DEBUG; l <= LOG_ERROR; l++) {
			assert_int_equal(log_wants(l), l >= (int)rows[i].lowest);
			log_line(l, NULL, "level=%d", l);
		}
		const char *s = slurp(path);
		for (int l = LOG_DEBUG; l <= LOG_ERROR; l++) {
			char want[32];
			snprintf(want, sizeof(want), "level=%d\n", l);
			assert_int_equal(strstr(s, want) != NULL, l >= (int)rows[i].lowest);
		}
	}
}

static void none_is_silent(void **state)
{
	log_close();
	assert_false(log_wants(LOG_ERROR));
	log_error(NULL, "nobody hears this");
	must_open("none", "DEBUG");
	assert_false(log_wants(LOG_ERROR));
	assert_false(log_to_stdout());
	log_error(NULL, "nor this");
	log_set_format(LOG_JSON);
	log_event("x", "a", "b", NULL);
	log_reopen();
}

static void bad_targets(void **state)
{
	char missing[128];
	struct err err;

	assert_false(log_open(path, "LOUD", &err));
	assert_string_equal(err.text,
			    "unknown log level \"LOUD\": use DEBUG, INFO, WARNING or ERROR");
	assert_false(log_open(path, "", &err));
	assert_int_equal(access(path, F_OK), -1);
	snprintf(missing, sizeof(missing), "%s/none/x.log", dir);
	assert_false(log_open(missing, "INFO", &err));
	assert_non_null(strstr(err.text, "/none/x.log: No such file or directory"));
	assert_false(log_open("", "INFO", &err));
	assert_false(log_open(dir, "INFO", &err));
	assert_false(log_wants(LOG_ERROR));
}

static void no_line_is_forged(void **state)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
		{"a\n[2026/11/22 01:26:12 UTC] [INFO] x",
		 "a\\x0a[2026/11/22 01:26:12 UTC] [INFO] x"},
		{"\r\t\x01\x1b[2J\x7f", "\\x0d\\x09\\x01\\x1b[2J\\x7f"},
		{"ok \xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80",
		 "ok \xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"},
		{"\xff\xfe\xc3", "\\xff\\xfe\\xc3"},
		{"\xc0\xaf \xed\xa0\x80", "\\xc0\\xaf \\xed\\xa0\\x80"},
		{"csi \xc2\x9b"
		 "2J nel \xc2\x85",
		 "csi \\xc2\\x9b2J nel \\xc2\\x85"},
		{"ls \xe2\x80\xa8 ps \xe2\x80\xa9 ok \xe2\x80\xa6",
		 "ls \\xe2\\x80\\xa8 ps \\xe2\\x80\\xa9 ok \xe2\x80\xa6"},
		{"\"quoted\" \\ back", "\"quoted\" \\ back"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char want[256];
		must_open(path, "INFO");
		log_info("p\n", "%s", rows[i].in);
		const char *s = slurp(path);
		snprintf(want, sizeof(want), " [INFO] [p\\x0a] %s\n", rows[i].out);
		assert_string_equal(strchr(s, ']') + 1, want);
		unlink(path);
	}
}

static void long_lines_are_cut(void **state)
{
	static char big[5000];

	memset(big, 'a', sizeof(big) - 1);
	must_open(path, "INFO");
	log_info("p", "%s", big);
	const char *s = slurp(path);
	assert_true(strlen(s) <= 2048 && strlen(s) > 2000);
	assert_string_equal(s + strlen(s) - 5, "a...\n");
	unlink(path);

	/* Never in the middle of a character or of an escape. */
	for (int shift = 0; shift < 4; shift++) {
		for (int i = 0; i + 3 < (int)sizeof(big); i += 3)
			memcpy(big + i, shift % 2 ? "\xe2\x82\xac" : "\n\n\n", 3);
		must_open(path, "INFO");
		log_info(NULL, "%.*s%s", shift, "xxxx", big);
		s = slurp(path);
		const char *end = s + strlen(s) - 4;
		assert_string_equal(end, "...\n");
		assert_true(memcmp(end - 3, "\xe2\x82\xac", 3) == 0 ||
			    memcmp(end - 4, "\\x0a", 4) == 0);
		assert_true(strlen(s) <= 2048);
		unlink(path);
	}
}

/* FILE.number holds the line `want`. */
static void assert_kept(int number, const char *want)
{
	char name[128];

	snprintf(name, sizeof(name), "%s.%d", path, number);
	assert_non_null(strstr(slurp(name), want));
}

static void assert_not_kept(int number)
{
	char name[128];

	snprintf(name, sizeof(name), "%s.%d", path, number);
	assert_int_equal(access(name, F_OK), -1);
}

static void old_files_are_kept(void **state)
{
	for (int i = 0; i < 8; i++) {
		must_open(path, "INFO");
		log_info(NULL, "run %d", i);
		log_close();
	}
	assert_non_null(strstr(slurp(path), "run 7\n"));
	for (int i = 1; i <= 5; i++) {
		char want[32];

		snprintf(want, sizeof(want), "run %d\n", 7 - i);
		assert_kept(i, want);
	}
	assert_not_kept(6);
}

/* A device is written to, and stays where it is. */
static void devices_stay(void **state)
{
	must_open("/dev/null", "INFO");
	log_info(NULL, "gone");
	assert_int_equal(access("/dev/null.1", F_OK), -1);
}

static void a_link_is_followed_only_to_a_file_of_ours(void **state)
{
	char target[128];
	struct err err;

	snprintf(target, sizeof(target), "%s.1", path);
	assert_int_equal(symlink(target, path), 0);
	assert_false(log_open(path, "INFO", &err)); /* leads nowhere */
	close(open(target, O_WRONLY | O_CREAT, 0600));
	must_open(path, "INFO");
	log_info(NULL, "behind the link");
	log_close();
	assert_kept(1, "behind the link\n");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("/dev/null", path), 0);
	assert_false(log_open(path, "INFO", &err));
	assert_non_null(strstr(err.text, "is a link to something that is not a file of this user"));
}

/* What grows too large is moved away; five old ones are kept; no line is lost on the way. */
static void a_file_is_bounded(void **state)
{
	struct stat st;

	must_open(path, "INFO");
	log_set_max(4096);
	for (int i = 0; i < 400; i++)
		log_info(NULL, "line %03d %050d", i, 0);
	log_set_max(0);
	assert_int_equal(stat(path, &st), 0);
	assert_true(st.st_size <= 4096 + 200);
	assert_non_null(strstr(slurp(path), "line 399"));
	int last = 399;

	for (const char *at = text; (at = strstr(at, "line ")); at++)
		last = last < atoi(at + 5) ? last : atoi(at + 5);
	char want[32];

	snprintf(want, sizeof(want), "line %03d", last - 1);
	assert_kept(1, want);
	assert_kept(5, "line ");
	assert_not_kept(6);
}

static void reopen_follows_the_name(void **state)
{
	char moved[128];

	snprintf(moved, sizeof(moved), "%s.7", path);
	must_open(path, "INFO");
	log_info(NULL, "one");
	assert_int_equal(rename(path, moved), 0);
	log_info(NULL, "two");
	log_reopen();
	log_info(NULL, "three");
	log_reopen(); /* appends, does not rotate */
	log_info(NULL, "four");
	assert_non_null(strstr(slurp(moved), "two\n"));
	assert_null(strstr(text, "three"));
	assert_non_null(strstr(slurp(path), "three\n"));
	assert_non_null(strstr(text, "four\n"));

	/* Cannot be opened again: says so where it still can, and goes on there. */
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	unlink(moved);
	log_reopen();
	log_info(NULL, "five");
	assert_int_equal(rmdir(path), 0);
}

static json_t *only_json_line(void)
{
	const char *s = slurp(path);
	json_error_t error;

	assert_true(strlen(s) <= 2048 && s[strlen(s) - 1] == '\n');
	assert_ptr_equal(strchr(s, '\n'), s + strlen(s) - 1);
	json_t *o = json_loads(s, JSON_REJECT_DUPLICATES, &error);
	if (!o)
		fail_msg("%s in %s", error.text, s);
	unlink(path);
	return o;
}

static void assert_member(json_t *o, const char *name, const char *value)
{
	assert_string_equal(json_string_value(json_object_get(o, name)), value);
}

static void json_form(void **state)
{
	log_set_format(LOG_JSON);
	must_open(path, "INFO");
	log_warn("ctl:1", "say \"hi\" \\ %s", "x\ny\xff\xc2\x85");
	json_t *o = only_json_line();
	assert_true(
		has_shape(json_string_value(json_object_get(o, "t")), "0000-00-00T00:00:00.000Z"));
	assert_member(o, "level", "warn");
	assert_member(o, "id", "ctl:1");
	assert_member(o, "msg", "say \"hi\" \\ x\ny\\xff\xc2\x85");
	assert_int_equal(json_object_size(o), 4);
	json_decref(o);

	must_open(path, "ERROR");
	log_info(NULL, "not wanted");
	log_event("tunnel", "url", "http://a\"b", "none", NULL, NULL);
	o = only_json_line();
	assert_member(o, "event", "tunnel");
	assert_member(o, "url", "http://a\"b");
	/* A NULL value ends the list for a reader of the source, here it is a value. */
	assert_member(o, "none", "");
	assert_int_equal(json_object_size(o), 4);
	json_decref(o);

	log_set_format(LOG_TEXT);
	must_open(path, "INFO");
	log_event("tunnel", "url", "x", NULL);
	assert_string_equal(slurp(path), "");
}

/* Any bytes, any length around the cut: one line, valid JSON. */
static void json_is_always_valid(void **state)
{
	static char noise[4096];
	unsigned seed = 1;

	log_set_format(LOG_JSON);
	for (int round = 0; round < 400; round++) {
		size_t len = round < 300 ? (size_t)(1850 + round) : (size_t)(rand_r(&seed) % 4000);
		for (size_t i = 0; i < len; i++)
			noise[i] = round < 300 ? "a\"\n\x01"[round % 4]
					       : (char)(rand_r(&seed) % 255 + 1);
		noise[len] = '\0';
		must_open(path, "INFO");
		log_info(round % 3 ? noise + len / 2 : "p", "%s", noise);
		json_decref(only_json_line());
		must_open(path, "INFO");
		log_event("e", "first", noise, noise + len / 2, noise, "last", "x", NULL);
		json_decref(only_json_line());
	}
}

/* The reader of stdout leaves, or stops reading: lines are lost, nothing else. */
static void dead_stdout_is_survived(void **state)
{
	int saved, fd = stdout_to_pipe(&saved);
	int flags = fcntl(STDOUT_FILENO, F_GETFL);

	signal(SIGPIPE, SIG_DFL);
	fcntl(STDOUT_FILENO, F_SETFL, flags | O_NONBLOCK);
	must_open("stdout", "INFO");
	for (int i = 0; i < 5000; i++)
		log_info(NULL, "%0100d", i);
	close(fd);
	errno = ENOTUNIQ;
	log_info(NULL, "after the end");
	int kept = errno; /* the failed write does not show */
	log_close();
	stdout_back(saved);
	assert_int_equal(kept, ENOTUNIQ);
}

/* A reader that stands still, and no O_NONBLOCK of somebody else's: lines are lost and counted. */
static void a_reader_that_stands_still(void **state)
{
	int saved, fd = stdout_to_pipe(&saved);

	must_open("stdout", "INFO");
	for (int i = 0; i < 5000; i++)
		log_info(NULL, "%0100d", i);
	bool blocking = !(fcntl(STDOUT_FILENO, F_GETFL) & O_NONBLOCK);
	char first[4096];
	ssize_t n = read(fd, first, sizeof(first)); /* there is room again */

	for (int i = 0; i < 8; i++)
		n += read(fd, text, 2048);
	log_info(NULL, "the first that fits");
	log_close();
	stdout_back(saved);
	const char *s = slurp_fd(fd);

	assert_true(n > 0);
	assert_true(blocking); /* what others share was left alone */
	const char *report = strstr(s, "the first that fits\n");

	assert_non_null(report);
	report = strstr(report, " lines were lost: the log could not be written\n");
	assert_non_null(report);
	while (report[-1] != ' ')
		report--;
	assert_true(atoi(report) > 3000 && atoi(report) < 5000);
}

/* The same for what systemd gives: a socket. */
static void a_socket_that_is_full(void **state)
{
	int ends[2], saved;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	fflush(stdout);
	saved = dup(STDOUT_FILENO);
	dup2(ends[1], STDOUT_FILENO);
	must_open("stdout", "INFO");
	for (int i = 0; i < 20000; i++)
		log_info(NULL, "%0100d", i);
	log_close();
	stdout_back(saved);
	close(ends[0]);
	close(ends[1]);
}

static void a_full_disk(void **state)
{
	must_open("/dev/full", "INFO");
	errno = 0;
	for (int i = 0; i < 10; i++)
		log_info(NULL, "lost");
	assert_int_equal(errno, 0);
}

static int count_of(const char *word)
{
	int n = 0;

	for (const char *at = text; (at = strstr(at, word)); at++)
		n++;
	return n;
}

static void what_strangers_cause_is_summed_up(void **state)
{
	struct log_kind kind = {0};

	must_open(path, "INFO");
	for (int i = 0; i < 1000; i++)
		if (log_may(&kind, LOG_INFO, "lobby"))
			log_info("lobby", "refused");
	slurp(path);
	assert_int_equal(count_of("refused\n"), LOG_OFTEN);
	kind.began -= LOG_OFTEN_S; /* that much later */
	if (log_may(&kind, LOG_INFO, "lobby"))
		log_info("lobby", "refused");
	slurp(path);
	assert_int_equal(count_of("refused\n"), LOG_OFTEN + 1);
	assert_non_null(strstr(text, "[lobby] 950 more lines like the next one were left out\n"));
}

static void fifo_without_reader(void **state)
{
	struct err err;

	assert_int_equal(mkfifo(path, 0600), 0);
	assert_false(log_open(path, "INFO", &err));
}

static void *write_lines(void *arg)
{
	for (int i = 0; i < 500; i++)
		log_info(arg, "line %d of a thread", i);
	return NULL;
}

static void threads_do_not_mix_lines(void **state)
{
	static char names[4][4] = {"t0", "t1", "t2", "t3"};
	pthread_t threads[4];
	int lines = 0;

	must_open(path, "INFO");
	for (int t = 0; t < 4; t++)
		assert_int_equal(pthread_create(&threads[t], NULL, write_lines, names[t]), 0);
	for (int i = 0; i < 50; i++)
		log_reopen();
	for (int t = 0; t < 4; t++)
		pthread_join(threads[t], NULL);
	slurp(path);
	for (char *save, *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
		assert_true(has_shape(l, "[0000/00/00 00:00:00 UTC] [INFO] [t0] line 0"));
		assert_string_equal(l + strlen(l) - 12, " of a thread");
		lines++;
	}
	assert_int_equal(lines, 2000);
}

static void fatal_ends_with_one(void **state)
{
	int ends[2], status;

	assert_int_equal(pipe(ends), 0);
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		/* Flushed before: exit() here must not print the parent's lines again. */
		dup2(ends[1], STDERR_FILENO);
		close(ends[0]);
		must_open(path, "INFO");
		fatal("-httpAddr %s: %s\n", ":80", "in use");
	}
	close(ends[1]);
	assert_string_equal(slurp_fd(ends[0]), "-httpAddr :80: in use\\x0a\n");
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
	assert_non_null(strstr(slurp(path), " [EROR] -httpAddr :80: in use\\x0a\n"));
}

#define LOG_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOG_TEST(file_form),
		LOG_TEST(stdout_form),
		LOG_TEST(levels),
		LOG_TEST(none_is_silent),
		LOG_TEST(bad_targets),
		LOG_TEST(no_line_is_forged),
		LOG_TEST(long_lines_are_cut),
		LOG_TEST(old_files_are_kept),
		LOG_TEST(devices_stay),
		LOG_TEST(a_link_is_followed_only_to_a_file_of_ours),
		LOG_TEST(a_file_is_bounded),
		LOG_TEST(a_reader_that_stands_still),
		LOG_TEST(a_socket_that_is_full),
		LOG_TEST(a_full_disk),
		LOG_TEST(what_strangers_cause_is_summed_up),
		LOG_TEST(reopen_follows_the_name),
		LOG_TEST(json_form),
		LOG_TEST(json_is_always_valid),
		LOG_TEST(dead_stdout_is_survived),
		LOG_TEST(fifo_without_reader),
		LOG_TEST(threads_do_not_mix_lines),
		LOG_TEST(fatal_ends_with_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
