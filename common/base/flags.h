/*
 * Go-style command-line flags from one table: -n=v, -n v, --n, booleans alone; usage from the
 * table.
 */
#ifndef COMMON_BASE_FLAGS_H
#define COMMON_BASE_FLAGS_H

#include <stdbool.h>
#include <stdio.h>

#include "common/base/err.h"
#include "common/base/xalloc.h"

enum flag_type { FLAG_STRING, FLAG_BOOL, FLAG_INT };

struct flag {
	const char
		*name; /* without the dash; "": help is a heading; a row with NULL ends the table */
	enum flag_type type;
	void *value;      /* const char ** (borrowed from argv or def), bool *, int * */
	const char *def;  /* default as text; NULL = "" / false / 0 */
	const char *help; /* one line */
	bool *given;      /* set to true when the flag is on the command line; may be NULL */
};

enum flags_rc {
	FLAGS_OK,
	FLAGS_HELP, /* -h, -help: the caller prints usage on stdout and exits 0 */
	FLAGS_BAD   /* message in err ("flag provided but not defined: -x"): exit 2 */
};

/*
 * Sets every value to its default, then parses argv[1..] with the rules of Go's flag package:
 * stops at an argument that is not a flag, at "-" (kept as argument) and after "--" (dropped).
 * *rest = index of the first argument not consumed. Texts that are not UTF-8 are refused.
 */
enum flags_rc flags_parse(const struct flag *table, int argc, char **argv, int *rest,
			  struct err *err) MUSTCHECK;
/*
 * Sets one as on the command line; a text is borrowed. NULL, or what is wrong with it, in Go's
 * words.
 */
const char *flag_set(const struct flag *f, const char *text) MUSTCHECK;
/* The table's part of the usage text, two lines a flag, as Go prints it, in the table's order. */
void flags_usage(const struct flag *table, FILE *out);

#endif
