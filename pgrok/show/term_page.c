/* What stands on the terminal's screen, row by row. */
#include "pgrok/show/term_page.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "msg/pgrok/msg.h"
#include "pgrok/config/endpoint.h"
#include "pgrok/show/term_text.h"

#define LABEL_WIDE 30 /* columns, as the Go client has it */
#define LABEL_NARROW 16
#define NARROW 70  /* a screen of fewer columns than this */
#define COMPACT 16 /* a screen of fewer rows: what matters most comes first */
#define WANTED 3   /* requests that are to be seen: for them other rows go */
#define RESULT_NARROW 24
#define RESULT_WIDE 36
#define INDENT 2
#define PATH_MAX_BYTES 512 /* remembered of a path */
#define TALL 30            /* a screen of so many rows has room for notes and requests */

/* How much there is beside the requests: blank rows go first, then what changes least. */
enum level { FULL, DENSE, BARE };

/* ---- the request list ---- */

static struct term_entry *find_entry(struct term_requests *q, uint64_t id)
{
	for (size_t i = 0; i < q->n; i++) {
		if (q->ring[i].id == id)
			return &q->ring[i];
	}
	return NULL;
}

static void entry_clear(struct term_entry *e)
{
	free(e->what);
	free(e->result);
	*e = (struct term_entry){0};
}

void term_requests_add(struct term_requests *q, const struct term_request *r)
{
	struct term_entry *e = find_entry(q, r->id);

	if (!e) {
		e = &q->ring[q->next];
		q->next = (q->next + 1) % TERM_REQUESTS;
		if (q->n < TERM_REQUESTS)
			q->n++;
	}
	entry_clear(e);
	e->id = r->id;
	e->status = r->status;
	/* No query: it may hold what is not for every eye that sees the screen. */
	size_t len = strcspn(r->path, "?");
	e->what = xasprintf("%.16s %.*s", r->method,
			    len < PATH_MAX_BYTES ? (int)len : PATH_MAX_BYTES, r->path);
	if (r->status)
		e->result = xasprintf("%d%s%.64s", r->status, r->reason && *r->reason ? " " : "",
				      r->reason ? r->reason : "");
}

const struct term_entry *term_requests_at(const struct term_requests *q, size_t i)
{
	return i < q->n ? &q->ring[(q->next + TERM_REQUESTS - 1 - i) % TERM_REQUESTS] : NULL;
}

void term_requests_free(struct term_requests *q)
{
	for (size_t i = 0; i < q->n; i++)
		entry_clear(&q->ring[i]);
	q->n = q->next = 0;
}

/* ---- rows ---- */

static struct term_row *row_new(struct term_page *p)
{
	if (p->n == p->cap) {
		p->cap = p->cap ? 2 * p->cap : 32;
		p->rows = xrealloc(p->rows, p->cap * sizeof(*p->rows));
	}
	p->rows[p->n] = (struct term_row){0};
	return &p->rows[p->n++];
}

/* Takes text. columns < 0: up to the edge. */
static void cell_add(struct term_page *p, struct term_row *r, int column, int columns,
		     enum term_style style, char *text)
{
	int room = p->width - column;

	if (room <= 0) {
		free(text);
		return;
	}
	r->cells[r->cells_n++] = (struct term_cell){
		.column = column,
		.columns = columns < 0 || columns > room ? room : columns,
		.style = style,
		.text = text,
	};
}

static int label_columns(const struct term_page *p)
{
	return p->width < NARROW ? LABEL_NARROW : LABEL_WIDE;
}

static void row_text(struct term_page *p, enum term_style style, const char *text)
{
	cell_add(p, row_new(p), 0, -1, style, xstrdup(text));
}

PRINTF_LIKE(4, 5)
static void row_value(struct term_page *p, const char *label, enum term_style style,
		      const char *fmt, ...)
{
	struct term_row *r = row_new(p);
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	/* A style speaks for the whole line, as with the Go client. */
	cell_add(p, r, 0, label_columns(p) - 1, style, xstrdup(label));
	cell_add(p, r, label_columns(p), -1, style, xstrdup(text));
}

static void row_indented(struct term_page *p, int indent, const char *before, const char *text)
{
	cell_add(p, row_new(p), indent, -1, STYLE_PLAIN, xasprintf("%s%s", before, text));
}

/* ---- the parts ---- */

static void add_status(struct term_page *p, const struct term_view *v)
{
	static const struct {
		const char *word;
		enum term_style style;
	} states[] = {
		[MODEL_CONNECTING] = {"connecting", STYLE_WAIT},
		[MODEL_ONLINE] = {"online", STYLE_GOOD},
		[MODEL_RECONNECTING] = {"reconnecting", STYLE_BAD},
	};
	const struct model *m = v->m;
	const char *word = states[m->state].word;

	if (m->state == MODEL_ONLINE || !m->last_error)
		row_value(p, "Tunnel Status", states[m->state].style, "%s", word);
	else if (v->retry_left_ms)
		row_value(p, "Tunnel Status", states[m->state].style, "%s (in %u s: %s)", word,
			  (v->retry_left_ms + 999) / 1000, m->last_error);
	else
		row_value(p, "Tunnel Status", states[m->state].style, "%s (%s)", word,
			  m->last_error);
}

static void add_versions(struct term_page *p, const struct term_view *v)
{
	char number[TERM_NUMBER];
	uint32_t us = model_latency_us(v->m);

	row_value(p, "Version", STYLE_PLAIN, "%s/%s", MSG_SOFTWARE_VERSION,
		  v->m->server_version ? v->m->server_version : "");
	if (us)
		row_value(p, "Latency", STYLE_PLAIN, "%s", term_latency(us, number));
}

static bool fits(const struct term_page *p, int column, const char *a, const char *b)
{
	int used = term_columns(a, p->utf8) + (b ? term_columns(b, p->utf8) + 4 : 0);

	return column + used <= p->width;
}

/* "url -> local" beside its label, or below it in as few rows as it takes. */
static void add_tunnel(struct term_page *p, const struct model_tunnel *t, bool first)
{
	const char *local = t->local->text ? t->local->text : "";
	int label = label_columns(p);

	if (fits(p, label, t->url, local)) {
		row_value(p, "Forwarding", STYLE_PLAIN, "%s -> %s", t->url, local);
		return;
	}
	if (fits(p, label, t->url, NULL)) {
		row_value(p, "Forwarding", STYLE_PLAIN, "%s", t->url);
		row_indented(p, label, "-> ", local);
		return;
	}
	if (first)
		row_text(p, STYLE_PLAIN, "Forwarding");
	if (fits(p, INDENT, t->url, local)) {
		char *both = xasprintf("%s -> %s", t->url, local);
		row_indented(p, INDENT, "", both);
		free(both);
	} else {
		row_indented(p, INDENT, "", t->url);
		row_indented(p, INDENT, "-> ", local);
	}
}

static void add_tunnels(struct term_page *p, const struct term_view *v)
{
	for (size_t i = 0; i < v->m->tunnels_n; i++)
		add_tunnel(p, &v->m->tunnels[i], i == 0);
	row_value(p, "Web Interface", STYLE_PLAIN, "%s", v->web ? v->web : "disabled");
}

static void add_connections(struct term_page *p, const struct term_view *v)
{
	const struct model_counters *c = &v->m->counters;
	double mean = c->ended ? (double)c->duration_ms / (double)c->ended : 0;

	row_value(p, "# Conn", STYLE_PLAIN, "%llu", (unsigned long long)c->connections);
	row_value(p, "Avg Conn Time", STYLE_PLAIN, "%.2fms", mean);
}

static void add_traffic(struct term_page *p, const struct term_view *v)
{
	const struct model_counters *c = &v->m->counters;
	char a[TERM_NUMBER], b[TERM_NUMBER], ra[TERM_NUMBER], rb[TERM_NUMBER];
	uint64_t in, out;

	model_bytes(v->m, &in, &out);
	if (v->rate_in || v->rate_out)
		row_value(p, "Bytes In/Out", STYLE_PLAIN, "%s / %s (%s/s, %s/s)", term_bytes(in, a),
			  term_bytes(out, b), term_bytes(v->rate_in, ra),
			  term_bytes(v->rate_out, rb));
	else
		row_value(p, "Bytes In/Out", STYLE_PLAIN, "%s / %s", term_bytes(in, a),
			  term_bytes(out, b));
	if (c->refused)
		row_value(p, "Refused", STYLE_WARN, "%llu (nothing answers at the local address)",
			  (unsigned long long)c->refused);
}

/* Broken at blanks where there are some. */
static void add_note(struct term_page *p, const char *note)
{
	size_t width = (size_t)p->width, len = strlen(note);

	while (len) {
		size_t n = len;
		if (len > width) {
			n = width;
			while (n > width / 2 && note[n] != ' ')
				n--;
			if (note[n] != ' ')
				n = width;
		}
		cell_add(p, row_new(p), 0, -1, STYLE_WARN, xstrndup(note, n));
		while (n < len && note[n] == ' ')
			n++;
		note += n;
		len -= n;
	}
}

static enum term_style style_of(int status)
{
	return status >= 500   ? STYLE_BAD
	       : status >= 400 ? STYLE_WARN
	       : status >= 300 ? STYLE_WAIT
			       : STYLE_PLAIN;
}

/* Where the results stand: a path gets what they leave. */
/* Its first sentence, in one row. */
static void add_note_begin(struct term_page *p, const char *note)
{
	const char *end = strstr(note, ". ");
	size_t len = end ? (size_t)(end - note) + 1 : strlen(note);

	cell_add(p, row_new(p), 0, -1, STYLE_WARN, xstrndup(note, len));
	p->rows[p->n - 1].cells[0].mark = true;
}

static int result_column(const struct term_page *p)
{
	int least = p->width < NARROW ? LABEL_NARROW : LABEL_WIDE;
	int column = p->width - (p->width < NARROW ? RESULT_NARROW : RESULT_WIDE);

	return column > least ? column : least;
}

static void add_requests(struct term_page *p, const struct term_requests *q, enum level level)
{
	int column = result_column(p);
	const struct term_entry *e;

	if (!q->n)
		return;
	if (level == FULL)
		row_new(p);
	row_text(p, STYLE_PLAIN, "HTTP Requests");
	if (level == FULL) {
		row_text(p, STYLE_PLAIN, "-------------");
		row_new(p);
	}
	for (size_t i = 0; (e = term_requests_at(q, i)); i++) {
		struct term_row *r = row_new(p);
		cell_add(p, r, 0, column - 1, STYLE_PLAIN, xstrdup(e->what));
		r->cells[0].mark = true;
		if (e->result)
			cell_add(p, r, column, -1, style_of(e->status), xstrdup(e->result));
	}
}

/* ---- the whole ---- */

size_t term_page_scroll_max(const struct term_page *p, int height)
{
	size_t seen = height > 0 ? (size_t)height : 0;

	return p->n > seen ? p->n - seen : 0;
}

/* How to leave, at the right edge; how to scroll, once there is more than requests to scroll to. */
static void add_hint(struct term_page *p, const struct term_view *v)
{
	static const char leave[] = "(Ctrl+C to quit)";
	size_t below = p->n > (size_t)v->height + v->offset ? p->n - v->height - v->offset : 0;
	bool scrolls = v->offset || p->before > (size_t)v->height;
	char text[128];
	int columns;

	snprintf(text, sizeof(text), "%s", leave);
	if (scrolls)
		snprintf(text, sizeof(text), "j/k: %zu above, %zu below %s", v->offset, below,
			 leave);
	columns = (int)strlen(text);
	if (scrolls && columns + 8 > v->width) {
		snprintf(text, sizeof(text), "j/k: %zu above, %zu below", v->offset, below);
		columns = (int)strlen(text);
	}
	if (columns + 8 <= v->width)
		cell_add(p, &p->rows[0], v->width - columns, -1, STYLE_PLAIN, xstrdup(text));
}

static void make(struct term_page *p, const struct term_view *v, enum level level)
{
	p->width = v->width;
	p->utf8 = v->utf8;
	row_text(p, STYLE_TITLE, "pgrok");
	if (level == FULL)
		row_new(p);
	add_status(p, v);
	p->fixed = p->n;
	if (level == FULL)
		add_versions(p, v);
	add_tunnels(p, v);
	if (level != BARE)
		add_connections(p, v);
	add_traffic(p, v);
	if (level == DENSE)
		add_versions(p, v);
	/* A note (which the log has, too) makes room when there is something to see. */
	if (v->note && (!v->requests->n || v->height >= TALL)) {
		row_new(p);
		add_note(p, v->note);
	} else if (v->note && level != BARE) {
		add_note_begin(p, v->note);
	}
	p->before = p->n;
	add_requests(p, v->requests, level);
	add_hint(p, v);
}

/* Are requests to be seen, as many as there are or as are wanted? */
static bool shows_requests(const struct term_page *p, const struct term_view *v)
{
	size_t n = v->requests->n < WANTED ? v->requests->n : WANTED;

	return !n || p->n - v->requests->n + n <= (size_t)v->height;
}

void term_page_make(struct term_page *p, const struct term_view *v)
{
	enum level level = v->height < COMPACT ? DENSE : FULL;

	make(p, v, level);
	while (level < BARE && !shows_requests(p, v)) {
		term_page_free(p);
		make(p, v, ++level);
	}
}

void term_page_free(struct term_page *p)
{
	for (size_t i = 0; i < p->n; i++) {
		for (int c = 0; c < p->rows[i].cells_n; c++)
			free(p->rows[i].cells[c].text);
	}
	free(p->rows);
	*p = (struct term_page){0};
}
