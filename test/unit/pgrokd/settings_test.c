/* Settings: loaded, kept, swapped on every worker, and freed with their last reference. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/net/tls.h"
#include "pgrokd/core/settings.h"
#include "test/unit/pgrokd/crew.h"

static char domain[] = "pgrok.example";
static char elsewhere[] = "elsewhere.example";
static char dir[64];

static int make_dir(void **state)
{
	snprintf(dir, sizeof(dir), "/tmp/settings_test.XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	static const char *const files[] = {"cert.pem", "key.pem", "key.pem.old", "log"};
	char path[96];

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
		unlink(path);
	}
	return rmdir(dir);
}

static struct config config = {.reserved = RESERVED_DEFAULT, .domain = domain};
static struct core core = {.config = &config};

/* state_dir NULL: a certificate that can't be kept. */
static struct settings *load(const struct settings *was, char *state_dir, struct err *err)
{
	config.domain = domain;
	config.state_dir = state_dir;
	core.on[PORT_HTTP] = core.on[PORT_HTTPS] = core.on[PORT_TUNNEL] = true;
	return settings_load(&core, &config, was, err);
}

static void pin_of(const struct settings *s, enum port p, char pin[static TLS_PIN_TEXT])
{
	tls_ctx_pin(s->tls[p], pin);
}

static void test_load(void **state)
{
	char pin[TLS_PIN_TEXT], again[TLS_PIN_TEXT];
	struct err err;
	struct settings *a = load(NULL, dir, &err);

	assert_non_null(a);
	assert_null(a->tls[PORT_HTTP]);
	assert_non_null(a->tls[PORT_HTTPS]);
	assert_ptr_not_equal(a->tls[PORT_HTTPS], a->tls[PORT_TUNNEL]);
	assert_false(a->tls_kept);

	/* Loaded again: another context of the same key. */
	struct settings *b = load(a, dir, &err);

	assert_non_null(b);
	assert_ptr_not_equal(a->tls[PORT_TUNNEL], b->tls[PORT_TUNNEL]);
	pin_of(a, PORT_TUNNEL, pin);
	pin_of(b, PORT_TUNNEL, again);
	assert_string_equal(pin, again);
	settings_unref(a);
	settings_unref(b);
}

/* Names that the certificate in `dir` has are reserved, those that its wildcard covers are not. */
static void test_reserved(void **state)
{
	struct config other = {.domain = elsewhere, .state_dir = dir, .reserved = "@cert,www"};
	struct core of_other = {.config = &other, .on = {[PORT_TUNNEL] = true}};
	struct err err;
	struct settings *s = load(NULL, dir, &err);

	settings_unref(s);
	s = settings_load(&of_other, &other, NULL, &err);
	assert_non_null(s);
	assert_true(reserved_has(s->reserved, elsewhere));
	assert_true(reserved_has(s->reserved, "www.elsewhere.example"));
	assert_true(reserved_has(s->reserved, domain));
	assert_false(reserved_has(s->reserved, "shop.pgrok.example"));
	settings_unref(s);
	other.reserved = "";
	s = settings_load(&of_other, &other, NULL, &err);
	assert_true(reserved_has(s->reserved, elsewhere));
	assert_false(reserved_has(s->reserved, domain));
	settings_unref(s);
}

static void test_ports_that_are_off(void **state)
{
	struct core only_tunnel = {.config = &config, .on = {[PORT_TUNNEL] = true}};
	struct err err;

	config.domain = domain;
	config.state_dir = dir;
	struct settings *s = settings_load(&only_tunnel, &config, NULL, &err);

	assert_non_null(s);
	assert_null(s->tls[PORT_HTTPS]);
	assert_non_null(s->tls[PORT_TUNNEL]);
	settings_unref(s);
}

/* A key in memory alone is not made a second time: clients have pinned it. */
static void test_kept(void **state)
{
	struct err err;
	struct settings *a = load(NULL, NULL, &err);

	assert_non_null(a);
	assert_true(a->tls_kept);
	struct settings *b = load(a, NULL, &err);

	assert_non_null(b);
	assert_true(b->tls_kept);
	for (int p = 0; p < PORTS; p++)
		assert_ptr_equal(a->tls[p], b->tls[p]);
	settings_unref(a);
	char pin[TLS_PIN_TEXT];

	pin_of(b, PORT_HTTPS, pin); /* still alive */
	settings_unref(b);
}

static void test_bad_file(void **state)
{
	char missing[96];
	struct err err = {""};

	snprintf(missing, sizeof(missing), "%s/none.pem", dir);
	config.tls_crt = config.tls_key = missing;
	assert_null(load(NULL, dir, &err));
	assert_non_null(strstr(err.text, "-tlsCrt"));
	assert_non_null(strstr(err.text, missing));
	config.tls_crt = config.tls_key = NULL;
	config.tunnel_client_ca = missing; /* the first context is there already */
	assert_null(load(NULL, dir, &err));
	assert_non_null(strstr(err.text, "-tunnelTLSClientCA"));
	config.tunnel_client_ca = NULL;
}

/* What is logged while settings are loaded. Into text. */
static void load_logged(char text[static 4096])
{
	char path[96];
	struct err err;

	snprintf(path, sizeof(path), "%s/log", dir);
	unlink(path); /* else it would be put aside */
	assert_true(log_open(path, "WARNING", &err));
	struct settings *s = load(NULL, dir, &err);

	log_close();
	assert_non_null(s);
	settings_unref(s);
	FILE *f = fopen(path, "r");

	assert_non_null(f);
	text[fread(text, 1, 4095, f)] = '\0';
	fclose(f);
}

/* The first port's note is not lost at the second, for which the pair is new and good. */
static void test_note_of_first_port(void **state)
{
	char path[96], text[4096];

	snprintf(path, sizeof(path), "%s/key.pem", dir);
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs("no key", f);
	fclose(f);
	load_logged(text);
	assert_non_null(strstr(text, "key.pem was unusable"));
	load_logged(text);
	assert_string_equal(text, "");
}

/* One that browsers will refuse is warned of, once. */
static void test_doubtful_certificate(void **state)
{
	char cert[96], key[96], text[4096];
	struct err err;

	config.tls_crt = config.tls_key = NULL;
	config.domain = elsewhere;
	settings_unref(load(NULL, dir, &err)); /* for domain */
	snprintf(cert, sizeof(cert), "%s/cert.pem", dir);
	snprintf(key, sizeof(key), "%s/key.pem", dir);
	config.tls_crt = cert;
	config.tls_key = key;
	load_logged(text);
	assert_string_equal(text, "");
	domain[0] = 'q';
	load_logged(text);
	domain[0] = 'p';
	config.tls_crt = config.tls_key = NULL;
	const char *said = strstr(text, "cert.pem is not for names below qgrok.example");

	assert_non_null(said);
	assert_null(strstr(said + 20, "is not for names"));
}

static void test_swap(void **state)
{
	struct crew crew;
	struct err err;
	struct settings *a = load(NULL, dir, &err), *b = load(NULL, dir, &err);

	assert_true(a && b);
	crew_make(&crew, a);
	assert_int_equal(atomic_load(&a->refs), 1 + CREW);
	settings_publish(&crew.core, b);
	/* Not before the workers' own threads take it. */
	for (int i = 0; i < CREW; i++)
		assert_ptr_equal(crew.worker[i].settings, a);
	crew_run(&crew);
	for (int i = 0; i < CREW; i++)
		assert_ptr_equal(crew.worker[i].settings, b);
	assert_int_equal(atomic_load(&a->refs), 1);
	assert_int_equal(atomic_load(&b->refs), 1 + CREW);
	crew_free(&crew);
	assert_int_equal(atomic_load(&b->refs), 1);
	settings_unref(a);
	settings_unref(b);
}

/* Under way when the workers ended: the references come back. */
static void test_too_late(void **state)
{
	struct crew crew;
	struct err err;
	struct settings *a = load(NULL, dir, &err), *b = load(NULL, dir, &err);

	assert_true(a && b);
	crew_make(&crew, a);
	settings_publish(&crew.core, b);
	crew_free(&crew);
	assert_int_equal(atomic_load(&a->refs), 1);
	assert_int_equal(atomic_load(&b->refs), 1);
	settings_unref(a);
	settings_unref(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_note_of_first_port),
		cmocka_unit_test(test_doubtful_certificate),
		cmocka_unit_test(test_load),
		cmocka_unit_test(test_reserved),
		cmocka_unit_test(test_ports_that_are_off),
		cmocka_unit_test(test_kept),
		cmocka_unit_test(test_bad_file),
		cmocka_unit_test(test_swap),
		cmocka_unit_test(test_too_late),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
