/* Random ids and constant-time comparison. */
#ifndef COMMON_BASE_RANDID_H
#define COMMON_BASE_RANDID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* len cryptographically random bytes; fatal if the system has none. */
void rand_bytes(void *buf, size_t len);
/* 2*bytes lower-case hex digits and a NUL into out (Go pair: ClientId 16 bytes, ReqId 8). */
void rand_hex(char *out, size_t bytes);
/* A number in [0, bound), bound > 0, without modulo bias. */
uint32_t rand_below(uint32_t bound);
/* Equal? Takes the same time wherever they differ (the length is not secret). */
bool secret_equal(const char *a, const char *b);

#endif
