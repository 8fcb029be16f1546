/*
 * Follows requests and responses on one connection without changing a byte, so that every request
 * can be judged and it is known which answers are still owed. Pure; plugged into a pair's judge
 * hook by its owner.
 *
 * - A request head is held whole until allow() has judged it.
 * - Nothing that follows a request with Upgrade (its own body apart) is passed before its final
 *   answer's head; only a 101 to it ends tracking (both directions raw from then on). If it offered
 *   h2c or the like and the connection is guarded, the 101 does not pass: JUDGE_CUT, 502.
 * - Not guarded, a connection may be hijacked, as with Icecast's SOURCE, Docker's attach, or a body
 *   without a length in HTTP/1.0: what follows a request without a body is raw, and all behind it,
 *   if it does not even begin like a request, or if only EOF ends the answer that is under way. A
 *   request with a fault is refused as ever: a proxy in front may send others' requests behind it.
 * - A refused request: no more is read (JUDGE_STOP); when the answers owed are complete the
 *   response side says JUDGE_CUT and t->refused is the status to answer. With none owed: JUDGE_CUT
 *   at once. A chunked body that breaks is refused with 400 too: the answer to its own request is
 *   not waited for, unless it has begun; then, or if it was complete, refused is 0: cut without a
 *   page.
 * - A request that allow() sends elsewhere (TRACK_LEAVE) is held, and all behind it, until the
 *   answers owed are complete; then JUDGE_LEAVE, and its head begins what did not pass. If the
 *   answers can't be followed, or the last one says that none follows, it is refused, without a
 *   page.
 * - A response that can't be followed (not HTTP, a 101 without an offer, an answer without a
 *   request): t->unfollowed; its bytes pass, no upgrade is believed, requests are judged as before,
 *   and after a refusal the connection ends at the backend's EOF, without a page (refused is 0).
 * - Single: the backend gets one request, and its answer is reframed for the visitor
 *   (reframe.h). So an answer that only EOF ends is whole then, and what the backend says of its
 *   connection counts for nothing. What follows the answer is dropped (JUDGE_STOP), a second
 *   request leaves. An answer that can't be followed, or breaks off, is cut: JUDGE_CUT, with 502 as
 *   refused while nothing but interim answers has passed, else with 0.
 */
#ifndef COMMON_HTTP_TRACK_H
#define COMMON_HTTP_TRACK_H

#include "common/http/head.h"
#include "common/stream/judge.h"

#define TRACK_OWED_MAX 32 /* pipelined requests without an answer; more are held */
#define TRACK_LEAVE (-1)  /* from allow(): the request is not for this backend */

struct http_track_hooks {
	/*
	 * A complete request head (its bytes: head, h->head_len long). 0: it may pass. Otherwise
	 * the status to refuse it with (401, 404, 421 ...), or TRACK_LEAVE. Called once for each
	 * request.
	 */
	int (*allow)(void *arg, const struct http_head *h, const char *head);
	/*
	 * The head of an answer (no interim one, but a 101 that is believed), about to pass, and
	 * its bytes. NULL: nobody wants to know.
	 */
	void (*answer)(void *arg, const struct http_head *h, const char *head);
	/* The head of an interim answer, about to pass. NULL: nobody wants to know. */
	void (*interim)(void *arg, const struct http_head *h, const char *head);
	/*
	 * An answer is complete; its last bytes are about to pass, or have passed. NULL: no one
	 * wants to know.
	 */
	void (*complete)(void *arg);
};

struct http_track {
	const struct http_track_hooks *hooks;
	void *arg;
	struct http_head req, resp;
	struct http_chunked req_chunks, resp_chunks;
	uint64_t req_left, resp_left;
	uint64_t req_passed, resp_passed; /* bytes that have passed, up to the last call */
	uint64_t req_at, resp_at; /* ... up to what a hook is told of: a head, an answer's end */
	uint8_t req_state, resp_state;
	uint8_t owed_kind[TRACK_OWED_MAX]; /* a ring: what the request was, as far as it matters */
	uint8_t owed_head, owed;           /* owed: requests passed whose answer is not complete */
	bool upgrade_wait; /* the last request asked for an upgrade, no answer yet */
	bool held;         /* the request side's last word was JUDGE_HOLD */
	bool guarded;      /* requests need more than the right host: none may pass unjudged */
	bool single;       /* see above; set by the owner, after http_track_init() */
	bool leaves;       /* the request at hand is for another backend */
	bool bodiless;     /* the last request that passed has no body */
	bool last;         /* a request or an answer said that none follows on this connection */
	bool head_only;    /* the last one judged is a HEAD: a page for it has no body */
	bool raw;          /* upgraded or hijacked: nothing is judged any more */
	bool unfollowed;
	bool stopped; /* a request was refused */
	bool broken;  /* and it was the body of the last one that passed */
	bool resume;  /* set when a HOLD has ended: the owner calls pair_release() and clears it */
	int refused;  /* the status to answer after JUDGE_CUT; 0: no page */
	const char *error; /* why, for the log; NULL when allow() refused */
	const char *early; /* single: why there can be no answer, known before the request */
};

/* hooks and arg are borrowed. */
void http_track_init(struct http_track *t, bool guarded, const struct http_track_hooks *hooks,
		     void *arg);
/*
 * Bytes of the visitor / of the backend; as struct pair_hooks.judge. Either may give the reason for
 * the other side to go on: look at t->resume after the response side and after response_eof.
 * An incomplete head is kept back on both sides.
 */
enum judge http_track_request(struct http_track *t, const char *buf, size_t len,
			      size_t *pass) MUSTCHECK;
enum judge http_track_response(struct http_track *t, const char *buf, size_t len,
			       size_t *pass) MUSTCHECK;
/*
 * The visitor's direction ended; what was kept back of a head is to be judged once more: less than
 * a method may turn out to be hijacked traffic.
 */
void http_track_request_eof(struct http_track *t);
/*
 * The backend's direction ended: an until-EOF answer is complete now, others will never be. Nothing
 * is owed any more; what was kept back of an incomplete answer head passes if judged again; a
 * refusal that was waiting has no page. Single: it may have said what a JUDGE_CUT says: look at
 * stopped, when nothing is owed.
 */
void http_track_response_eof(struct http_track *t);
/* Has all of the last request passed? */
bool http_track_request_whole(const struct http_track *t);
/*
 * Single: has all of the answer passed (whatever is to be said of what came behind its request)? Or
 * has it begun, and will never end?
 */
bool http_track_answered(const struct http_track *t);
bool http_track_broken_off(const struct http_track *t);
/*
 * The backend is lost. True: nothing of the answer that is owed next has passed: there will be no
 * other, and `status` is now refused, for a page in its place. False: its place can't be found.
 */
bool http_track_fail(struct http_track *t, int status, const char *why) MUSTCHECK;
/*
 * Is the connection between requests: no head begun, no body under way, no answer owed? False when
 * raw, unfollowed or stopped.
 */
bool http_track_at_rest(const struct http_track *t);
/*
 * Are there answers still owed to the visitor (false when raw: unknown)? Unfollowed: true
 * until the backend's EOF once any request is open.
 */
bool http_track_owes(const struct http_track *t);

#endif
