/* Unit tests of common/flags: every rule and text of Go's flag package. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/flags.h"

#define MAX_ARGS 8

static const char *domain;
static bool tls, quiet;
static int workers;
static bool domain_given, tls_given, workers_given;

static const struct flag table[] = {
	{"workers", FLAG_INT, &workers, "5", "Number of `threads`", &workers_given},
	{"domain", FLAG_STRING, &domain, "ejemplo.me", "Domain of the tunnels", &domain_given},
	{"tls", FLAG_BOOL, &tls, NULL, "Use TLS", &tls_given},
	{"quiet", FLAG_BOOL, &quiet, "true", "Say nothing", NULL},
	{NULL, FLAG_BOOL, NULL, NULL, NULL, NULL},
};

static enum flags_rc parse(const char *const *args, int *rest, int *argc, struct err *err)
{
	char *argv[MAX_ARGS + 2] = {(char[]){"prog"}};
	static char copies[MAX_ARGS][256];

	for (*argc = 0; args[*argc]; (*argc)++) {
		snprintf(copies[*argc], sizeof(copies[0]), "%s", args[*argc]);
		argv[*argc + 1] = copies[*argc];
	}
	++*argc;
	*rest = -1;
	return flags_parse(table, *argc, argv, rest, err);
}

struct good {
	const char *args[MAX_ARGS + 1];
	const char *domain;
	bool tls, quiet;
	int workers;
	int left; /* arguments not consumed */
};

static const struct good good[] = {
	{{NULL}, "ejemplo.me", false, true, 5, 0},
	{{"-domain", "a.b"}, "a.b", false, true, 5, 0},
	{{"--domain", "a.b"}, "a.b", false, true, 5, 0},
	{{"-domain=a.b"}, "a.b", false, true, 5, 0},
	{{"--domain=a.b", "80"}, "a.b", false, true, 5, 1},
	{{"-domain="}, "", false, true, 5, 0},
	{{"-domain=a=b"}, "a=b", false, true, 5, 0},
	{{"-domain", ""}, "", false, true, 5, 0},
	{{"-domain", "-tls"}, "-tls", false, true, 5, 0},
	{{"-domain", "--", "x"}, "--", false, true, 5, 1},
	{{"-domain", "a", "-domain", "b"}, "b", false, true, 5, 0},
	{{"-domain=\xc3\xa9.me"}, "\xc3\xa9.me", false, true, 5, 0},
	{{"-tls"}, "ejemplo.me", true, true, 5, 0},
	{{"--tls", "-quiet=false"}, "ejemplo.me", true, false, 5, 0},
	{{"-tls", "false"}, "ejemplo.me", true, true, 5, 1},
	{{"-tls=1", "-quiet=0"}, "ejemplo.me", true, false, 5, 0},
	{{"-tls=t", "-quiet=f"}, "ejemplo.me", true, false, 5, 0},
	{{"-tls=T", "-quiet=F"}, "ejemplo.me", true, false, 5, 0},
	{{"-tls=true", "-quiet=false"}, "ejemplo.me", true, false, 5, 0},
	{{"-tls=TRUE", "-quiet=FALSE"}, "ejemplo.me", true, false, 5, 0},
	{{"-tls=True", "-quiet=False"}, "ejemplo.me", true, false, 5, 0},
	{{"-workers", "7"}, "ejemplo.me", false, true, 7, 0},
	{{"-workers=-7"}, "ejemplo.me", false, true, -7, 0},
	{{"-workers", "-1"}, "ejemplo.me", false, true, -1, 0},
	{{"-workers=+7"}, "ejemplo.me", false, true, 7, 0},
	{{"-workers=0"}, "ejemplo.me", false, true, 0, 0},
	{{"-workers=0x1F"}, "ejemplo.me", false, true, 31, 0},
	{{"-workers=0X_1f"}, "ejemplo.me", false, true, 31, 0},
	{{"-workers=010"}, "ejemplo.me", false, true, 8, 0},
	{{"-workers=0o10"}, "ejemplo.me", false, true, 8, 0},
	{{"-workers=-0b101"}, "ejemplo.me", false, true, -5, 0},
	{{"-workers=1_000"}, "ejemplo.me", false, true, 1000, 0},
	{{"-workers=0_7"}, "ejemplo.me", false, true, 7, 0},
	{{"-workers=2147483647"}, "ejemplo.me", false, true, 2147483647, 0},
	{{"-workers=-2147483648"}, "ejemplo.me", false, true, -2147483647 - 1, 0},
	{{"80", "-tls"}, "ejemplo.me", false, true, 5, 2},
	{{"-", "-tls"}, "ejemplo.me", false, true, 5, 2},
	{{"--", "-tls"}, "ejemplo.me", false, true, 5, 1},
	{{"-tls", "--"}, "ejemplo.me", true, true, 5, 0},
	{{"", "-tls"}, "ejemplo.me", false, true, 5, 2},
	{{"start", "-h"}, "ejemplo.me", false, true, 5, 2},
};

static void good_lines(void **state)
{
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		const struct good *g = &good[i];
		struct err err;
		int rest, argc;
		assert_int_equal(parse(g->args, &rest, &argc, &err), FLAGS_OK);
		assert_string_equal(domain, g->domain);
		assert_int_equal(tls, g->tls);
		assert_int_equal(quiet, g->quiet);
		assert_int_equal(workers, g->workers);
		assert_int_equal(argc - rest, g->left);
	}
}

static void bad_lines(void **state)
{
	static const struct {
		const char *args[MAX_ARGS + 1];
		const char *err;
	} bad[] = {
		{{"-badflag"}, "flag provided but not defined: -badflag"},
		{{"--badflag=3"}, "flag provided but not defined: -badflag"},
		{{"-tls", "-version", "x"}, "flag provided but not defined: -version"},
		{{"-Domain", "x"}, "flag provided but not defined: -Domain"},
		{{"-domai", "x"}, "flag provided but not defined: -domai"},
		{{"-domains", "x"}, "flag provided but not defined: -domains"},
		{{"-domain"}, "flag needs an argument: -domain"},
		{{"--workers"}, "flag needs an argument: -workers"},
		{{"-tls=zz"}, "invalid boolean value \"zz\" for -tls: parse error"},
		{{"-tls="}, "invalid boolean value \"\" for -tls: parse error"},
		{{"-tls=tRUE"}, "invalid boolean value \"tRUE\" for -tls: parse error"},
		{{"-workers=x"}, "invalid value \"x\" for flag -workers: parse error"},
		{{"-workers", "--"}, "invalid value \"--\" for flag -workers: parse error"},
		{{"-workers="}, "invalid value \"\" for flag -workers: parse error"},
		{{"-workers=-"}, "invalid value \"-\" for flag -workers: parse error"},
		{{"-workers=1.5"}, "invalid value \"1.5\" for flag -workers: parse error"},
		{{"-workers= 1"}, "invalid value \" 1\" for flag -workers: parse error"},
		{{"-workers=08"}, "invalid value \"08\" for flag -workers: parse error"},
		{{"-workers=0x"}, "invalid value \"0x\" for flag -workers: parse error"},
		{{"-workers=0b2"}, "invalid value \"0b2\" for flag -workers: parse error"},
		{{"-workers=_1"}, "invalid value \"_1\" for flag -workers: parse error"},
		{{"-workers=1_"}, "invalid value \"1_\" for flag -workers: parse error"},
		{{"-workers=1__0"}, "invalid value \"1__0\" for flag -workers: parse error"},
		{{"-workers=2147483648"},
		 "invalid value \"2147483648\" for flag -workers: value out of range"},
		{{"-workers=-2147483649"},
		 "invalid value \"-2147483649\" for flag -workers: value out of range"},
		{{"-workers=99999999999999999999"},
		 "invalid value \"99999999999999999999\" for flag -workers: value out of range"},
		{{"-workers=a\n\t\"\\\x01"},
		 "invalid value \"a\\n\\t\\\"\\\\\\x01\" for flag -workers: parse error"},
		{{"---x"}, "bad flag syntax: ---x"},
		{{"-=x"}, "bad flag syntax: -=x"},
		{{"--=x"}, "bad flag syntax: --=x"},
		{{"---"}, "bad flag syntax: ---"},
		{{"-domain=\xff"}, "argument 1 is not valid UTF-8"},
		{{"-domain", "\xc3"}, "argument 2 is not valid UTF-8"},
		{{"start", "a", "\xed\xa0\x80"}, "argument 3 is not valid UTF-8"},
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct err err;
		int rest, argc;
		assert_int_equal(parse(bad[i].args, &rest, &argc, &err), FLAGS_BAD);
		assert_string_equal(err.text, bad[i].err);
	}
}

static void long_values_fit_the_message(void **state)
{
	char arg[256] = "-workers=";
	struct err err;
	int rest, argc;

	memset(arg + 9, '\x01', sizeof(arg) - 10);
	assert_int_equal(parse((const char *[]){arg, NULL}, &rest, &argc, &err), FLAGS_BAD);
	assert_non_null(strstr(err.text, "\\x01\" for flag -workers: parse error"));
	memset(arg + 1, 'x', sizeof(arg) - 2);
	assert_int_equal(parse((const char *[]){arg, NULL}, &rest, &argc, &err), FLAGS_BAD);
	assert_int_equal(strlen(err.text),
			 strlen("flag provided but not defined: -") + sizeof(arg) - 2);
}

static void help_is_asked_for(void **state)
{
	static const char *const asks[] = {"-h", "--h", "-help", "--help", "-help=x"};
	static bool h;
	static const struct flag own[] = {{"h", FLAG_BOOL, &h, NULL, "Own", NULL}, {.name = NULL}};
	char *argv[] = {(char[]){"prog"}, (char[]){"-h"}, NULL};
	struct err err;
	int rest, argc;

	for (size_t i = 0; i < sizeof(asks) / sizeof(asks[0]); i++) {
		const char *args[] = {"-tls", asks[i], "-badflag", NULL};
		assert_int_equal(parse(args, &rest, &argc, &err), FLAGS_HELP);
	}
	assert_int_equal(flags_parse(own, 2, argv, &rest, &err), FLAGS_OK);
	assert_true(h);
}

static void given_tells_flag_from_default(void **state)
{
	struct err err;
	int rest, argc;
	const char *some[] = {"-domain=ejemplo.me", "-workers", "5", NULL};
	const char *none[] = {"80", NULL};

	assert_int_equal(parse(some, &rest, &argc, &err), FLAGS_OK);
	assert_true(domain_given && workers_given && !tls_given);
	assert_int_equal(parse(none, &rest, &argc, &err), FLAGS_OK);
	assert_false(domain_given || workers_given || tls_given);
}

static void usage_with_headings(void **state)
{
	static const char *s;
	static bool b;
	static int n;
	static const struct flag flags[] = {
		{"authtoken", FLAG_STRING, &s, "", "Authentication token for the service", NULL},
		{"config", FLAG_STRING, &s, NULL, "Path to the `file` with settings", NULL},
		{"", FLAG_INT, NULL, NULL, "Numbers:", NULL},
		{"n", FLAG_INT, &n, "0", "Count", NULL},
		{"workers", FLAG_INT, &n, "0x10", "Threads\nand more", NULL},
		{"tick", FLAG_INT, &n, NULL, "One ` alone", NULL},
		{"", FLAG_INT, NULL, NULL, "Others:", NULL},
		{"quiet", FLAG_BOOL, &b, "false", "Say nothing", NULL},
		{"quote", FLAG_STRING, &s, "a\"b\\\n", "Odd", NULL},
		{"serveraddr", FLAG_STRING, &s, "ejemplo.me:4443", "Server to \"dial\"", NULL},
		{"tls", FLAG_BOOL, &b, "true", "Use TLS", NULL},
		{"v", FLAG_BOOL, &b, NULL, "Verbose", NULL},
		{"x", FLAG_BOOL, &b, NULL, "One `word`", NULL},
		{.name = NULL},
	};
	static const char expect[] =
		"  -authtoken string\n    \tAuthentication token for the service\n"
		"  -config file\n    \tPath to the file with settings\n"
		"\nNumbers:\n"
		"  -n int\n    \tCount\n"
		"  -workers int\n    \tThreads\n    \tand more (default 16)\n"
		"  -tick int\n    \tOne ` alone\n"
		"\nOthers:\n"
		"  -quiet\n    \tSay nothing\n"
		"  -quote string\n    \tOdd (default \"a\\\"b\\\\\\n\")\n"
		"  -serveraddr string\n    \tServer to \"dial\" (default \"ejemplo.me:4443\")\n"
		"  -tls\n    \tUse TLS (default true)\n"
		"  -v\tVerbose\n"
		"  -x word\n    \tOne word\n";
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	flags_usage(flags, out);
	fclose(out);
	assert_string_equal(text, expect);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_lines),
		cmocka_unit_test(bad_lines),
		cmocka_unit_test(long_values_fit_the_message),
		cmocka_unit_test(help_is_asked_for),
		cmocka_unit_test(given_tells_flag_from_default),
		cmocka_unit_test(usage_with_headings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
