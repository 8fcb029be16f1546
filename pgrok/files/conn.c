/*
 * One connection to a served folder: head -> what it asks for -> answer, piece by piece -> the next
 * head. Owned by its loop; ends with either end of the connection, or with the loop.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/http/answer_head.h"
#include "common/http/head.h"
#include "common/http/text.h"
#include "common/base/log.h"
#include "common/stream/stream.h"
#include "pgrok/files/files.h"
#include "pgrok/files/files_in.h"
#include "pgrok/files/path.h"

#define NAME "files"
#define READ_PIECE (8u << 10)
#define FILE_PIECE (64u << 10) /* of a file in memory at a time */
#define REQUESTS_PER_TURN 32   /* of those sent ahead; then others get their turn */

struct conn {
	struct loop *loop;
	struct stream *s;
	int root;
	/* FILES_IDLE_MS for a request; not for an answer, who takes it can't be seen here. */
	struct loop_timer idle;
	struct loop_tick tick;
	struct loop_exit exit;

	struct text in; /* a head, and what comes behind it */
	struct http_head head;
	bool eof, keep;

	bool answering;
	struct text out;
	int file; /* -1: none */
	uint64_t at, left;
};

static void pump(struct conn *c);

/* ---- the end ---- */

static void release(struct conn *c)
{
	loop_timer_stop(&c->idle);
	loop_tick_cancel(c->loop, &c->tick);
	loop_exit_del(c->loop, &c->exit);
	if (c->file >= 0)
		close(c->file);
	close(c->root);
	text_free(&c->in);
	text_free(&c->out);
	loop_free_later(c->loop, c, NULL);
}

static void conn_close(struct conn *c, bool abort)
{
	stream_close(c->s, abort);
	release(c);
}

static void on_idle(void *arg)
{
	conn_close(arg, false);
}

static void on_exit_loop(void *arg)
{
	conn_close(arg, true);
}

/* ---- answers ---- */

static bool is_head(const struct conn *c)
{
	return http_span_is(c->in.p, c->head.method, "HEAD");
}

/* Begins an answer; its body, if it is one of ours, is written to c->out next. */
static void begin_answer(struct conn *c, struct answer_head *h)
{
	log_debug(NAME, "%.*s %.*s: %d", (int)c->head.method.len, c->in.p + c->head.method.off,
		  (int)c->head.target.len, c->in.p + c->head.target.off, h->status);
	loop_timer_stop(&c->idle);
	h->keep = c->keep;
	h->http10 = c->head.minor == 0;
	answer_head(&c->out, h);
	c->answering = true;
}

/* A page of HTML that is whole in memory. Takes page. */
static void answer_page(struct conn *c, int status, const char *extra, struct text *page)
{
	begin_answer(c, &(struct answer_head){.status = status,
					      .mime = "text/html; charset=utf-8",
					      .length = page->len,
					      .cached = status == 200,
					      .extra = extra});
	if (!is_head(c))
		text_add(&c->out, page->p, page->len);
	text_free(page);
}

static void answer_status_with(struct conn *c, int status, const char *extra)
{
	const char *reason = http_reason(status);
	struct text page = {0};

	text_fmt(&page,
		 "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
		 "<title>%d %s</title></head>\n"
		 "<body style=\"font-family:sans-serif;margin:4em auto;"
		 "max-width:36em\"><h1>%d %s</h1></body></html>\n",
		 status, reason, status, reason);
	answer_page(c, status, extra, &page);
}

static void answer_status(struct conn *c, int status)
{
	answer_status_with(c, status, status == 405 ? "Allow: GET, HEAD\r\n" : NULL);
}

/* ---- a folder ---- */

static void answer_listing(struct conn *c, int fd, const char *rel)
{
	struct text page = {0};

	files_list(&page, c->root, fd, rel);
	answer_page(c, 200, NULL, &page);
}

/* Relative links of a folder's page work only behind its slash. */
static void answer_moved(struct conn *c, const char *rel)
{
	const char *target = c->in.p + c->head.target.off;
	size_t len;
	const char *query = files_query(target, c->head.target.len, &len);
	struct text location = {0};

	text_put(&location, "Location: /");
	text_percent(&location, rel);
	text_fmt(&location, "/%.*s\r\n", (int)len, query);
	answer_status_with(c, 301, location.p);
	text_free(&location);
}

/* ---- a file ---- */

static bool field(const struct conn *c, const char *name, const char **text, size_t *len)
{
	struct http_span s;

	if (!http_field(c->in.p, &c->head, name, &s))
		return false;
	*text = c->in.p + s.off;
	*len = s.len;
	return true;
}

/* Has the visitor what is there now? (RFC 9110 section 13.2.2) */
static bool is_known(const struct conn *c, const struct stat *st, const char *etag)
{
	const char *text;
	size_t len;
	time_t since;

	if (field(c, "if-none-match", &text, &len))
		return files_etag_listed(text, len, etag);
	return field(c, "if-modified-since", &text, &len) && http_date_parse(text, len, &since) &&
	       st->st_mtime <= since;
}

/* A range of something else than what is there now would be of no use. */
static bool range_applies(const struct conn *c, const struct stat *st, const char *etag)
{
	const char *text;
	size_t len;
	time_t when;

	if (!field(c, "if-range", &text, &len))
		return true;
	if (len == strlen(etag) && memcmp(text, etag, len) == 0)
		return true;
	return http_date_parse(text, len, &when) && when == st->st_mtime;
}

/* What comes next of the file, behind what waits. False: it is shorter than announced. */
static bool fill(struct conn *c)
{
	size_t n = c->left < FILE_PIECE ? (size_t)c->left : FILE_PIECE;
	ssize_t got;

	got = pread(c->file, text_room(&c->out, n), n, (off_t)c->at);
	if (got <= 0) {
		log_warn(NAME, "reading: %s", got < 0 ? strerror(errno) : "the file got shorter");
		return false;
	}
	c->out.len += (size_t)got;
	c->at += (uint64_t)got;
	c->left -= (uint64_t)got;
	return true;
}

static const int range_status[] = {
	[FILES_RANGE_NONE] = 200,
	[FILES_RANGE_OK] = 206,
	[FILES_RANGE_BEYOND] = 416,
};

/* What is said of a file beside its type and length. */
static void describe(struct text *extra, const struct stat *st, const char *etag)
{
	char date[HTTP_DATE];

	text_fmt(extra, "ETag: %s\r\nLast-Modified: %s\r\nAccept-Ranges: bytes\r\n", etag,
		 http_date(st->st_mtime, date));
}

/* Takes fd. */
static void answer_file(struct conn *c, int fd, const struct stat *st, const char *name)
{
	uint64_t size = (uint64_t)st->st_size, first = 0, last = size - 1;
	struct answer_head h = {.status = 200, .content = ANSWER_USER, .cached = true};
	struct text extra = {0};
	char etag[48];
	const char *text;
	size_t len;

	snprintf(etag, sizeof(etag), "\"%llx-%llx-%llx\"", (unsigned long long)st->st_mtim.tv_sec,
		 (unsigned long long)st->st_mtim.tv_nsec, (unsigned long long)size);
	if (is_known(c, st, etag))
		h.status = 304;
	else if (!is_head(c) && field(c, "range", &text, &len) && range_applies(c, st, etag))
		h.status = range_status[files_range(text, len, size, &first, &last)];
	if (h.status == 416) {
		text_fmt(&extra, "Content-Range: bytes */%llu\r\n", (unsigned long long)size);
		answer_status_with(c, h.status, extra.p);
		text_free(&extra);
		close(fd);
		return;
	}
	describe(&extra, st, etag);
	c->at = h.status == 206 ? first : 0;
	c->left = h.status == 206 ? last - first + 1 : size;
	if (h.status == 206)
		text_fmt(&extra, "Content-Range: bytes %llu-%llu/%llu\r\n",
			 (unsigned long long)first, (unsigned long long)last,
			 (unsigned long long)size);
	h.mime = h.status == 304 ? NULL : files_mime(name);
	h.length = c->left;
	h.extra = extra.p;
	begin_answer(c, &h);
	text_free(&extra);
	if (h.status == 304 || is_head(c))
		c->left = 0;
	c->file = fd;
}

/* ---- a request ---- */

static int status_of(int error)
{
	switch (error) {
	case EACCES:
	case EPERM:
	case EXDEV: /* a link leads out */
		return 403;
	case EMFILE:
	case ENFILE:
	case EIO:
		return 500;
	default:
		return 404;
	}
}

/* The page that stands for a folder, if there is one. */
static int open_index(const struct conn *c, const char *rel, struct stat *st, const char **name)
{
	static const char *const names[] = {"index.html", "index.htm"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char *path = xasprintf("%s%s%s", rel, *rel ? "/" : "", names[i]);
		int fd = files_open(c->root, path, st);
		free(path);
		*name = names[i];
		if (fd >= 0 && S_ISREG(st->st_mode))
			return fd;
		if (fd >= 0)
			close(fd);
	}
	return -1;
}

static void answer_path(struct conn *c, const char *rel, bool slash)
{
	struct stat st;
	const char *name = rel;
	int fd = files_open(c->root, rel, &st), index;

	if (fd < 0) {
		answer_status(c, status_of(errno));
	} else if (S_ISREG(st.st_mode) && !slash) {
		answer_file(c, fd, &st, name);
		return;
	} else if (S_ISREG(st.st_mode)) {
		answer_status(c, 404);
	} else if (!slash) {
		answer_moved(c, rel);
	} else if ((index = open_index(c, rel, &st, &name)) >= 0) {
		answer_file(c, index, &st, name);
	} else {
		answer_listing(c, fd, rel);
	}
	if (fd >= 0)
		close(fd);
}

static void answer(struct conn *c)
{
	const struct http_head *h = &c->head;
	char *rel = NULL;
	bool slash;

	c->keep = h->minor ? !h->conn_close : h->conn_keep_alive;
	/* A body is not read: what comes behind it never will be. */
	c->keep = c->keep && !h->chunked && !h->length;
	if (!http_span_is(c->in.p, h->method, "GET") && !is_head(c)) {
		answer_status(c, 405);
		return;
	}
	switch (files_path(c->in.p + h->target.off, h->target.len, &rel, &slash)) {
	case FILES_PATH_OK:
		answer_path(c, rel, slash);
		break;
	case FILES_PATH_BAD:
		answer_status(c, 400);
		break;
	case FILES_PATH_HIDDEN:
		answer_status(c, 404);
		break;
	}
	free(rel);
}

/* ---- the pump ---- */

/* A head that can't be read. */
static void answer_bad(struct conn *c)
{
	int status = c->head.status;

	c->head = (struct http_head){.method = c->head.method};
	c->keep = false;
	answer_status(c, status);
}

/* Steps return false when there is nothing more to do now; c may be gone then. */
static bool step_read(struct conn *c)
{
	enum http_rc rc = HTTP_MORE;
	size_t n = 0;

	if (c->in.len)
		rc = http_request_scan(&c->head, c->in.p, c->in.len);
	if (rc == HTTP_OK)
		answer(c);
	else if (rc == HTTP_BAD)
		answer_bad(c);
	if (rc != HTTP_MORE)
		return true;
	if (c->eof) {
		conn_close(c, false);
		return false;
	}
	switch (stream_read(c->s, text_room(&c->in, READ_PIECE), READ_PIECE, &n)) {
	case STREAM_OK:
		c->in.len += n;
		return true;
	case STREAM_EOF:
		c->eof = true;
		return true;
	case STREAM_AGAIN:
		loop_after(&c->idle, FILES_IDLE_MS);
		stream_want(c->s, STREAM_READ);
		return false;
	case STREAM_ABORT:
		break;
	}
	conn_close(c, true);
	return false;
}

/* An answer is written whole. */
static bool step_over(struct conn *c)
{
	if (c->file >= 0)
		close(c->file);
	c->file = -1;
	text_free(&c->out);
	c->answering = false;
	if (!c->keep) {
		stream_linger(c->s);
		release(c);
		return false;
	}
	text_drop(&c->in, c->head.head_len);
	c->head = (struct http_head){0};
	return true;
}

static bool step_write(struct conn *c)
{
	size_t n = 0;

	/* A small file leaves together with its head. */
	if (c->left && c->out.len < FILE_PIECE && !fill(c)) {
		conn_close(c, true);
		return false;
	}
	if (!c->out.len)
		return step_over(c);
	switch (stream_write(c->s, c->out.p, c->out.len, &n)) {
	case STREAM_OK:
		text_drop(&c->out, n);
		return true;
	case STREAM_AGAIN:
		stream_want(c->s, STREAM_WRITE);
		return false;
	default:
		conn_close(c, true);
		return false;
	}
}

static void pump(struct conn *c)
{
	int requests = 0;

	while (c->answering ? step_write(c) : step_read(c)) {
		if (c->answering || ++requests < REQUESTS_PER_TURN)
			continue;
		stream_want(c->s, 0);
		loop_next_tick(c->loop, &c->tick);
		return;
	}
}

static void on_tick(void *arg)
{
	pump(arg);
}

static void on_ready(void *arg, int dirs)
{
	pump(arg);
}

void files_serve(struct loop *l, struct stream *s, int root)
{
	struct conn *c = xcalloc(1, sizeof(*c));

	c->loop = l;
	c->s = s;
	c->root = root;
	c->file = -1;
	c->tick = (struct loop_tick){.fn = on_tick, .arg = c};
	c->exit = (struct loop_exit){.fn = on_exit_loop, .arg = c};
	loop_exit_add(l, &c->exit);
	loop_timer_init(&c->idle, l, on_idle, c);
	loop_after(&c->idle, FILES_IDLE_MS);
	stream_on_ready(s, on_ready, c);
	stream_want(s, STREAM_READ);
}
