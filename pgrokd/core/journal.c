/* The access log: lines of requests. */
#include "pgrokd/core/journal.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/clock.h"
#include "common/base/line.h"
#include "common/base/log.h"

#define WRITE_MAX 4096 /* bytes at a time: PIPE_BUF, so that lines of workers never mix */

struct journal {
	const struct journal_conf *conf;
	struct loop *loop;
	struct counters *count;
	struct loop_timer timer;
	bool complained;
	unsigned lines;
	size_t len;
	char bytes[2 * WRITE_MAX]; /* lines that wait, and behind them the one that is made */
};

/*
 * Bytes kept of each text, and bytes of a line that it may have: together less than WRITE_MAX with
 * all that is around them.
 */
static const struct {
	uint16_t kept, shown;
} bounds[JOURNAL_TEXTS] = {
	[JOURNAL_METHOD] = {32, 32},  [JOURNAL_TARGET] = {1024, 1400},
	[JOURNAL_HOST] = {256, 260},  [JOURNAL_REFERER] = {512, 800},
	[JOURNAL_AGENT] = {256, 512}, [JOURNAL_OWNER] = {64, 64},
};

/* ---- entries ---- */

struct piece {
	const char *at;
	size_t len;
};

static struct piece piece_of(const char *bytes, struct http_span s)
{
	return (struct piece){bytes + s.off, s.len};
}

static struct piece field_of(const char *bytes, const struct http_head *h, const char *name)
{
	struct http_span s;

	return h->head_len && http_field(bytes, h, name, &s) ? piece_of(bytes, s)
							     : (struct piece){0};
}

static void cut_query(struct piece *p)
{
	const char *mark = p->len ? memchr(p->at, '?', p->len) : NULL;

	if (mark)
		p->len = (size_t)(mark - p->at);
}

static void find_texts(const struct journal *j, const struct journal_request *r,
		       struct piece piece[static JOURNAL_TEXTS])
{
	const struct http_head *h = r->head;

	memset(piece, 0, JOURNAL_TEXTS * sizeof(*piece));
	piece[JOURNAL_OWNER] = (struct piece){r->owner, strlen(r->owner)};
	if (!h)
		return;
	piece[JOURNAL_METHOD] = piece_of(r->bytes, h->method);
	piece[JOURNAL_TARGET] = piece_of(r->bytes, h->target);
	piece[JOURNAL_HOST] = piece_of(r->bytes, h->authority);
	piece[JOURNAL_REFERER] = field_of(r->bytes, h, "Referer");
	piece[JOURNAL_AGENT] = field_of(r->bytes, h, "User-Agent");
	if (!j->conf->query) {
		cut_query(&piece[JOURNAL_TARGET]);
		cut_query(&piece[JOURNAL_REFERER]);
	}
}

struct journal_entry *journal_begin(const struct journal *j, const struct journal_request *r)
{
	struct piece piece[JOURNAL_TEXTS];
	struct journal_entry *e;
	size_t all = 0;

	find_texts(j, r, piece);
	for (int i = 0; i < JOURNAL_TEXTS; i++) {
		if (piece[i].len > bounds[i].kept)
			piece[i].len = bounds[i].kept;
		all += piece[i].len;
	}
	e = xmalloc(sizeof(*e) + all);
	*e = (struct journal_entry){.began_us = r->began_us,
				    .peer = *r->peer,
				    .https = r->https,
				    .http10 = r->head && r->head->minor == 0};
	char *to = e->text;

	for (int i = 0; i < JOURNAL_TEXTS; i++) {
		e->len[i] = (uint16_t)piece[i].len;
		if (piece[i].len)
			memcpy(to, piece[i].at, piece[i].len);
		to += piece[i].len;
	}
	return e;
}

void journal_answer(struct journal_entry *e, int status, uint64_t now_us)
{
	e->status = status;
	e->first_us = now_us;
}

/* ---- lines ---- */

static void put_text(struct line *l, const struct journal_entry *e, enum journal_text which)
{
	const char *at = e->text;

	for (int i = 0; i < (int)which; i++)
		at += e->len[i];
	line_part(l, at, e->len[which], bounds[which].shown);
}

static void put_or_dash(struct line *l, const struct journal_entry *e, enum journal_text which)
{
	if (e->len[which])
		put_text(l, e, which);
	else
		line_str(l, "-");
}

/* As milliseconds, with three digits behind the point. */
static void put_ms(struct line *l, uint64_t us)
{
	line_number(l, us / 1000);
	line_str(l, ".");
	line_thousandths(l, us);
}

static void put_first(struct line *l, const struct journal_entry *e, const char *none)
{
	if (e->first_us)
		put_ms(l, e->first_us - e->began_us);
	else
		line_str(l, none);
}

static void put_status(struct line *l, const struct journal_entry *e, const char *none)
{
	if (e->status)
		line_number(l, (uint64_t)e->status);
	else
		line_str(l, none);
}

/* When it began. The calendar is worked out once a second in each thread. */
static void put_time(struct line *l, uint64_t ago_us, unsigned *ms)
{
	static _Thread_local struct {
		time_t sec;
		enum line_form form;
		size_t len;
		char text[40];
	} cached;
	int64_t us = clock_wall_us() - (int64_t)ago_us;
	time_t sec = (time_t)(us / 1000000);

	if (!cached.len || cached.form != l->form || cached.sec != sec) {
		struct tm tm;

		gmtime_r(&sec, &tm);
		cached.len = strftime(cached.text, sizeof(cached.text),
				      l->form == LINE_JSON ? "%Y-%m-%dT%H:%M:%S"
							   : "[%d/%b/%Y:%H:%M:%S +0000]",
				      &tm);
		cached.form = l->form;
		cached.sec = sec;
	}
	line_put(l, cached.text, cached.len);
	*ms = (unsigned)(us / 1000 % 1000);
}

struct sums {
	uint64_t in, out, us;
};

/* ADDR - OWNER [TIME] "METHOD TARGET HTTP/1.1" STATUS OUT "REFERER" "AGENT" "HOST" IN FIRST ALL */
static void put_combined(struct line *l, const struct journal_entry *e, const struct sums *sums)
{
	char ip[ADDR_TEXT];
	unsigned ms;

	line_str(l, addr_ip_text(&e->peer, ip));
	line_str(l, " - ");
	put_or_dash(l, e, JOURNAL_OWNER);
	line_str(l, " ");
	put_time(l, sums->us, &ms);
	line_str(l, " \"");
	put_or_dash(l, e, JOURNAL_METHOD);
	if (e->len[JOURNAL_TARGET]) {
		line_str(l, " ");
		put_text(l, e, JOURNAL_TARGET);
		line_str(l, e->http10 ? " HTTP/1.0" : " HTTP/1.1");
	}
	line_str(l, "\" ");
	put_status(l, e, "-");
	line_str(l, " ");
	line_number(l, sums->out);
	for (int i = 0; i < 3; i++) {
		static const enum journal_text quoted[] = {JOURNAL_REFERER, JOURNAL_AGENT,
							   JOURNAL_HOST};

		line_str(l, " \"");
		put_or_dash(l, e, quoted[i]);
		line_str(l, "\"");
	}
	line_str(l, " ");
	line_number(l, sums->in);
	line_str(l, " ");
	put_first(l, e, "-");
	line_str(l, " ");
	put_ms(l, sums->us);
}

static void put_member(struct line *l, const struct journal_entry *e, const char *key,
		       enum journal_text which)
{
	line_str(l, key);
	put_text(l, e, which);
}

static void put_json(struct line *l, const struct journal_entry *e, const struct sums *sums)
{
	char ip[ADDR_TEXT];
	unsigned ms;

	line_str(l, "{\"time\":\"");
	put_time(l, sums->us, &ms);
	line_str(l, ".");
	line_thousandths(l, ms);
	line_str(l, "Z\",\"addr\":\"");
	line_str(l, addr_ip_text(&e->peer, ip));
	put_member(l, e, "\",\"owner\":\"", JOURNAL_OWNER);
	line_str(l, e->https ? "\",\"proto\":\"https" : "\",\"proto\":\"http");
	put_member(l, e, "\",\"method\":\"", JOURNAL_METHOD);
	put_member(l, e, "\",\"host\":\"", JOURNAL_HOST);
	put_member(l, e, "\",\"target\":\"", JOURNAL_TARGET);
	line_str(l, "\",\"status\":");
	put_status(l, e, "null");
	line_str(l, ",\"bytes_in\":");
	line_number(l, sums->in);
	line_str(l, ",\"bytes_out\":");
	line_number(l, sums->out);
	line_str(l, ",\"first_byte_ms\":");
	put_first(l, e, "null");
	line_str(l, ",\"all_ms\":");
	put_ms(l, sums->us);
	put_member(l, e, ",\"referer\":\"", JOURNAL_REFERER);
	put_member(l, e, "\",\"agent\":\"", JOURNAL_AGENT);
	line_str(l, "\"}");
}

/* ---- the file ---- */

static void write_lines(struct journal *j, size_t len, unsigned lines)
{
	bool ok = logfile_write(j->conf->file, j->bytes, len);

	j->count->journal[ok ? LINES_WRITTEN : LINES_LOST] += lines;
	if (!ok && !j->complained)
		log_warn("access", "Lines of the access log are lost: it can't be written");
	j->complained = !ok;
}

static void flush(struct journal *j)
{
	loop_timer_stop(&j->timer);
	if (j->len)
		write_lines(j, j->len, j->lines);
	j->len = j->lines = 0;
}

static void on_time(void *arg)
{
	flush(arg);
}

void journal_end(struct journal *j, struct journal_entry *e, uint64_t in, uint64_t out)
{
	bool json = j->conf->form == JOURNAL_JSON;
	struct line l = line_of(j->bytes + j->len, WRITE_MAX, json ? LINE_JSON : LINE_QUOTED);
	const struct sums sums = {in, out, clock_us() - e->began_us};

	if (json)
		put_json(&l, e, &sums);
	else
		put_combined(&l, e, &sums);
	line_tail(&l, "\n");
	free(e);
	if (j->len + l.len > WRITE_MAX) {
		write_lines(j, j->len, j->lines);
		memmove(j->bytes, l.bytes, l.len);
		j->len = j->lines = 0;
	}
	j->len += l.len;
	if (!j->lines++)
		loop_after(&j->timer, JOURNAL_MS);
}

/* ---- life ---- */

struct journal *journal_new(const struct journal_conf *conf, struct loop *l, struct counters *count)
{
	struct journal *j = xcalloc(1, sizeof(*j));

	j->conf = conf;
	j->loop = l;
	j->count = count;
	loop_timer_init(&j->timer, l, on_time, j);
	return j;
}

void journal_free(struct journal *j)
{
	if (!j)
		return;
	flush(j);
	free(j);
}
