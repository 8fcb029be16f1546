/*
 * Pages drawn by curses, which knows what differs from the last one. Curses would wait for a slow
 * terminal; so it draws into memory, and what comes of it is queued at the terminal.
 */
#ifndef PGROK_SHOW_TERM_CURSES_H
#define PGROK_SHOW_TERM_CURSES_H

#include "pgrok/show/term_page.h"
#include "pgrok/show/term_tty.h"

#define TERM_COLUMNS_MAX 500
#define TERM_ROWS_MAX 300

struct term_curses;

/* One at a time. Borrows tty. NULL: $TERM names nothing that has a screen. */
struct term_curses *term_curses_start(struct term_tty *tty) MUSTCHECK;
void term_curses_free(struct term_curses *t);
/* Does the environment speak of UTF-8? */
bool term_curses_utf8(const struct term_curses *t);
/* What makes a terminal show again what it showed before; for emergencies. Borrowed. */
const char *term_curses_leave_bytes(const struct term_curses *t);

void term_curses_resize(struct term_curses *t, int width, int height);
/* The page's rows; offset of those that scroll are left out. Takes the screen if need be. */
void term_curses_draw(struct term_curses *t, const struct term_page *p, int height, size_t offset);
/* The next drawing is a whole one. */
void term_curses_redraw(struct term_curses *t);
/* Queues what gives the screen back. */
void term_curses_leave(struct term_curses *t);

#endif
