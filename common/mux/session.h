/* What mux.c (the session), output.c and stream.c (its streams) share. */
#ifndef COMMON_MUX_SESSION_H
#define COMMON_MUX_SESSION_H

#include <sys/queue.h>

#include "common/base/clock.h"
#include "common/base/idmap.h"
#include "common/base/log.h"
#include "common/mux/mux.h"
#include "common/mux/frame.h"
#include "common/mux/memory.h"
#include "common/stream/kind.h"

#define OUT_CAP (256u << 10)        /* the session's output */
#define OUT_HIGH (2 * STREAM_PIECE) /* above it streams wait */

/* Control frames that a stream owes its peer: flags, so that a flood of causes costs nothing. */
#define OWE_SYN 1
#define OWE_ACK 2
#define OWE_FIN 4
#define OWE_WINDOW 8
#define OWE_RST 16
#define OWE_RIDING 32 /* SYN or ACK, if they still have found nothing to ride on */

#define PINGS_OWED 8 /* answers, if none can be sent; of more the latest ones */

struct mstream {
	struct stream s; /* first: it is one */
	struct mux *m;
	TAILQ_ENTRY(mstream) owe_link, wait_link; /* a parting one does not wait to write */
	struct loop_tick tick;
	char *buf;                 /* received and unread, a ring; NULL: nothing */
	uint32_t cap, off, unread; /* cap is a power of two */
	uint32_t view_len; /* bytes of the session's read buffer offered to the reader right now */
	const char *view;
	uint32_t id;
	uint32_t send_window, recv_window; /* what we may send, what the peer may */
	uint32_t window;                   /* what the peer may have under way in all */
	uint32_t excess;                   /* ... and more, until so much of it has been read */
	uint32_t credit;                   /* read, and not announced yet */
	uint32_t epoch_read;               /* read since epoch_us */
	uint32_t kept_up;               /* read since the reader last stood still, up to PROVEN */
	uint32_t charged[MEMORY_KINDS]; /* to the session's account */
	uint64_t epoch_us;
	uint64_t part_by; /* loop_now() */
	uint8_t owes, want;
	bool owes_syn, owes_ack; /* ride on the first frame */
	bool waiting;            /* on the session's list of writers */
	bool acked;              /* its peer has said something of it */
	bool fin_sent, fin_rcvd;
	bool reset;   /* by the peer, or the session is lost */
	bool closed;  /* by its user; stays for what it owes */
	bool parting; /* ... and until the peer has ended it */
};

TAILQ_HEAD(mstream_list, mstream);

struct mux {
	struct stream *t; /* NULL: lost */
	struct loop *loop;
	struct mux_conf conf;
	struct mux_account *account;
	uint32_t start_ring;           /* the buffer that holds conf.start_window */
	const struct mux_hooks *hooks; /* NULL: the session has no owner any more */
	void *arg;
	struct idmap *streams; /* those that are not closed, and those that are parting */
	uint32_t count;        /* streams, closed ones with something owed included */
	uint32_t next_id;

	char *out; /* frames to be written, OUT_CAP; NULL: none */
	size_t out_len, out_off;
	uint64_t written, drained; /* bytes that have gone out; when the drain timer was started */
	struct mstream *tail; /* whose DATA frame is the last one, and has not begun to leave */
	size_t tail_at;
	struct mstream_list owing, waiting, parting; /* the last one in the order of part_by */
	uint32_t waiting_n, parting_n;
	bool blocked;              /* the transport takes no more */
	uint32_t pong[PINGS_OWED]; /* answers owed, a ring */
	unsigned pong_at, pong_n;
	uint32_t rst[32]; /* refused ids */
	unsigned rst_n;

	uint8_t header[MUX_HEADER], header_len;
	struct mstream *cur; /* of the DATA frame under way; NULL: its bytes are dropped */
	uint32_t left;
	bool cur_fin;
	const char *fault; /* of the peer's */

	uint64_t ping_us, pinged_us;
	uint32_t ping_id, rtt_us;
	/* Streams with lower ids the peer knows of by the next pong, and by the last one. */
	uint32_t pinged_below, known_below;
	struct {
		uint32_t least_us, last_us; /* the shortest of the latest ones, of those before */
		unsigned pongs;             /* of the latest */
	} rtt;
	unsigned probes;  /* still to be made, at most, before the round trip is known */
	const char *lost; /* found dead inside a call; the tick ends it */
	bool down, freed;
	bool goaway_owed, goaway_sent;
	bool emptied;  /* its last stream has gone; the owner is to hear of it */
	bool relieved; /* the first of as many as there may be has, likewise */
	bool ids_used;
	struct loop_tick tick;
	struct loop_timer drain; /* no owner any more, and its last frames do not leave */
	struct loop_timer beat;  /* conf.ping_ms */
	unsigned misses;
	bool heard; /* since the last beat */
	struct loop_exit exit;
};

/* output.c */
/* Once a thread, before its first session. */
void mux_output_init(void);
size_t mux_room(const struct mux *m);
void mux_put_frame(struct mux *m, struct mux_frame f);
/* Where the next mux_put_data() will put its bytes; flags: will it have any? */
char *mux_data_place(struct mux *m, const struct mstream *ms, bool flags);
/* buf may be that place: then nothing is copied. */
void mux_put_data(struct mux *m, struct mstream *ms, uint16_t flags, const void *buf, size_t len);
/* Ends the stream's last frame with FIN, if that is still here. */
bool mux_fin_tail(struct mux *m, struct mstream *ms);
/* Writes what stands here. Never calls back: a lost transport is dealt with by the tick. */
void mux_flush(struct mux *m);
/* Does without the buffer if nothing stands in it. */
void mux_output_idle(struct mux *m);
/* Both. */
void mux_send_now(struct mux *m);
/* The turn's end is to look at the session. */
void mux_wake(struct mux *m);
/* The stream owes these OWE_ flags to its peer. */
void mux_owe(struct mstream *ms, uint8_t what);
/* Turns owed flags into frames as far as there is room. */
void mux_put_owed(struct mux *m);

/* mux.c */
void mux_maybe_free(struct mux *m);
void mux_measure(struct mux *m);

/* stream.c */
/* The size of the buffer for so many bytes, a power of two. */
uint32_t mstream_ring(uint32_t bytes);
/* Counts what the stream may hold, after that has changed. */
void mstream_recharge(struct mstream *ms);
/* Its peer can't fill the window any more: what was reserved for that is given back. */
static inline void mstream_over(struct mstream *ms)
{
	if (ms->window > ms->m->conf.start_window || ms->excess)
		mstream_recharge(ms);
}
struct mstream *mstream_new(struct mux *m, uint32_t id);
void mstream_free(struct mstream *ms);
/* Flags that ride on the stream's next frame. */
uint16_t mstream_riding(struct mstream *ms);
void mstream_deliver(struct mstream *ms, const char *p, size_t n);
void mstream_wait(struct mstream *ms);
void mstream_stop_waiting(struct mstream *ms);
/* A parting stream: its peer has ended it too, or has had the time. */
void mstream_part(struct mstream *ms);

#endif
