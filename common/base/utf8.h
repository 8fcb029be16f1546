/* UTF-8 as RFC 3629 defines it: no overlong forms, no surrogates, nothing beyond U+10FFFF. Pure. */
#ifndef COMMON_BASE_UTF8_H
#define COMMON_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/compiler.h"

/* Bytes (1 to 4) of the character at s, of which `left` bytes are there; 0: not a character. */
size_t utf8_len(const char *s, size_t left) MUSTCHECK;
/* The same; *code is its code point, untouched when 0 comes back. */
size_t utf8_decode(const char *s, size_t left, uint32_t *code) MUSTCHECK;
/* What is left of a character that was cut is taken out of s; other bytes all stay. */
void utf8_mend(char *s);
/* Are all len bytes characters? */
bool utf8_valid(const char *s, size_t len) MUSTCHECK;

#endif
