/* The configuration file: every flag under its own name. */
#ifndef PGROKD_CONFIG_FILE_H
#define PGROKD_CONFIG_FILE_H

#include "common/base/err.h"
#include "common/base/flags.h"

/* One key. */
struct file_row {
	const char *name; /* NULL: none, the row has no key */
	enum flag_type type;
	char *text; /* what the file says, as a flag would spell it: owned; NULL: nothing */
	unsigned line;
};

/* Fills the n rows. False: err names file, line and key. */
bool config_file_read(const char *path, struct file_row *rows, size_t n, struct err *err) MUSTCHECK;
/* Wipes and frees their texts. */
void config_file_free(struct file_row *rows, size_t n);

#endif
