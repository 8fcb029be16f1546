/* The pair a server makes itself: kept, repaired, in memory, raced for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/net/tls.h"

static char dir[64];

/* A file in the test's folder; the same name gives the same pointer, for the whole run. */
static const char *path(const char *name)
{
	static char known[32][128];
	char whole[128];
	int i = 0;

	snprintf(whole, sizeof(whole), "%s/%s", dir, name);
	while (known[i][0] && strcmp(known[i], whole) != 0)
		assert_true(++i < 32);
	strcpy(known[i], whole);
	return known[i];
}

static int setup(void **state)
{
	strcpy(dir, "/tmp/tls_test.XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	char cmd[128];

	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", dir);
	return system(cmd) ? -1 : 0;
}

static SSL_CTX *selfsigned(const char *state_dir, const char *domain, char note[static 256])
{
	struct tls_server_conf c = {.state_dir = state_dir, .domain = domain};
	struct err err;
	SSL_CTX *ctx = tls_server_ctx(&c, note, &err);

	if (!ctx)
		fail_msg("%s", err.text);
	return ctx;
}

static mode_t mode_of(const char *file)
{
	struct stat st;

	assert_int_equal(stat(file, &st), 0);
	return st.st_mode & 07777;
}

static void test_selfsigned_persists(void **state)
{
	char d[128], key[256], cert[256], note[256], pin[2][TLS_PIN_TEXT];
	mode_t before = umask(0);
	SSL_CTX *ctx;
	X509 *x;

	snprintf(d, sizeof(d), "%s", path("state"));
	snprintf(key, sizeof(key), "%s/key.pem", d);
	snprintf(cert, sizeof(cert), "%s/cert.pem", d);
	ctx = selfsigned(d, "pgrok.example", note);
	assert_string_equal(note, "");
	tls_ctx_pin(ctx, pin[0]);
	assert_int_equal(mode_of(d), 0700);
	assert_int_equal(mode_of(key), 0600);
	x = SSL_CTX_get0_certificate(ctx);
	assert_int_equal(X509_get_version(x), X509_VERSION_3);
	assert_int_equal(X509_check_host(x, "pgrok.example", 0, 0, NULL), 1);
	assert_int_equal(X509_check_host(x, "a.pgrok.example", 0, 0, NULL), 1);
	assert_int_equal(X509_check_host(x, "a.example", 0, 0, NULL), 0);
	assert_int_equal(ASN1_STRING_length(X509_get0_serialNumber(x)), 16);
	assert_true(X509_verify(x, X509_get0_pubkey(x)) == 1);
	SSL_CTX_free(ctx);

	ctx = selfsigned(d, "pgrok.example", note);
	assert_string_equal(note, "");
	tls_ctx_pin(ctx, pin[1]);
	assert_string_equal(pin[0], pin[1]);
	SSL_CTX_free(ctx);

	/* another domain: the same pair, and a note */
	ctx = selfsigned(d, "else.example", note);
	tls_ctx_pin(ctx, pin[1]);
	assert_string_equal(pin[0], pin[1]);
	assert_non_null(strstr(note, "another domain than else.example"));
	SSL_CTX_free(ctx);
	umask(before);
}

/* A crash between the two files, a certificate of another key: the key, and so the pin, stays. */
static void test_selfsigned_repairs(void **state)
{
	char d[128], key[256], cert[256], old[256], note[256], pin[2][TLS_PIN_TEXT];
	char stale[256];
	SSL_CTX *ctx;
	FILE *f;

	snprintf(d, sizeof(d), "%s", path("repair"));
	snprintf(key, sizeof(key), "%s/key.pem", d);
	snprintf(cert, sizeof(cert), "%s/cert.pem", d);
	snprintf(old, sizeof(old), "%s/key.pem.old", d);
	ctx = selfsigned(d, "pgrok.example", note);
	tls_ctx_pin(ctx, pin[0]);
	SSL_CTX_free(ctx);

	assert_int_equal(unlink(cert), 0);
	ctx = selfsigned(d, "new.example", note);
	assert_string_equal(note, "");
	tls_ctx_pin(ctx, pin[1]);
	assert_string_equal(pin[0], pin[1]);
	assert_int_equal(X509_check_host(SSL_CTX_get0_certificate(ctx), "new.example", 0, 0, NULL),
			 1);
	SSL_CTX_free(ctx);

	SSL_CTX_free(selfsigned(path("stale"), "new.example", note));
	snprintf(stale, sizeof(stale), "%s/cert.pem", path("stale"));
	assert_int_equal(rename(stale, cert), 0);
	ctx = selfsigned(d, "new.example", note);
	tls_ctx_pin(ctx, pin[1]);
	assert_string_equal(pin[0], pin[1]);
	SSL_CTX_free(ctx);

	/* a broken key is put aside, and the operator told of the new pin */
	f = fopen(key, "w");
	fputs("-----BEGIN ENCRYPTED PRIVATE KEY-----\n", f);
	fclose(f);
	ctx = selfsigned(d, "new.example", note);
	assert_non_null(strstr(note, "new pin"));
	tls_ctx_pin(ctx, pin[1]);
	assert_string_not_equal(pin[0], pin[1]);
	assert_int_equal(access(old, F_OK), 0);
	assert_int_equal(mode_of(key), 0600);
	SSL_CTX_free(ctx);
}

static void test_selfsigned_in_memory(void **state)
{
	char note[256];
	SSL_CTX *ctx = selfsigned(NULL, "127.0.0.1", note);

	assert_non_null(strstr(note, "pin will change"));
	assert_int_equal(X509_check_ip_asc(SSL_CTX_get0_certificate(ctx), "127.0.0.1", 0), 1);
	SSL_CTX_free(ctx);
	/* a file where the folder should be: true for root as well */
	ctx = selfsigned(path("repair/cert.pem"), "a", note);
	assert_non_null(strstr(note, "pin will change"));
	SSL_CTX_free(ctx);
	ctx = selfsigned(
		NULL, "a-name-of-more-than-64-characters.a-name-of-more-than-64-characters.example",
		note);
	SSL_CTX_free(ctx);
	ctx = selfsigned(NULL, NULL, note);
	SSL_CTX_free(ctx);
}

/* Servers that start at the same time end with one pair, which all of them use. */
static void test_selfsigned_race(void **state)
{
	enum { N = 6 };
	char d[128], note[256], pin[N + 1][TLS_PIN_TEXT];
	int out[N][2];

	snprintf(d, sizeof(d), "%s", path("race"));
	for (int i = 0; i < N; i++) {
		pid_t pid;

		assert_int_equal(pipe(out[i]), 0);
		pid = fork();
		if (pid == 0) {
			SSL_CTX *ctx = selfsigned(d, "a", note);

			tls_ctx_pin(ctx, pin[i]);
			_exit(write(out[i][1], pin[i], TLS_PIN_TEXT) != TLS_PIN_TEXT);
		}
		close(out[i][1]);
	}
	for (int i = 0; i < N; i++) {
		assert_int_equal(read(out[i][0], pin[i], TLS_PIN_TEXT), TLS_PIN_TEXT);
		close(out[i][0]);
		assert_string_equal(pin[i], pin[0]);
	}
	while (wait(NULL) > 0)
		;
	SSL_CTX *ctx = selfsigned(d, "a", note);
	tls_ctx_pin(ctx, pin[N]);
	assert_string_equal(pin[N], pin[0]);
	SSL_CTX_free(ctx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_selfsigned_persists),
		cmocka_unit_test(test_selfsigned_repairs),
		cmocka_unit_test(test_selfsigned_in_memory),
		cmocka_unit_test(test_selfsigned_race),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
