/* Texts for a terminal's screen: widths in columns, what is safe to show, short numbers. */
#ifndef PGROK_SHOW_TERM_TEXT_H
#define PGROK_SHOW_TERM_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <wchar.h>

/* The room that any of the numbers below needs. */
#define TERM_NUMBER 32

/*
 * The text in at most `columns` columns, as wide characters. Texts may come from a visitor or a
 * server: controls, and whatever could turn the direction of writing or hide, become '?', as does
 * invalid UTF-8; without `utf8` (what the terminal understands) everything beyond ASCII. Cut
 * texts end in an ellipsis if `mark`. Returns the columns used. out has room for cap > 0
 * characters, NUL included.
 */
int term_fit(const char *text, int columns, bool utf8, bool mark, wchar_t *out, size_t cap);
/* Columns of the whole text. */
int term_columns(const char *text, bool utf8);

/* "0 B", "999 B", "1.2 kB", "34.5 MB": powers of 1000. Returns buf. */
const char *term_bytes(uint64_t n, char buf[static TERM_NUMBER]);
/* "0.42 ms", "23.4 ms", "1.20 s". Returns buf. */
const char *term_latency(uint32_t us, char buf[static TERM_NUMBER]);

#endif
