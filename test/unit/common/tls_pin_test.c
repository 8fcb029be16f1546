/* Unit tests of common/net/tls_pin: the syntax of pins. What a certificate's pin is: tls_test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/net/tls_pin.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define A "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define B "sha256//b+/9BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB="
#define C "sha256//CCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCC="

static const char *const good[] = {A, B, A ";" B, A ";" B ";" A};

static const char *const bad[] = {
	"",
	"sha256//",
	"sha256//AAAA",
	"sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
	"SHA256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
	"sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
	"sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
	"sha256//AAAAAAAAAAAAAAAAAAAAAAAA-_AAAAAAAAAAAAAAAAA=",
	A "x",
	A " ",
	A ";",
	";" A,
	A ";;" B,
	A ";" B ";",
	A ";sha256//",
};

static void test_syntax(void **state)
{
	for (size_t i = 0; i < COUNT(good); i++)
		assert_true(tls_pins_valid(good[i]));
	for (size_t i = 0; i < COUNT(bad); i++)
		if (tls_pins_valid(bad[i]))
			fail_msg("%s", bad[i]);
}

static void test_among(void **state)
{
	assert_true(tls_pin_among(A, A));
	assert_true(tls_pin_among(A, A ";" B));
	assert_true(tls_pin_among(B, A ";" B));
	assert_false(tls_pin_among(C, A ";" B));
	assert_false(tls_pin_among("", A)); /* no certificate was seen */
	assert_false(tls_pin_among(A ";" B, A ";" B));
}

static void test_no_certificate(void **state)
{
	char pin[TLS_PIN_TEXT] = "x";

	tls_pin_of(NULL, pin);
	assert_string_equal(pin, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_syntax),
		cmocka_unit_test(test_among),
		cmocka_unit_test(test_no_certificate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
