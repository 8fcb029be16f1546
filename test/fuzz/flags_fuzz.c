/*
 * Fuzzes the command line: arguments with a NUL behind each. Values that were taken are UTF-8 and
 * what the table says they are; what was not taken comes behind *rest as it was.
 */
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/flags.h"
#include "common/base/utf8.h"

#define ARGS_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good)
{
	if (!good)
		abort();
}

static int split(char *text, size_t size, char *argv[static ARGS_MAX + 2])
{
	int argc = 0;

	argv[argc++] = (char *)(uintptr_t) "prog";
	for (char *p = text; p < text + size && argc <= ARGS_MAX; p += strlen(p) + 1)
		argv[argc++] = p;
	argv[argc] = NULL;
	return argc;
}

static void check_rest(int argc, char **argv, int rest)
{
	check(rest >= 1 && rest <= argc);
	/* A flag is only left behind "--". */
	if (rest < argc && argv[rest][0] == '-' && argv[rest][1])
		check(rest > 1 && strcmp(argv[rest - 1], "--") == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *name = NULL, *other = NULL;
	bool yes = false, no = true, given = false;
	int n = 0, rest = 0;
	const struct flag table[] = {
		{"", FLAG_STRING, NULL, NULL, "A heading", NULL},
		{"name", FLAG_STRING, &name, NULL, "a text", &given},
		{"other", FLAG_STRING, &other, "default", "another text", NULL},
		{"yes", FLAG_BOOL, &yes, NULL, "a switch", NULL},
		{"no", FLAG_BOOL, &no, "true", "a switch that is on", NULL},
		{"n", FLAG_INT, &n, "7", "a number", NULL},
		{NULL, FLAG_STRING, NULL, NULL, NULL, NULL},
	};
	char *argv[ARGS_MAX + 2], *text = xmalloc(size + 1);
	struct err err = {""};

	memcpy(text, data, size);
	text[size] = '\0';
	int argc = split(text, size, argv);
	enum flags_rc rc = flags_parse(table, argc, argv, &rest, &err);

	check((rc == FLAGS_BAD) == (*err.text != '\0'));
	check(name && other && (given || !*name));
	check(utf8_valid(name, strlen(name)) && utf8_valid(other, strlen(other)));
	if (rc == FLAGS_OK)
		check_rest(argc, argv, rest);
	if (argc == 1)
		check(rc == FLAGS_OK && n == 7 && no && !yes && !given);
	free(text);
	return 0;
}
