/* The configuration file: every flag under its own name, and tokens. */
#ifndef PGROKD_CONFIG_FILE_H
#define PGROKD_CONFIG_FILE_H

#include "common/base/err.h"
#include "common/base/flags.h"
#include "pgrokd/access/tokens.h"

/* One key. */
struct file_row {
	const char *name; /* NULL: none, the row has no key */
	enum flag_type type;
	bool is_limit; /* its key is below `limits` */
	char *text;    /* what the file says, as a flag would spell it: owned; NULL: nothing */
	unsigned line;
};

struct config_file {
	struct tokens *tokens; /* a reference; NULL: no such key */
	size_t n;
	struct file_row row[]; /* [n] */
};

/* Fills the rows, and tokens. False: err names file, line and key. */
bool config_file_read(const char *path, struct config_file *f, struct err *err) MUSTCHECK;
/* Wipes and frees it; NULL is fine. */
void config_file_free(struct config_file *f);

#endif
