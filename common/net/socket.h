/* Options and states of TCP sockets: what a system lacks of them is left out here. */
#ifndef COMMON_NET_SOCKET_H
#define COMMON_NET_SOCKET_H

#include "common/base/addr.h"
#include "common/base/compiler.h"

/* A non-blocking, close-on-exec TCP socket, or -1 with errno. */
int socket_new(int family) MUSTCHECK;
/* Sets an option whose failure does not matter: a connection works without it. */
void socket_set(int fd, int level, int option, int value);
/* Starts a non-blocking connect; *fd owned. False: errno says why. TCP_NODELAY, keep-alive set. */
bool socket_connect(const struct addr *to, int *fd) MUSTCHECK;

/*
 * Keep-alive 20/5/3: an idle connection to a dead peer ends after 35 s. Harmless for peers that
 * stop reading: their kernel goes on answering.
 */
void socket_keepalive(int fd);
/*
 * TCP_USER_TIMEOUT, where the system has it: what is unacknowledged for 35 s ends the connection.
 * ONLY for connections whose peer never stops reading (control connections, mux sessions): Linux
 * counts a closed receive window as well, so that a visitor who pauses a download would be cut off.
 */
void socket_always_read(int fd);
/*
 * TCP_NOTSENT_LOWAT, where the system has it: the kernel takes no more than this ahead of what it
 * can send. For connections that many share, where the next word of one must not stand behind
 * megabytes of another; and for visitors, whose pause must not cost megabytes. What is on its way
 * and unacknowledged is not limited: a bound on it (SO_SNDBUF) ends the kernel's tuning, and with
 * the 208 KiB that are the most by default a line of 100 ms carries a seventh of what it could.
 */
#define SOCKET_UNSENT (128 << 10)
void socket_short_queue(int fd);
/* As it was before: as much as the system allows. */
void socket_long_queue(int fd);

/* Has it broken (a reset, no answer to keep-alives), though nobody reads or writes just now? */
bool socket_broken(int fd);
/* Written bytes that the peer's kernel has not acknowledged; -1: the system can't tell. */
int socket_unacknowledged(int fd);

/* Raises RLIMIT_NOFILE to its hard limit; returns the limit now in force. */
unsigned long socket_raise_nofile(void);
/* RLIMIT_NOFILE; INT_MAX: none. */
int socket_max_fds(void) MUSTCHECK;

#endif
