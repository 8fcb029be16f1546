/*
 * What a proxy says first on a connection that it passes on: who it is from. HAProxy's PROXY
 * protocol, versions 1 (text) and 2 (binary). Pure.
 */
#ifndef COMMON_NET_PROXY_HEAD_H
#define COMMON_NET_PROXY_HEAD_H

#include "common/base/addr.h"

#define PROXY_HEAD_MAX 4096 /* of version 2, with what is said besides; version 1: 107 */

enum proxy_rc { PROXY_MORE /* so far all bytes are of the head */, PROXY_OK, PROXY_BAD };

struct proxy_head {
	size_t len;        /* OK: bytes of it */
	struct addr from;  /* OK: len 0: it does not say: the connection's own peer counts */
	struct addr to;    /* where that one has connected to; len 0: likewise */
	const char *error; /* BAD: why */
};

/* buf: the first len bytes of a connection; call again with the same and more. */
enum proxy_rc proxy_head_scan(struct proxy_head *h, const char *buf, size_t len) MUSTCHECK;

#define PROXY_HEAD_MADE 108 /* bytes of the longest */
/*
 * A head of that version (1 or 2) into out. from NULL: it does not say (UNKNOWN, LOCAL). `to` of
 * the other family, or NULL, is written as an address of no host. Returns its length.
 */
size_t proxy_head_make(int version, const struct addr *from, const struct addr *to,
		       char out[static PROXY_HEAD_MADE]);

#endif
