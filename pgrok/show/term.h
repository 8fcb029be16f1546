/*
 * The screen: what a person sees of the client on a terminal, drawn with curses at most ten times a
 * second and never waited for: a terminal that is slow or stopped holds up no traffic.
 */
#ifndef PGROK_SHOW_TERM_H
#define PGROK_SHOW_TERM_H

#include "common/base/loop.h"
#include "pgrok/model/model.h"
#include "pgrok/show/term_page.h"

struct term;

struct term_conf {
	struct model *model;
	const char *web; /* address of the web interface; NULL: there is none (copied) */
	/* The person wants to leave, or the terminal is gone: why is for the log. */
	void (*on_quit)(void *arg, const char *why);
	void *arg;
};

/*
 * Watches the model from now on. NULL: stdout is not a terminal that such a screen can be drawn on,
 * or this process is not in its foreground. To be called after the loop's signal handlers are
 * set.
 */
struct term *term_start(struct loop *l, const struct term_conf *conf) MUSTCHECK;
/* Takes t (NULL is fine); the terminal is as it was when this returns. */
void term_close(struct term *t);

/* For the list of HTTP requests; t may be NULL. r is copied. */
void term_request(struct term *t, const struct term_request *r);
/* Where the web interface is now; NULL: nowhere. t may be NULL. */
void term_set_web(struct term *t, const char *url);

#endif
