/*
 * The terminal itself: a descriptor of our own that never blocks, its modes, and its restoration,
 * whatever ends the program.
 */
#ifndef PGROK_SHOW_TERM_TTY_H
#define PGROK_SHOW_TERM_TTY_H

#include "common/base/loop.h"

struct term_tty;

/*
 * Opens the terminal that stdout is; nothing of it is changed yet. NULL: stdout is not a terminal,
 * or this process is not in its foreground. on_gone is called from the loop when the terminal is no
 * more.
 */
struct term_tty *term_tty_open(struct loop *l, void (*on_gone)(void *arg), void *arg) MUSTCHECK;
int term_tty_fd(const struct term_tty *t);
/* False: unknown. */
bool term_tty_size(const struct term_tty *t, int *width, int *height) MUSTCHECK;
bool term_tty_foreground(const struct term_tty *t);

/*
 * Keys come one by one and unseen from here on. If the program ends without term_tty_restore(), by
 * exit() or a fault, leave (borrowed) is written and the modes go back.
 */
void term_tty_take(struct term_tty *t, const char *leave);
/* Modes as they were; waits a moment for what is still to be written. */
void term_tty_restore(struct term_tty *t);

/* Queued and written as the terminal takes it. */
void term_tty_write(struct term_tty *t, const void *data, size_t len);
/* Is something queued? Then drawing more makes no sense. */
bool term_tty_busy(const struct term_tty *t);

/* Restores if need be. */
void term_tty_close(struct term_tty *t);

#endif
