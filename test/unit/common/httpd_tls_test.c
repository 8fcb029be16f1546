/* httpd over TLS: answers, a certificate that changes, cookies that stay there, plain HTTP. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/net/tls.h"
#include "test/unit/common/httpd_far.h"

static void on_any(void *arg, struct httpd_req *r)
{
	httpd_text(r, 200, "any");
}

static const struct httpd_route routes[] = {{"GET", "/*", on_any}, {NULL, NULL, NULL}};

/* A key of its own each time. */
static SSL_CTX *context(char pin[static TLS_PIN_TEXT])
{
	struct tls_server_conf conf = {.domain = "a.test"};
	struct err err;
	char note[256];
	SSL_CTX *ctx = tls_server_ctx(&conf, note, &err);

	assert_non_null(ctx);
	tls_ctx_pin(ctx, pin);
	return ctx;
}

/* The answer to one request; NULL: the server's key is not the one of pin. */
static const char *ask_tls(uint16_t port, const char *pin, const char *path)
{
	static char answer[4096];
	struct tls_client_conf conf = {.pin = pin};
	char request[256], seen[TLS_PIN_TEXT];
	int fd = far_dial(port), n, len = 0;
	struct err err;
	SSL_CTX *ctx = tls_client_ctx(&conf, &err);
	SSL *ssl = tls_connect_ssl(ctx, &conf, "127.0.0.1");
	bool right;

	snprintf(request, sizeof(request),
		 "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", path);
	assert_int_equal(SSL_set_fd(ssl, fd), 1);
	assert_int_equal(SSL_connect(ssl), 1);
	right = tls_check_server(ssl, &conf, seen, &err);
	assert_int_equal(SSL_write(ssl, request, (int)strlen(request)), (int)strlen(request));
	while (len < (int)sizeof(answer) - 1 &&
	       (n = SSL_read(ssl, answer + len, (int)sizeof(answer) - 1 - len)) > 0)
		len += n;
	answer[len] = '\0';
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	close(fd);
	return right ? answer : NULL;
}

struct change {
	struct loop_msg msg;
	struct server *server;
	SSL_CTX *ctx;
};

static void on_change(struct loop_msg *m, struct loop *l)
{
	struct change *c = (struct change *)m;

	httpd_set_tls(c->server->h, c->ctx);
	free(c);
}

static void drop_change(struct loop_msg *m)
{
	free((struct change *)m);
}

static void test_tls(void **state)
{
	char first_pin[TLS_PIN_TEXT], second_pin[TLS_PIN_TEXT], plain[16] = "";
	SSL_CTX *first = context(first_pin), *second = context(second_pin);
	struct httpd_config conf = {
		.name = "web", .routes = routes, .token = "t0", .token_local = true, .tls = first};
	struct change *c = xcalloc(1, sizeof(*c));
	struct server s;
	const char *answer;

	server_start(&s, &conf);
	SSL_CTX_free(first); /* it has a reference of its own */
	server_run(&s);
	answer = ask_tls(s.port, first_pin, "/");
	assert_non_null(strstr(answer, "HTTP/1.1 401 "));
	answer = ask_tls(s.port, first_pin, "/x?token=t0");
	assert_non_null(strstr(answer, "HTTP/1.1 303 "));
	assert_non_null(strstr(answer, "; HttpOnly; SameSite=Lax; Secure\r\n"));
	*c = (struct change){{.deliver = on_change, .drop = drop_change}, &s, second};
	loop_post(s.loop, &c->msg);
	answer = ask_tls(s.port, second_pin, "/");
	assert_non_null(answer);
	assert_non_null(strstr(answer, "HTTP/1.1 401 "));
	assert_null(ask_tls(s.port, first_pin, "/"));

	int fd = far_dial(s.port);

	far_say(fd, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
	(void)!recv(fd, plain, sizeof(plain) - 1, MSG_WAITALL);
	assert_null(strstr(plain, "HTTP/"));
	close(fd);
	server_stop(&s);
	SSL_CTX_free(second);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_tls)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
