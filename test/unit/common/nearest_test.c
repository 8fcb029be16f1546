/* Which word was meant. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/base/nearest.h"

static void finds_the_word_meant(void **state)
{
	static const char *const words[] = {"tunnels", "server_addr", "server_pin", "tls", NULL};
	static const struct {
		const char *typed, *meant;
	} cases[] = {
		{"tunels", "tunnels"},
		{"Tunnels", "tunnels"},
		{"tunnesl", "tunnels"},
		{"server_address", "server_addr"},
		{"serveraddr", "server_addr"},
		{"tsl", "tls"},
		{"region", NULL},
		{"x", NULL},
		{"", NULL},
		{"tunnels_tunnels_tunnels_tunnels_tunnels_x", NULL},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct nearest n = {.word = cases[i].typed};

		for (size_t k = 0; words[k]; k++)
			nearest_try(&n, words[k]);
		if (cases[i].meant)
			assert_string_equal(n.best, cases[i].meant);
		else
			assert_null(n.best);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(finds_the_word_meant)};

	return cmocka_run_group_tests_name("nearest", tests, NULL, NULL);
}
