/* The ReqTunnels of a control connection: what is owed, what a refusal is about. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "pgrok/uplink/requests.h"

static char addr[] = "127.0.0.1:80";
static const struct config_tunnel web = {
	.local = {[PROTO_HTTP] = {.text = addr}, [PROTO_HTTPS] = {.text = addr}}};
static const struct config_tunnel ssh = {.local = {[PROTO_TCP] = {.text = addr}}};

static void counts_what_is_owed(void **state)
{
	struct requests all = {0};
	struct request *r = requests_add(&all, &web, false);

	assert_int_equal(all.owed, 2);
	(void)requests_add(&all, &ssh, false);
	assert_int_equal(all.owed, 3);
	assert_true(requests_ask_for(&all, &web));

	r = &all.list[0];
	requests_answer(&all, r, PROTO_HTTPS);
	assert_int_equal(all.owed, 2);
	assert_false(requests_complete(r));
	/* The same answer twice is one. */
	requests_answer(&all, r, PROTO_HTTPS);
	assert_int_equal(all.owed, 2);
	requests_answer(&all, r, PROTO_HTTP);
	assert_true(requests_complete(r));
	assert_int_equal(all.owed, 1);

	requests_forget(&all, r);
	assert_int_equal(all.owed, 1);
	assert_false(requests_ask_for(&all, &web));
	assert_true(requests_ask_for(&all, &ssh));
	requests_forget_tunnel(&all, &ssh);
	assert_int_equal(all.owed, 0);
	assert_int_equal(all.n, 0);
	requests_free(&all);
}

static void forgets_all_of_a_tunnel(void **state)
{
	struct requests all = {0};

	(void)requests_add(&all, &ssh, false);
	(void)requests_add(&all, &web, false);
	(void)requests_add(&all, &ssh, true);
	(void)requests_add(&all, &ssh, true);
	requests_forget_tunnel(&all, &ssh);
	assert_int_equal(all.n, 1);
	assert_int_equal(all.owed, 2);
	assert_true(requests_ask_for(&all, &web));
	requests_free(&all);
}

static void finds_by_id(void **state)
{
	struct requests all = {0};

	(void)requests_add(&all, &web, false);
	(void)requests_add(&all, &ssh, false);
	assert_string_not_equal(all.list[0].id, all.list[1].id);
	for (size_t i = 0; i < all.n; i++) {
		assert_int_equal(strlen(all.list[i].id), 16);
		assert_ptr_equal(requests_find(&all, all.list[i].id), &all.list[i]);
	}
	assert_null(requests_find(&all, ""));
	assert_null(requests_find(&all, "0123456789abcdef0"));
	requests_free(&all);
}

/* A refusal that names its id is about that one; it is the orderer's alone if there is one. */
static void refuses_by_id(void **state)
{
	struct requests all = {0};

	(void)requests_add(&all, &web, false);
	(void)requests_add(&all, &ssh, true);
	assert_null(requests_refused(&all, all.list[0].id));
	assert_ptr_equal(requests_refused(&all, all.list[1].id), &all.list[1]);
	requests_free(&all);
}

/* One without an id is about the last order, unless the command line's tunnels are owed, too. */
static void refuses_without_id(void **state)
{
	struct requests all = {0};

	assert_null(requests_refused(&all, ""));
	(void)requests_add(&all, &ssh, false);
	(void)requests_add(&all, &ssh, true);
	assert_null(requests_refused(&all, ""));
	requests_answer(&all, &all.list[0], PROTO_TCP);
	assert_ptr_equal(requests_refused(&all, ""), &all.list[1]);
	(void)requests_add(&all, &web, true);
	assert_ptr_equal(requests_refused(&all, ""), &all.list[2]);
	requests_answer(&all, &all.list[2], PROTO_HTTP);
	requests_answer(&all, &all.list[2], PROTO_HTTPS);
	assert_ptr_equal(requests_refused(&all, ""), &all.list[1]);
	requests_answer(&all, &all.list[1], PROTO_TCP);
	assert_null(requests_refused(&all, ""));
	requests_free(&all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_what_is_owed), cmocka_unit_test(forgets_all_of_a_tunnel),
		cmocka_unit_test(finds_by_id),         cmocka_unit_test(refuses_by_id),
		cmocka_unit_test(refuses_without_id),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
