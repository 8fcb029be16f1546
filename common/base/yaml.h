/*
 * A file of settings in YAML, walked with one table per mapping: aliases, "<<" merges, the last of
 * equal keys counts, numbers are texts where a text is wanted. A wrong type is an error that names
 * file, line and key ("x.yml:5: tunnels.a.remote_port: 70000 is not a port (0-65535)"); what is odd
 * is a warning of the same form.
 */
#ifndef COMMON_BASE_YAML_H
#define COMMON_BASE_YAML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/compiler.h"
#include "common/base/err.h"

#define YAML_BYTES (1u << 20) /* of a file */
#define YAML_KEYS 1024        /* of one mapping; items of a list of texts */
#define YAML_NESTING 32       /* lists and mappings in one another: libyaml is quadratic in it */
#define YAML_MERGES 10000     /* "<<" keys followed in one file */
#define YAML_MERGES_NESTED 8  /* of "<<" in "<<" */

struct yaml;        /* a document being read */
struct yaml_node_s; /* libyaml's */

/* A value and where it stands; borrowed for the call that it is given to. */
struct yaml_value {
	struct yaml *y;
	struct yaml_node_s *node;
	const char *path; /* the key for messages: "tunnels.test.remote_port"; "": the document */
};

/* Takes a value. False: yaml_bad() has said why. */
typedef bool yaml_set_fn(const struct yaml_value *v, void *member);
typedef bool yaml_key_fn(const struct yaml_value *v, const char *key, void *object);
typedef bool yaml_text_fn(const struct yaml_value *v, const char *text, void *arg);
typedef bool yaml_item_fn(const struct yaml_value *v, void *arg);
typedef void yaml_warn_fn(void *arg, const char *text);

struct yaml_field {
	const char *name; /* a row with NULL ends the table */
	yaml_set_fn *set; /* one of those below, or the user's own */
	size_t offset;    /* of the member that it gets, in the object */
};

struct yaml_table {
	const struct yaml_field *fields;
	/*
	 * May be NULL. What to say of an unknown key instead of the nearest known one; NULL:
	 * nothing.
	 */
	const char *(*hint)(const char *key);
};

struct yaml_conf {
	const char *file;               /* its name in messages */
	const struct yaml_table *table; /* of the document's mapping */
	void *object;
	yaml_warn_fn *warn; /* may be NULL */
	void *warn_arg;
	/* Unknown keys, keys that came before and keys without a value are errors. */
	bool strict;
};

/*
 * Reads the whole text into conf->object. False: the reason is in err. The copies of its texts that
 * are made on the way are wiped.
 */
bool yaml_read(const struct yaml_conf *conf, const char *text, size_t len,
	       struct err *err) MUSTCHECK;

/* ---- setters; null ("key:", "~") never gets here, the default stays ---- */

yaml_set_fn yaml_set_text;  /* char **, which is freed as a secret */
yaml_set_fn yaml_set_bool;  /* bool *: true, yes, on ... */
yaml_set_fn yaml_set_port;  /* uint16_t *: 0-65535 */
yaml_set_fn yaml_set_count; /* int *: 0-1000000 */
yaml_set_fn yaml_set_size;  /* uint64_t *: bytes, with K, M or G behind the number */

/* ---- for setters of the user's own ---- */

/* Any scalar as it is spelt: 0123 is "0123". Borrowed from the document. */
bool yaml_text(const struct yaml_value *v, const char **out) MUSTCHECK;
/* Each text of a list, or the one text; what: "host names", for messages. */
bool yaml_texts(const struct yaml_value *v, const char *what, yaml_text_fn *fn,
		void *arg) MUSTCHECK;
/* Each item of a list of `what`, at most `most`; its path is "tokens[0]". */
bool yaml_items(const struct yaml_value *v, const char *what, int most, yaml_item_fn *fn,
		void *arg) MUSTCHECK;
/* Each key of a mapping, those of merges first. */
bool yaml_keys(const struct yaml_value *v, yaml_key_fn *fn, void *object) MUSTCHECK;
/* The fields of a mapping. Unknown keys are warned of. */
bool yaml_fields(const struct yaml_value *v, const struct yaml_table *table,
		 void *object) MUSTCHECK;
/* Is it null, so that a setter would not be asked; a scalar; this very one? */
bool yaml_is_null(const struct yaml_value *v);
bool yaml_is_scalar(const struct yaml_value *v);
bool yaml_is(const struct yaml_value *v, const char *word);
unsigned yaml_line(const struct yaml_value *v);
/* Sets the error, file, line and key in front; always false. */
bool yaml_bad(const struct yaml_value *v, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
