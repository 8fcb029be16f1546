/* What is said to a SOCKS proxy, and what is made of its answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "pgrok/uplink/socks.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define B(s) s, sizeof(s) - 1

static const struct socks plain = {.host = "a.example", .port = 4443};
static const struct socks login = {
	.user = "me", .password = "p w", .host = "10.1.2.3", .port = 258};
static const struct socks bare = {.user = "me", .host = "2001:db8::1", .port = 1};

#define NAME "\5\1\0\3\11a.example\x11\x5b"
#define V4 "\5\1\0\1\12\1\2\3\1\2"
#define V6 "\5\1\0\4\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1\0\1"

static const struct {
	const struct socks *as;
	const char *heard;
	size_t heard_len;
	const char *said;
	size_t said_len;
} good[] = {
	{&plain, B("\5\0\5\0\0\1\1\2\3\4\0\5"), B("\5\1\0" NAME)},
	{&plain, B("\5\0\5\0\0\3\1x\0\5"), B("\5\1\0" NAME)},
	{&plain, B("\5\0\5\0\7\3\0\0\5"), B("\5\1\0" NAME)},
	{&plain, B("\5\0\5\0\0\4ABCDEFGHIJKLMNOP\0\5"), B("\5\1\0" NAME)},
	/* It may do without the password that it was offered. */
	{&login, B("\5\0\5\0\0\1\1\2\3\4\0\5"), B("\5\2\0\2" V4)},
	{&login, B("\5\2\1\0\5\0\0\1\1\2\3\4\0\5"), B("\5\2\0\2\1\2me\3p w" V4)},
	{&bare, B("\5\2\1\0\5\0\0\1\1\2\3\4\0\5"), B("\5\2\0\2\1\2me\0" V6)},
};

static const struct {
	const struct socks *as;
	const char *heard;
	size_t heard_len;
	const char *error;
} bad[] = {
	{&plain, B("HTTP/1.1 400"), "SOCKS proxy: its answer is not SOCKS5"},
	{&plain, B("\4"), "SOCKS proxy: its answer is not SOCKS5"},
	{&plain, B("\5\xff"), "SOCKS proxy: it wants a user and password, or something else"},
	{&login, B("\5\xff"), "SOCKS proxy: it takes no user and password"},
	{&plain, B("\5\2"), "SOCKS proxy: it chose a way to log in that it was not offered"},
	{&login, B("\5\1"), "SOCKS proxy: it chose a way to log in that it was not offered"},
	{&login, B("\5\2\1\1"), "SOCKS proxy: user or password is wrong"},
	{&login, B("\5\2\5\0"), "SOCKS proxy: its answer to user and password is none"},
	{&plain, B("\5\0\4\0"), "SOCKS proxy: its answer is not SOCKS5"},
	{&plain, B("\5\0\5\1"), "SOCKS proxy: general failure"},
	{&plain, B("\5\0\5\2\0\1\0\0\0\0\0\0"), "SOCKS proxy: its rules forbid the connection"},
	{&plain, B("\5\0\5\5"), "SOCKS proxy: connection refused"},
	{&plain, B("\5\0\5\x08"), "SOCKS proxy: it does not know this kind of address"},
	{&plain, B("\5\0\5\x09"), "SOCKS proxy: unknown failure"},
	{&plain, B("\5\0\5\xff"), "SOCKS proxy: unknown failure"},
	{&plain, B("\5\0\5\0\0\2\1\2\3\4\0\5"),
	 "SOCKS proxy: its answer has an address of an unknown kind"},
};

/* Hears it in pieces of `step` bytes, from memory that ends where they end. */
static enum socks_rc talk(const struct socks *as, const char *heard, size_t len, size_t step,
			  struct text *say, size_t *left, struct err *err)
{
	struct socks s = *as;
	enum socks_rc rc = SOCKS_MORE;
	size_t from = 0, used;

	socks_begin(&s, say);
	for (size_t have = step; rc == SOCKS_MORE || rc == SOCKS_SAY;) {
		size_t to = have < len ? have : len;
		char *copy = malloc(to - from + 1);

		memcpy(copy, heard + from, to - from);
		copy = realloc(copy, to - from + !(to - from));
		rc = socks_hear(&s, copy, to - from, &used, say, err);
		free(copy);
		assert_in_range(used, 0, to - from);
		from += used;
		if (rc == SOCKS_MORE && to == len)
			break;
		if (rc == SOCKS_MORE)
			have += step;
	}
	*left = len - from;
	return rc;
}

static void accepts(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		for (size_t step = 1; step <= good[i].heard_len; step++) {
			struct text say = {.secret = true};
			struct err err;
			size_t left;

			assert_int_equal(talk(good[i].as, good[i].heard, good[i].heard_len, step,
					      &say, &left, &err),
					 SOCKS_DONE);
			assert_int_equal(left, 0);
			assert_int_equal(say.len, good[i].said_len);
			assert_memory_equal(say.p, good[i].said, say.len);
			text_free(&say);
		}
		/* Not before its last byte. */
		struct text say = {0};
		struct err err;
		size_t left;

		assert_int_equal(talk(good[i].as, good[i].heard, good[i].heard_len - 1, 1, &say,
				      &left, &err),
				 SOCKS_MORE);
		text_free(&say);
	}
}

static void refuses(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		for (size_t step = 1; step <= bad[i].heard_len; step++) {
			struct text say = {0};
			struct err err;
			size_t left;

			assert_int_equal(talk(bad[i].as, bad[i].heard, bad[i].heard_len, step, &say,
					      &left, &err),
					 SOCKS_BAD);
			assert_string_equal(err.text, bad[i].error);
			text_free(&say);
		}
	}
}

/* What is behind the last answer is not the proxy's. */
static void leaves_the_rest(void **state)
{
	struct text say = {0};
	struct err err;
	size_t left;

	assert_int_equal(talk(&plain, B("\5\0\5\0\0\1\1\2\3\4\0\5rest"), 100, &say, &left, &err),
			 SOCKS_DONE);
	assert_int_equal(left, 4);
	text_free(&say);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accepts),
		cmocka_unit_test(refuses),
		cmocka_unit_test(leaves_the_rest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
