/* Unit tests of common/http/answer_head: what each kind of answer says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "common/http/answer_head.h"
#include "common/http/head.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct {
	struct answer_head head;
	const char *first;
	const char *has[6], *lacks[6];
} rows[] = {
	{{.status = 404, .mime = "text/plain", .length = 7},
	 "HTTP/1.1 404 Not Found\r\n",
	 {"Content-Type: text/plain", "Content-Length: 7", "Connection: close",
	  "Cache-Control: no-store", "style-src 'unsafe-inline'"},
	 {"script-src", "Transfer-Encoding"}},
	{{.status = 200, .content = ANSWER_APP, .keep = true, .cached = true},
	 "HTTP/1.1 200 OK\r\n",
	 {"Content-Length: 0", "Cache-Control: no-cache", "script-src 'self'",
	  "trusted-types 'none'"},
	 {"\nContent-Type:", "Connection:", "unsafe-inline"}},
	{{.status = 304, .keep = true, .length = 99, .extra = "ETag: \"x\"\r\n"},
	 "HTTP/1.1 304 Not Modified\r\n",
	 {"ETag: \"x\""},
	 {"Content-Length", "Connection:"}},
	{{.status = 204}, "HTTP/1.1 204 No Content\r\n", {NULL}, {"Content-Length"}},
	{{.status = 200, .end = ANSWER_CHUNKED, .keep = true},
	 "HTTP/1.1 200 OK\r\n",
	 {"Transfer-Encoding: chunked"},
	 {"Content-Length"}},
	{{.status = 200, .end = ANSWER_UNTIL_EOF},
	 "HTTP/1.1 200 OK\r\n",
	 {"Connection: close"},
	 {"Content-Length", "Transfer-Encoding"}},
	{{.status = 206,
	  .content = ANSWER_USER,
	  .length = UINT64_C(5000000000),
	  .keep = true,
	  .http10 = true},
	 "HTTP/1.1 206 Partial Content\r\n",
	 {"Content-Length: 5000000000", "Connection: keep-alive"},
	 {"Content-Security-Policy", "Referrer-Policy", "Cross-Origin-Resource-Policy"}},
};

static bool has_line(const char *head, const char *part)
{
	return strstr(head, part) != NULL;
}

static void test_rows(void **state)
{
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct text t = {0};
		struct http_head h = {0};

		answer_head(&t, &rows[i].head);
		assert_memory_equal(t.p, rows[i].first, strlen(rows[i].first));
		assert_int_equal(http_response_scan(&h, t.p, t.len), HTTP_OK);
		assert_int_equal(h.head_len, t.len);
		assert_true(has_line(t.p, "\r\nDate: "));
		for (size_t k = 0; k < COUNT(rows[i].has) && rows[i].has[k]; k++)
			if (!has_line(t.p, rows[i].has[k]))
				fail_msg("%s not in %s", rows[i].has[k], t.p);
		for (size_t k = 0; k < COUNT(rows[i].lacks) && rows[i].lacks[k]; k++)
			if (has_line(t.p, rows[i].lacks[k]))
				fail_msg("%s in %s", rows[i].lacks[k], t.p);
		text_free(&t);
	}
}

/* What is ours has the same fields, whatever it is. */
static void test_security(void **state)
{
	static const char *const fields[] = {
		"\r\nX-Content-Type-Options: nosniff\r\n",
		"\r\nReferrer-Policy: no-referrer\r\n",
		"\r\nCross-Origin-Resource-Policy: same-origin\r\n",
		"\r\nContent-Security-Policy: default-src 'none'; base-uri 'none'; ",
		"; frame-ancestors 'none'; ",
	};

	for (int content = ANSWER_PAGE; content <= ANSWER_USER; content++) {
		struct text t = {0};

		answer_head(&t, &(struct answer_head){.status = 200,
						      .content = (enum answer_content)content});
		for (size_t k = 0; k < COUNT(fields); k++)
			assert_int_equal(strstr(t.p, fields[k]) != NULL,
					 content != ANSWER_USER || k == 0);
		assert_int_equal(strstr(t.p, "form-action 'self'; ") != NULL,
				 content == ANSWER_FORM);
		assert_int_equal(strstr(t.p, "form-action 'none'; ") != NULL,
				 content == ANSWER_PAGE || content == ANSWER_APP);
		text_free(&t);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_security),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
