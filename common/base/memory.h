/*
 * How much memory this process may use and does use, so that it can refuse work before the system
 * refuses it memory (xalloc.h: the last line), and give back what it does not need any more.
 */
#ifndef COMMON_BASE_MEMORY_H
#define COMMON_BASE_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/compiler.h"

/*
 * At the start, before memory_short(): bytes of resident memory above which memory is short; 0:
 * three quarters of what the machine or a control group gives. Limits of the address space and of
 * data (ulimit -v, -d) count as well, three quarters of what is left of them now.
 */
void memory_set_max(uint64_t bytes);
uint64_t memory_max(void);
/* Resident bytes now, with a system call; 0: not known. */
uint64_t memory_used(void);
/*
 * Should new work be refused? From any thread, as often as it likes: it is looked at most every 10
 * ms. Never before memory_set_max().
 */
bool memory_short(void);
/*
 * Every few seconds, from one thread: after a peak what was freed goes back to the system. malloc
 * alone keeps most of it.
 */
void memory_tidy(void);

/*
 * The limit of the control group that `self` (like /proc/self/cgroup) names, and of those above it,
 * below `mount` (like /sys/fs/cgroup): the least, UINT64_MAX: none.
 */
uint64_t memory_of_cgroup(const char *self, const char *mount) MUSTCHECK;

#endif
