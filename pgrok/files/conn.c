/*
 * One connection to a served folder: head -> what it asks for -> answer, piece by piece -> the next
 * head. Owned by its loop; ends with either end of the connection, or with the loop.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/http/head.h"
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
	struct loop_timer idle; /* FILES_IDLE_MS without a byte either way */
	struct loop_tick tick;
	struct loop_exit exit;

	char *in; /* a head, and what comes behind it */
	size_t in_len, in_cap;
	struct http_head head;
	bool eof, keep;

	bool answering;
	char *out;
	size_t out_len, out_sent;
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
	free(c->in);
	free(c->out);
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

static const char *reason_of(int status)
{
	switch (status) {
	case 200:
		return "OK";
	case 206:
		return "Partial Content";
	case 301:
		return "Moved Permanently";
	case 304:
		return "Not Modified";
	case 400:
		return "Bad Request";
	case 403:
		return "Forbidden";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	case 416:
		return "Range Not Satisfiable";
	case 431:
		return "Request Header Fields Too Large";
	case 501:
		return "Not Implemented";
	case 505:
		return "HTTP Version Not Supported";
	default:
		return "Internal Server Error";
	}
}

static bool is_head(const struct conn *c)
{
	return http_span_is(c->in, c->head.method, "HEAD");
}

/* The head of an answer but for what only some have, and its empty line. */
static FILE *begin_answer(struct conn *c, int status)
{
	char date[FILES_DATE];
	FILE *f = open_memstream(&c->out, &c->out_len);

	if (!f)
		fatal("out of memory");
	log_debug(NAME, "%.*s %.*s: %d", (int)c->head.method.len, c->in + c->head.method.off,
		  (int)c->head.target.len, c->in + c->head.target.off, status);
	fprintf(f,
		"HTTP/1.1 %d %s\r\nDate: %s\r\nX-Content-Type-Options: nosniff\r\n"
		"Cache-Control: %s\r\n",
		status, reason_of(status), files_date(time(NULL), date),
		status == 200 || status == 206 || status == 304 ? "no-cache" : "no-store");
	if (!c->keep)
		fputs("Connection: close\r\n", f);
	else if (c->head.minor == 0)
		fputs("Connection: keep-alive\r\n", f);
	return f;
}

static void end_answer(struct conn *c, FILE *f)
{
	if (fclose(f) != 0)
		fatal("out of memory");
	c->out_sent = 0;
	c->answering = true;
}

/* A page of HTML that is whole in memory. Takes f. */
static void end_with_page(struct conn *c, FILE *f, const char *page, size_t len)
{
	fprintf(f,
		"Content-Type: text/html; charset=utf-8\r\nContent-Length: %zu\r\n"
		"Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'\r\n\r\n",
		len);
	if (!is_head(c))
		fwrite(page, 1, len, f);
	end_answer(c, f);
}

static void end_with_status(struct conn *c, FILE *f, int status)
{
	char *page = xasprintf("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
			       "<title>%d %s</title></head>\n"
			       "<body style=\"font-family:sans-serif;margin:4em auto;"
			       "max-width:36em\"><h1>%d %s</h1></body></html>\n",
			       status, reason_of(status), status, reason_of(status));

	end_with_page(c, f, page, strlen(page));
	free(page);
}

static void answer_status(struct conn *c, int status)
{
	FILE *f = begin_answer(c, status);

	if (status == 405)
		fputs("Allow: GET, HEAD\r\n", f);
	end_with_status(c, f, status);
}

/* ---- a folder ---- */

static void answer_listing(struct conn *c, int fd, const char *rel)
{
	char *page = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&page, &len);

	if (!f)
		fatal("out of memory");
	files_list(f, c->root, fd, rel);
	if (fclose(f) != 0)
		fatal("out of memory");
	end_with_page(c, begin_answer(c, 200), page, len);
	free(page);
}

/* Relative links of a folder's page work only behind its slash. */
static void answer_moved(struct conn *c, const char *rel)
{
	const char *target = c->in + c->head.target.off;
	size_t len;
	const char *query = files_query(target, c->head.target.len, &len);
	FILE *f = begin_answer(c, 301);

	fputs("Location: /", f);
	files_put_url(f, rel);
	fprintf(f, "/%.*s\r\n", (int)len, query);
	end_with_status(c, f, 301);
}

/* ---- a file ---- */

static bool field(const struct conn *c, const char *name, const char **text, size_t *len)
{
	struct http_span s;

	if (!http_field(c->in, &c->head, name, &s))
		return false;
	*text = c->in + s.off;
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
	return field(c, "if-modified-since", &text, &len) && files_date_parse(text, len, &since) &&
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
	return files_date_parse(text, len, &when) && when == st->st_mtime;
}

/* What comes next of the file, behind what waits. False: it is shorter than announced. */
static bool fill(struct conn *c)
{
	size_t n = c->left < FILE_PIECE ? (size_t)c->left : FILE_PIECE;
	ssize_t got;

	c->out = xrealloc(c->out, c->out_len + n);
	got = pread(c->file, c->out + c->out_len, n, (off_t)c->at);
	if (got <= 0) {
		log_warn(NAME, "reading: %s", got < 0 ? strerror(errno) : "the file got shorter");
		return false;
	}
	c->out_len += (size_t)got;
	c->at += (uint64_t)got;
	c->left -= (uint64_t)got;
	return true;
}

/* Takes fd. */
static void answer_file(struct conn *c, int fd, const struct stat *st, const char *name)
{
	uint64_t size = (uint64_t)st->st_size, first = 0, last = size - 1;
	char etag[48], date[FILES_DATE];
	enum range_rc range = RANGE_NONE;
	const char *text;
	size_t len;

	snprintf(etag, sizeof(etag), "\"%llx-%llx-%llx\"", (unsigned long long)st->st_mtim.tv_sec,
		 (unsigned long long)st->st_mtim.tv_nsec, (unsigned long long)size);
	bool known = is_known(c, st, etag);
	if (!known && !is_head(c) && field(c, "range", &text, &len) && range_applies(c, st, etag))
		range = files_range(text, len, size, &first, &last);
	int status = known ? 304 : range == RANGE_OK ? 206 : range == RANGE_BEYOND ? 416 : 200;
	FILE *f = begin_answer(c, status);
	if (status == 416) {
		fprintf(f, "Content-Range: bytes */%llu\r\n", (unsigned long long)size);
		end_with_status(c, f, status);
		close(fd);
		return;
	}
	fprintf(f, "ETag: %s\r\nLast-Modified: %s\r\nAccept-Ranges: bytes\r\n", etag,
		files_date(st->st_mtime, date));
	c->at = range == RANGE_OK ? first : 0;
	c->left = range == RANGE_OK ? last - first + 1 : size;
	if (range == RANGE_OK)
		fprintf(f, "Content-Range: bytes %llu-%llu/%llu\r\n", (unsigned long long)first,
			(unsigned long long)last, (unsigned long long)size);
	if (!known)
		fprintf(f, "Content-Type: %s\r\nContent-Length: %llu\r\n", files_mime(name),
			(unsigned long long)c->left);
	fputs("\r\n", f);
	end_answer(c, f);
	if (known || is_head(c))
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
	if (!http_span_is(c->in, h->method, "GET") && !is_head(c)) {
		answer_status(c, 405);
		return;
	}
	switch (files_path(c->in + h->target.off, h->target.len, &rel, &slash)) {
	case PATH_OK:
		answer_path(c, rel, slash);
		break;
	case PATH_BAD:
		answer_status(c, 400);
		break;
	case PATH_HIDDEN:
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

	if (c->in_len)
		rc = http_request_scan(&c->head, c->in, c->in_len);
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
	if (c->in_len + READ_PIECE > c->in_cap) {
		c->in_cap = c->in_len + READ_PIECE;
		c->in = xrealloc(c->in, c->in_cap);
	}
	switch (stream_read(c->s, c->in + c->in_len, READ_PIECE, &n)) {
	case STREAM_OK:
		c->in_len += n;
		return true;
	case STREAM_EOF:
		c->eof = true;
		return true;
	case STREAM_AGAIN:
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
	free(c->out);
	c->out = NULL;
	c->out_len = c->out_sent = 0;
	c->answering = false;
	if (!c->keep) {
		stream_linger(c->s);
		release(c);
		return false;
	}
	c->in_len -= c->head.head_len;
	memmove(c->in, c->in + c->head.head_len, c->in_len);
	c->head = (struct http_head){0};
	if (!c->in_len) {
		free(c->in);
		c->in = NULL;
		c->in_cap = 0;
	}
	return true;
}

static bool step_write(struct conn *c)
{
	size_t n = 0;

	/* A small file leaves together with its head. */
	if (c->left && c->out_len - c->out_sent < FILE_PIECE) {
		c->out_len -= c->out_sent;
		memmove(c->out, c->out + c->out_sent, c->out_len);
		c->out_sent = 0;
		if (!fill(c)) {
			conn_close(c, true);
			return false;
		}
	}
	if (c->out_sent == c->out_len)
		return step_over(c);
	switch (stream_write(c->s, c->out + c->out_sent, c->out_len - c->out_sent, &n)) {
	case STREAM_OK:
		c->out_sent += n;
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

	loop_after(&c->idle, FILES_IDLE_MS);
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
