/* The access log: a line for each request of a visitor, answered, refused or broken off. */
#include <fcntl.h>
#include <jansson.h>
#include <unistd.h>

#include "pgrokd/core/journal.h"
#include "test/unit/pgrokd/visitor_rig.h"

static struct logfile file = LOGFILE_INIT;
static struct journal_conf conf = {.file = &file};
static char path[64];

static int begin(void **state)
{
	struct err err;

	strcpy(path, "/tmp/pgrok-access-test.XXXXXX");
	close(mkstemp(path));
	conf.form = JOURNAL_JSON;
	conf.query = true;
	if (!logfile_open(&file, path, LOGFILE_APPEND, &err) || set_up(state) != 0)
		return -1;
	struct rig *r = *state;

	r->at.owner = "alice";
	r->worker.journal = journal_new(&conf, r->worker.loop, &r->worker.count);
	return 0;
}

static int end(void **state)
{
	struct rig *r = *state;

	visitor_close_all(&r->worker, "the test is over");
	journal_free(r->worker.journal);
	r->worker.journal = NULL;
	logfile_close(&file);
	unlink(path);
	return tear_down(state);
}

/* What has been written; all of it, after a while. */
static char *written(struct rig *r)
{
	static char text[16384];
	int fd;

	wait_ms(r, JOURNAL_MS);
	fd = open(path, O_RDONLY);
	assert_true(fd >= 0);
	ssize_t n = read(fd, text, sizeof(text) - 1);

	close(fd);
	assert_true(n >= 0);
	text[n] = '\0';
	return text;
}

/* Line number i, as an object. */
static json_t *line(struct rig *r, int i)
{
	char *at = written(r);

	for (; i > 0; i--)
		assert_non_null((at = strchr(at, '\n')) && *++at ? at : NULL);
	json_t *o = json_loads(at, JSON_DISABLE_EOF_CHECK | JSON_REJECT_DUPLICATES, NULL);

	assert_non_null(o);
	return o;
}

static void assert_lines(struct rig *r, int n)
{
	int found = 0;

	for (const char *at = written(r); (at = strchr(at, '\n')); at++)
		found++;
	assert_int_equal(found, n);
	assert_int_equal(r->worker.count.journal[LINES_WRITTEN], n);
}

#define NONE (-1)

/* status and first byte NONE: null. */
static void assert_line(struct rig *r, int i, const char *target, int status, size_t in, size_t out)
{
	json_t *o = line(r, i), *code = json_object_get(o, "status");

	assert_string_equal(json_string_value(json_object_get(o, "target")), target);
	assert_int_equal(json_is_null(code) ? NONE : json_integer_value(code), status);
	assert_int_equal(json_integer_value(json_object_get(o, "bytes_in")), in);
	assert_int_equal(json_integer_value(json_object_get(o, "bytes_out")), out);
	assert_int_equal(json_is_null(json_object_get(o, "first_byte_ms")), status == NONE);
	assert_true(json_is_number(json_object_get(o, "all_ms")));
	json_decref(o);
}

static void assert_member(struct rig *r, int i, const char *name, const char *value)
{
	json_t *o = line(r, i);

	assert_string_equal(json_string_value(json_object_get(o, name)), value);
	json_decref(o);
}

#define POST "POST /p HTTP/1.1\r\nContent-Length: 4\r\n" HOST "body"

/* Each has its own bytes, whatever comes at once. */
static void test_pipelined(void **state)
{
	struct rig *r = *state;
	struct fake *c = connection(r), *v = come(r, GET POST GET2);

	assert_lines(r, 0);
	say(r, c,
	    "HTTP/1.1 100 Continue\r\n\r\n" OK5 "HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\n1");
	assert_lines(r, 1);
	say(r, c, "2" OK0);
	assert_lines(r, 3);
	assert_line(r, 0, "/", 200, strlen(GET), strlen("HTTP/1.1 100 Continue\r\n\r\n" OK5));
	assert_line(r, 1, "/p", 404, strlen(POST),
		    strlen("HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\n12"));
	assert_line(r, 2, "/2", 200, strlen(GET2), strlen(OK0));
	assert_member(r, 0, "addr", "192.0.2.7");
	assert_member(r, 0, "owner", "alice");
	assert_member(r, 1, "method", "POST");
	assert_member(r, 1, "host", "a.test");
	assert_member(r, 1, "proto", "http");
	hang_up(r, v);
	hang_up(r, c);
	assert_lines(r, 3);
}

static void test_broken_off(void **state)
{
	struct rig *r = *state;
	struct fake *c = connection(r), *v = come(r, GET GET2);

	say(r, c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe");
	stream_close(&v->s, true);
	pass(r);
	hang_up(r, c);
	assert_lines(r, 2);
	assert_line(r, 0, "/", 200, strlen(GET),
		    strlen("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe"));
	assert_line(r, 1, "/2", NONE, strlen(GET2), 0);
}

/* What follows an upgrade is the request's. */
static void test_upgraded(void **state)
{
	struct rig *r = *state;
	struct fake *c = connection(r), *v = come(r, UPGRADE);

	say(r, c, "HTTP/1.1 101 Switching\r\n\r\n12345");
	say(r, v, "678");
	assert_lines(r, 0);
	hang_up(r, v);
	hang_up(r, c);
	assert_lines(r, 1);
	assert_line(r, 0, "/", 101, strlen(UPGRADE) + 3,
		    strlen("HTTP/1.1 101 Switching\r\n\r\n12345"));
}

/* Answers that can't be followed are not given to requests behind them. */
static void test_unfollowed(void **state)
{
	struct rig *r = *state;
	struct fake *c = connection(r), *v = come(r, GET);

	say(r, c, "what?");
	say(r, v, GET2);
	assert_lines(r, 1);
	hang_up(r, c);
	hang_up(r, v);
	assert_lines(r, 2);
	assert_line(r, 0, "/", NONE, strlen(GET), 5);
	assert_line(r, 1, "/2", NONE, strlen(GET2), 5);
}

static size_t heard(struct fake *end)
{
	char got[2048];
	size_t n = 0;

	assert_int_equal(stream_read(&end->s, got, sizeof(got), &n), STREAM_OK);
	return n;
}

/* Pages of ours: for a request that can't be read, one for nobody, one whose client has gone. */
static void test_pages(void **state)
{
	struct rig *r = *state;
	struct fake *c = connection(r), *v = come(r, GET);
	size_t page;

	say(r, c, OK0);
	hear(v, OK0);
	say(r, v, BAD);
	page = heard(v);
	hang_up(r, v);
	hang_up(r, c);
	assert_lines(r, 2);
	assert_line(r, 1, "", 400, 0, page);
	c = connection(r);
	v = come(r, GET);
	say(r, c, OK0);
	hear(v, OK0);
	say(r, v, NOWHERE);
	page = heard(v);
	assert_lines(r, 4);
	assert_line(r, 3, "/c", 404, strlen(NOWHERE), page);
	assert_member(r, 3, "host", "c.test");
	assert_member(r, 3, "owner", "");
	hang_up(r, v);
	hang_up(r, c);
	v = come(r, GET2);
	wait_ms(r, LIMIT_WAIT_MS);
	page = heard(v);
	assert_lines(r, 5);
	assert_line(r, 4, "/2", 504, strlen(GET2), page);
	json_t *o = line(r, 4);

	assert_true(json_number_value(json_object_get(o, "all_ms")) >= LIMIT_WAIT_MS * SCALE / 2);
	json_decref(o);
	hang_up(r, v);
}

#define EVIL \
	"GET /\"a\\b?k=v HTTP/1.1\r\nUser-Agent: \"x\\ \xc3\xa9\xff\t\"\r\nReferer: http://r/?t=1\r\n" HOST

/* Nothing of what strangers send ends a text, or a line. */
static void test_escaped(void **state)
{
	struct rig *r = *state;
	struct fake *c = connection(r), *v = come(r, EVIL);

	say(r, c, OK0);
	assert_line(r, 0, "/\"a\\b?k=v", 200, strlen(EVIL), strlen(OK0));
	assert_member(r, 0, "agent", "\"x\\ \xc3\xa9\\xff\t\"");
	conf.form = JOURNAL_COMBINED;
	say(r, v, EVIL);
	say(r, c, OK0);
	conf.query = false;
	say(r, v, EVIL);
	say(r, c, OK0);
	char *text = written(r), *at = strchr(text, '\n') + 1;

	assert_int_equal(strncmp(at, "192.0.2.7 - alice [", 19), 0);
	assert_non_null(
		strstr(at, " +0000] \"GET /\\\"a\\\\b?k=v HTTP/1.1\" 200 38 "
			   "\"http://r/?t=1\" \"\\\"x\\\\ \\xc3\\xa9\\xff\\x09\\\"\" \"a.test\" "));
	at = strchr(at, '\n') + 1;
	assert_non_null(strstr(at, " \"GET /\\\"a\\\\b HTTP/1.1\" 200 38 \"http://r/\" "));
	hang_up(r, v);
	hang_up(r, c);
}

/* However long the texts, and however they are escaped. */
static void test_bounded(void **state)
{
	struct rig *r = *state;
	struct fake *c = connection(r), *v;
	static char head[16384];
	size_t len;

	snprintf(head, sizeof(head), "GET /%s HTTP/1.1\r\nUser-Agent: ", "x");
	len = strlen(head);
	memset(head + len, 0xff, 4000);
	strcpy(head + len + 4000, "\r\nReferer: ");
	len = strlen(head);
	memset(head + len, '"', 4000);
	strcpy(head + len + 4000, "\r\n" HOST);
	v = come(r, head);
	say(r, c, OK0);
	conf.form = JOURNAL_COMBINED;
	for (int i = 0; i < 8; i++) {
		say(r, v, head);
		say(r, c, OK0);
	}
	assert_lines(r, 9);
	for (const char *at = written(r), *next; *at; at = next) {
		next = strchr(at, '\n') + 1;
		assert_true(next - at < 2000);
		assert_non_null(strstr(at, "..."));
	}
	json_decref(line(r, 0));
	hang_up(r, v);
	hang_up(r, c);
}

/* A full disk: lines are lost and counted, requests are not. */
static void test_full_disk(void **state)
{
	struct rig *r = *state;
	struct fake *c = connection(r), *v;
	struct err err;

	assert_true(logfile_open(&file, "/dev/full", LOGFILE_APPEND, &err));
	v = come(r, GET GET2);
	say(r, c, OK0 OK5);
	hear(v, OK0 OK5);
	wait_ms(r, JOURNAL_MS);
	assert_int_equal(r->worker.count.journal[LINES_LOST], 2);
	assert_int_equal(r->worker.count.journal[LINES_WRITTEN], 0);
	/* There is room again. */
	assert_true(logfile_open(&file, path, LOGFILE_APPEND, &err));
	say(r, v, GET2);
	say(r, c, OK5);
	assert_lines(r, 1);
	hang_up(r, v);
	hang_up(r, c);
}

#undef TEST
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_pipelined),  TEST(test_broken_off), TEST(test_upgraded),
		TEST(test_unfollowed), TEST(test_pages),      TEST(test_escaped),
		TEST(test_bounded),    TEST(test_full_disk),
	};

	rig_scale();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
