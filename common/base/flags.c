/* Command-line flags with the rules and the texts of Go's flag package (Go 1.19). */
#include "common/base/flags.h"

#include <assert.h>
#include <limits.h>
#include <stdint.h>
#include <string.h>

#include "common/base/utf8.h"

/* Go's %q: in double quotes, control characters escaped. */
static void quote(const char *s, char *out, size_t cap)
{
	static const char named[] = "\aa\bb\ff\nn\rr\tt\vv\"\"\\\\";
	size_t len = 0;

	out[len++] = '"';
	for (; *s && len + 6 < cap; s++) {
		unsigned char c = (unsigned char)*s;
		const char *hit = NULL;
		for (const char *n = named; *n; n += 2) {
			if (n[0] == *s)
				hit = n;
		}
		if (hit) {
			out[len++] = '\\';
			out[len++] = hit[1];
		} else if (c < 0x20 || c == 0x7F) {
			len += (size_t)snprintf(out + len, cap - len, "\\x%02x", c);
		} else {
			out[len++] = *s;
		}
	}
	out[len++] = '"';
	out[len] = '\0';
}

static bool parse_bool(const char *text, bool *out)
{
	static const char *const yes[] = {"1", "t", "T", "TRUE", "true", "True"};
	static const char *const no[] = {"0", "f", "F", "FALSE", "false", "False"};

	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
		bool is_yes = strcmp(text, yes[i]) == 0;
		if (is_yes || strcmp(text, no[i]) == 0) {
			*out = is_yes;
			return true;
		}
	}
	return false;
}

static unsigned digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0');
	c |= 0x20;
	return c >= 'a' && c <= 'z' ? (unsigned)(c - 'a') + 10 : 255;
}

/* Takes Go's prefix off: 0x, 0o, 0b, or a plain 0 for octal, which stays. */
static unsigned take_base(const char **text)
{
	const char *s = *text;
	char kind = (char)(s[0] ? s[1] | 0x20 : 0);

	if (s[0] != '0' || !s[1])
		return 10;
	if (kind != 'x' && kind != 'o' && kind != 'b')
		return 8;
	*text += 2;
	return kind == 'x' ? 16 : kind == 'o' ? 8 : 2;
}

/* An int as Go reads it, prefixes and underscores included. NULL or what is wrong. */
static const char *parse_int(const char *text, int *out)
{
	bool minus = *text == '-';
	bool digits = false, range = false;
	uint64_t n = 0, max = (uint64_t)INT_MAX + minus;

	if (*text == '-' || *text == '+')
		text++;
	const char *start = text;
	unsigned base = take_base(&text);
	/* An underscore needs a digit, or the base's prefix, before it and a digit behind it. */
	bool joined = text != start;

	for (; *text; text++) {
		unsigned d = digit_of(*text);
		if (*text == '_' && joined) {
			joined = false;
			continue;
		}
		if (d >= base)
			return "parse error";
		digits = joined = true;
		if (!range)
			n = n * base + d;
		range = range || n > max;
	}
	if (!digits || !joined)
		return "parse error";
	if (range)
		return "value out of range";
	*out = (int)(minus ? -(int64_t)n : (int64_t)n);
	return NULL;
}

const char *flag_set(const struct flag *f, const char *text)
{
	switch (f->type) {
	case FLAG_BOOL:
		return parse_bool(text, f->value) ? NULL : "parse error";
	case FLAG_INT:
		return parse_int(text, f->value);
	case FLAG_STRING:
		*(const char **)f->value = text;
		return NULL;
	}
	return "parse error";
}

static const char *default_of(const struct flag *f)
{
	if (f->def)
		return f->def;
	return f->type == FLAG_STRING ? "" : "0";
}

static void set_defaults(const struct flag *table)
{
	for (const struct flag *f = table; f->name; f++) {
		if (!*f->name)
			continue;
		const char *wrong = flag_set(f, default_of(f));
		assert(!wrong);
		(void)wrong;
		if (f->given)
			*f->given = false;
	}
}

static const struct flag *find_flag(const struct flag *table, const char *name, size_t len)
{
	for (const struct flag *f = table; f->name; f++) {
		if (strlen(f->name) == len && memcmp(f->name, name, len) == 0)
			return f;
	}
	return NULL;
}

static enum flags_rc bad_value(const struct flag *f, const char *text, const char *wrong,
			       struct err *err)
{
	char quoted[160];

	quote(text, quoted, sizeof(quoted));
	if (f->type == FLAG_BOOL)
		err_set(err, "invalid boolean value %s for -%s: %s", quoted, f->name, wrong);
	else
		err_set(err, "invalid value %s for flag -%s: %s", quoted, f->name, wrong);
	return FLAGS_BAD;
}

/* One flag at argv[*i], with its value; *i moves behind both. */
static enum flags_rc parse_one(const struct flag *table, char **argv, int argc, int *i,
			       struct err *err)
{
	const char *arg = argv[(*i)++];
	const char *name = arg + (arg[1] == '-' ? 2 : 1);
	size_t len = strcspn(name, "=");
	const char *value = name[len] ? name + len + 1 : NULL;
	const struct flag *f = find_flag(table, name, len);
	const char *wrong;

	if (len == 0 || name[0] == '-') {
		err_set(err, "bad flag syntax: %s", arg);
		return FLAGS_BAD;
	}
	if (!f) {
		if ((len == 1 && name[0] == 'h') || (len == 4 && memcmp(name, "help", 4) == 0))
			return FLAGS_HELP;
		err_set(err, "flag provided but not defined: -%.*s", (int)len, name);
		return FLAGS_BAD;
	}
	if (!value && f->type == FLAG_BOOL)
		value = "true";
	if (!value && *i < argc)
		value = argv[(*i)++];
	if (!value) {
		err_set(err, "flag needs an argument: -%s", f->name);
		return FLAGS_BAD;
	}
	wrong = flag_set(f, value);
	if (wrong)
		return bad_value(f, value, wrong, err);
	if (f->given)
		*f->given = true;
	return FLAGS_OK;
}

enum flags_rc flags_parse(const struct flag *table, int argc, char **argv, int *rest,
			  struct err *err)
{
	int i = 1;

	err->text[0] = '\0';
	set_defaults(table);
	for (int k = 1; k < argc; k++) {
		/* Everything given here may end up in a message, which is JSON, hence UTF-8. */
		if (!utf8_valid(argv[k], strlen(argv[k]))) {
			err_set(err, "argument %d is not valid UTF-8", k);
			return FLAGS_BAD;
		}
	}
	while (i < argc && argv[i][0] == '-' && argv[i][1]) {
		if (strcmp(argv[i], "--") == 0) {
			i++;
			break;
		}
		enum flags_rc rc = parse_one(table, argv, argc, &i, err);
		if (rc != FLAGS_OK)
			return rc;
	}
	*rest = i;
	return FLAGS_OK;
}

static void print_default(const struct flag *f, FILE *out)
{
	char quoted[512];
	bool yes = false;
	int n = 0;

	switch (f->type) {
	case FLAG_STRING:
		quote(default_of(f), quoted, sizeof(quoted));
		if (*default_of(f))
			fprintf(out, " (default %s)", quoted);
		break;
	case FLAG_BOOL:
		if (parse_bool(default_of(f), &yes) && yes)
			fputs(" (default true)", out);
		break;
	case FLAG_INT:
		if (!parse_int(default_of(f), &n) && n)
			fprintf(out, " (default %d)", n);
		break;
	}
}

/* The help text names its value in back-quotes, or the type does: "  -name word\n    \thelp". */
static void print_flag(const struct flag *f, FILE *out)
{
	static const char *const words[] = {
		[FLAG_STRING] = "string", [FLAG_BOOL] = "", [FLAG_INT] = "int"};
	const char *word = words[f->type];
	int word_len = (int)strlen(word);
	const char *open = strchr(f->help, '`');
	const char *close = open ? strchr(open + 1, '`') : NULL;

	if (close) {
		word = open + 1;
		word_len = (int)(close - word);
	}
	fprintf(out, "  -%s%s%.*s", f->name, word_len ? " " : "", word_len, word);
	/* A boolean of one letter shares its line with its text. */
	fputs(strlen(f->name) == 1 && !word_len ? "\t" : "\n    \t", out);
	for (const char *p = f->help; *p; p++) {
		if (close && (p == open || p == close))
			continue;
		fputc(*p, out);
		if (*p == '\n')
			fputs("    \t", out);
	}
	print_default(f, out);
	fputc('\n', out);
}

void flags_usage(const struct flag *table, FILE *out)
{
	for (const struct flag *f = table; f->name; f++) {
		if (*f->name)
			print_flag(f, out);
		else
			fprintf(out, "\n%s\n", f->help);
	}
}
