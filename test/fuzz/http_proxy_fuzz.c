/*
 * Fuzzes the URL of a proxy and the list of who is exempt. Input: the URL, a NUL, the list, a NUL,
 * a host. What is said to the proxy is one request, whatever the URL held.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "pgrok/uplink/http_proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good)
{
	if (!good)
		abort();
}

/* The next text of the input; "" behind its end. Owned. */
static char *next_text(const uint8_t **data, size_t *size)
{
	const uint8_t *end = memchr(*data, '\0', *size);
	size_t len = end ? (size_t)(end - *data) : *size;
	char *text = xstrndup((const char *)*data, len);

	len += end != NULL;
	*data += len;
	*size -= len;
	return text;
}

/* So many lines, each with its CRLF and without anything else that is none of a line. */
static void check_request(const struct http_proxy *p)
{
	char *request = http_proxy_request(p, "t.test:4443");
	const char *at = request;
	int lines = 0;

	check(strncmp(request, "CONNECT t.test:4443 HTTP/1.1\r\n", 30) == 0);
	for (size_t n; *at; at += n + 2, lines++) {
		for (n = 0; at[n] != '\r'; n++)
			check((unsigned char)at[n] >= ' ' && (unsigned char)at[n] < 0x7f);
		check(at[n + 1] == '\n' && (n || !at[2]));
	}
	check(lines == (p->credentials ? 5 : 4));
	free(request);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *url = next_text(&data, &size), *list = next_text(&data, &size);
	char *host = next_text(&data, &size), *copy = xstrdup(list);
	struct err err = {""};
	struct http_proxy p;

	if (http_proxy_parse(&p, url, &err)) {
		check(p.host && *p.host && p.port);
		check_request(&p);
		http_proxy_free(&p);
	} else {
		check(*err.text && !p.host && !p.credentials);
	}
	bool exempt = no_proxy_match(list, host, 443);

	check(strcmp(list, copy) == 0);
	if (strcmp(list, "*") == 0)
		check(exempt);
	check(!no_proxy_match("", host, 443));
	free(copy);
	free(host);
	free(list);
	free(url);
	return 0;
}
