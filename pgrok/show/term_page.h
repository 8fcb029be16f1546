/*
 * What stands on the terminal's screen, row by row, before any terminal is involved: made from the
 * model for each drawing.
 */
#ifndef PGROK_SHOW_TERM_PAGE_H
#define PGROK_SHOW_TERM_PAGE_H

#include "pgrok/model/model.h"

#define TERM_REQUESTS 200 /* remembered for the list */
#define TERM_CELLS 2

enum term_style {
	STYLE_PLAIN,
	STYLE_TITLE, /* bold blue */
	STYLE_GOOD,  /* green */
	STYLE_WAIT,  /* cyan */
	STYLE_WARN,  /* yellow */
	STYLE_BAD,   /* red */
	STYLES
};

/* A line of the request list. */
struct term_request {
	uint64_t id; /* the same id again: the same request, further on */
	const char *method, *path;
	int status;         /* 0: no answer yet */
	const char *reason; /* behind the status; may be NULL */
};

/* A remembered one, as it is shown. */
struct term_entry {
	uint64_t id;
	int status;
	char *what, *result;
};

struct term_requests {
	struct term_entry ring[TERM_REQUESTS];
	size_t n, next; /* next: where the next new one goes */
};

/* Copies what r says. */
void term_requests_add(struct term_requests *q, const struct term_request *r);
/* i 0: the newest. */
const struct term_entry *term_requests_at(const struct term_requests *q, size_t i);
void term_requests_free(struct term_requests *q);

struct term_cell {
	int column, columns; /* where it begins, and the room it may take */
	enum term_style style;
	bool mark; /* show when it is cut */
	char *text;
};

struct term_row {
	struct term_cell cells[TERM_CELLS];
	int cells_n;
};

struct term_page {
	struct term_row *rows;
	size_t n, cap;
	size_t fixed;  /* rows at the top that never scroll */
	size_t before; /* rows before the request list */
	int width;
	bool utf8;
};

/* All borrowed for the call. */
struct term_view {
	const struct model *m;
	const char *web;  /* address of the web interface; NULL: there is none */
	const char *note; /* a word for the person; NULL: none */
	const struct term_requests *requests;
	uint32_t retry_left_ms;     /* until the next attempt; 0: none is waited for */
	uint64_t rate_in, rate_out; /* bytes per second */
	int width, height;
	size_t offset; /* rows scrolled away below the fixed ones */
	bool utf8;
};

/* Fills *p, zeroed before; term_page_free() afterwards. */
void term_page_make(struct term_page *p, const struct term_view *v);
void term_page_free(struct term_page *p);
/* The most that may be scrolled away. */
size_t term_page_scroll_max(const struct term_page *p, int height);

#endif
