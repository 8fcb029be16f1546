/*
 * Two streams joined: what one side sends the other gets, byte for byte, with back-pressure and
 * half-close, the copy code written once for both directions. Three hooks: a judge, which may hold
 * or cut, an editor, which may write something else, and a tap, which gets a copy.
 */
#ifndef COMMON_STREAM_PAIR_H
#define COMMON_STREAM_PAIR_H

#include <stdint.h>

#include "common/stream/judge.h"
#include "common/stream/stream.h"

#define PAIR_READ (64u << 10)  /* one read a wake-up; also what may be pending per direction */
#define PAIR_HELD (64u << 10)  /* unjudged bytes kept per direction */
#define PAIR_SILENCE_MS 120000 /* a half-closed or half-dead pair without a byte */

/*
 * Who a stream of the pair leads to, directly or through the tunnel: the same in both programs.
 * Bytes from SIDE_VISITOR are requests, bytes from SIDE_SERVICE answers.
 */
enum side { SIDE_VISITOR, SIDE_SERVICE };

enum pair_end {
	PAIR_DONE,  /* at least one direction ended cleanly and neither can move any more */
	PAIR_CUT,   /* a judge cut it; the visitor has all that was passed */
	PAIR_LEFT,  /* a judge let its side leave: pair_leave() takes it out */
	PAIR_ABORT, /* a side aborted before any direction had ended cleanly */
	PAIR_SILENT /* one direction ended or dead, nothing moved for PAIR_SILENCE_MS, or will */
};

struct pair_hooks {
	/*
	 * May these bytes of side `from` go on? buf holds all that was not passed yet: what was
	 * kept before and what is new. Sets *pass <= len. NULL: everything may.
	 */
	enum judge (*judge)(void *arg, enum side from, const char *buf, size_t len, size_t *pass);
	/*
	 * Side `from` ended: may that be passed on now? No: asked again at pair_release(). Yes:
	 * bytes still held are judged a last time first, what does not pass then is dropped. NULL:
	 * yes.
	 */
	bool (*eof)(void *arg, enum side from);
	/*
	 * What is to be written instead of the len bytes at buf, which were passed; *made is set to
	 * its length. It stays until the next call. NULL: they are.
	 */
	const char *(*edit)(void *arg, enum side from, const char *buf, size_t len, size_t *made);
	/*
	 * One direction has ended, and nothing moved for PAIR_SILENCE_MS: is an answer still to
	 * come? Then the pair goes on, if the visitor can take it. NULL: no, PAIR_SILENT.
	 */
	bool (*awaited)(void *arg);
	/* A copy of what was passed. NULL: none. */
	void (*tap)(void *arg, enum side from, const char *buf, size_t len);
	/* Called once, from the loop; the owner answers with pair_close(), now or later. */
	void (*done)(void *arg, enum pair_end why);
	/* A visitor that takes no more bytes is the pair's end: PAIR_ABORT. */
	bool ends_unheard;
};

/*
 * How many bytes may be read from side `from` now, at most. 0: none until pair_resume(), which is
 * not called from inside.
 */
typedef size_t pair_budget_fn(void *arg, enum side from);

struct pair;

/* Takes both streams (settled, handshakes done). hooks and arg are borrowed. Returns owned. */
struct pair *pair_new(struct stream *visitor, struct stream *service,
		      const struct pair_hooks *hooks, void *arg) MUSTCHECK;
/* Before pair_start(): bytes that were read from `side` already. At most PAIR_HELD. Copied. */
void pair_feed(struct pair *p, enum side side, const void *buf, size_t len);
/* Starts moving; the first bytes move on this turn's next tick. */
void pair_start(struct pair *p);
/* Ends a JUDGE_HOLD or a held-back end of side `from`; may be called from inside a judge. */
void pair_release(struct pair *p, enum side from);
/* Nothing is read from now on without asking fn, with the arg of the hooks. NULL: as at first. */
void pair_pace(struct pair *p, pair_budget_fn *fn);
/* Side `from` may be read again. */
void pair_resume(struct pair *p, enum side from);
/* What a judge can say, from outside: JUDGE_CUT, and JUDGE_LEAVE of `side`. done() comes later. */
void pair_cut(struct pair *p);
void pair_let_go(struct pair *p, enum side side);
/*
 * The pair is done whatever is under way: PAIR_ABORT. done() comes later, so that this may be
 * called from inside a hook.
 */
void pair_fail(struct pair *p);
/*
 * Bytes that side `from` did not send: the other side gets them behind what has passed. Few; may be
 * called from inside a hook.
 */
void pair_say(struct pair *p, enum side from, const void *buf, size_t len);
/*
 * Side `from` is about to leave: what it said and the other has not taken is not waited for, but
 * lost. False: there is nothing of the kind.
 */
bool pair_forgo(struct pair *p, enum side from);
/* Has this side all that was passed to it, and could it be told more? */
bool pair_heard(const struct pair *p, enum side side);
/* Could this side's stream be taken out as it is? Nothing waits, or is lost, and it lives on. */
bool pair_clean(const struct pair *p, enum side side);
/* A side's stream, for questions. Borrowed. */
struct stream *pair_stream(const struct pair *p, enum side side);
/* Takes a side's stream out, for a last word to the visitor. Only after done, before close. */
struct stream *pair_take(struct pair *p, enum side side) MUSTCHECK;
/*
 * After PAIR_LEFT, before close: takes out the side whose judge let it leave, for another pair.
 * *buf: what was read from it and not passed, the caller's to free and to feed to that pair; NULL:
 * nothing. What stream_want() said of it still holds. The other side stays, and ends with
 * pair_close().
 */
struct stream *pair_leave(struct pair *p, enum side side, char **buf, size_t *len) MUSTCHECK;
/*
 * Takes p. abort: both sides see a reset. Otherwise sides that have not ended linger, the others
 * are closed. Memory on the next tick; no hook is called any more.
 */
void pair_close(struct pair *p, bool abort);
/* Has this side ended cleanly, and the other been told? */
bool pair_ended(const struct pair *p, enum side side);
/* Bytes passed on that came from `side`. */
uint64_t pair_bytes(const struct pair *p, enum side side);
/* Why, for the log: the error text of the side that aborted, "" if none did. Borrowed. */
const char *pair_error(const struct pair *p);

#endif
