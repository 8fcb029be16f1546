/* Inside of the capture: what its parsers ask of the store. Others use capture.h. */
#ifndef PGROK_CAPTURE_STORE_IN_H
#define PGROK_CAPTURE_STORE_IN_H

#include "pgrok/capture/capture.h"

/* What an allocation costs beside its bytes. */
#define CAPTURE_ALLOC 16

struct capture_tunnel *store_tunnel(struct capture *s, const struct capture_conn_info *info);
void store_tunnel_unref(struct capture *s, struct capture_tunnel *t);

/*
 * n bytes of memory more, of transaction t (NULL: of a connection). Others may go to make room for
 * them. False: there is no room, nothing was counted.
 */
bool store_charge(struct capture *s, struct capture_txn *t, size_t n) MUSTCHECK;
void store_refund(struct capture *s, struct capture_txn *t, size_t n);

/* Where a transaction comes from. Borrowed. */
struct txn_source {
	struct capture_conn *conn;
	/* The store gives t up: conn may not touch it any more. */
	void (*forget)(struct capture_conn *conn, struct capture_txn *t);
	struct capture_tunnel *tunnel;
	const char *visitor, *id, *origin;
	bool edited;
	uint64_t start_ns; /* of clock_ns() */
	int64_t connect_ns;
};

/* Not told yet: the head is still to be set. NULL: no room. */
struct capture_txn *store_begin(struct capture *s, const struct txn_source *from);
/* May free t's frames in progress; t->conn is NULL afterwards. */
void store_finish(struct capture *s, struct capture_txn *t, enum capture_state state,
		  const char *error);
void store_tell(struct capture *s, enum capture_event ev, struct capture_txn *t,
		const struct capture_frame *frame);
void store_unfollowed(struct capture *s);

/* A copy of len bytes into *h, if there is room. */
void store_set_head(struct capture *s, struct capture_txn *t, struct capture_head *h,
		    const char *text, size_t len);
void store_add_interim(struct capture *s, struct capture_txn *t, int64_t at_ns, const char *text,
		       size_t len);
void store_add_body(struct capture *s, struct capture_txn *t, struct capture_body *b,
		    const char *data, size_t len);

/* A new frame at the end of t's, if there is room; the oldest may go for it. NULL: none. */
struct capture_frame *store_add_frame(struct capture *s, struct capture_txn *t,
				      enum capture_frame_type type, bool from_client);
/* Adds to a frame's payload what may be kept of it; its size grows by len in any case. */
void store_grow_frame(struct capture *s, struct capture_txn *t, struct capture_frame *f,
		      const char *data, size_t len);
/* A text of the frame's, at most len bytes of it. */
void store_frame_text(struct capture *s, struct capture_txn *t, char **member, const char *text,
		      size_t len);

#endif
