/* Fuzzes addr_split, addr_port and addr_numeric: what they accept must come back from its text. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/addr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void check_split(const char *text)
{
	char host[256], port[256], again[520];
	const char *why = NULL;

	if (!addr_split(text, host, sizeof(host), port, sizeof(port), &why)) {
		must(why != NULL);
		return;
	}
	must(!strpbrk(host, "[]") && !strpbrk(port, "[]:"));
	/* Put together again it is the same text, brackets apart. */
	snprintf(again, sizeof(again), text[0] == '[' ? "[%s]:%s" : "%s:%s", host, port);
	must(strcmp(again, text) == 0);
	must(addr_port(port) <= 65535);
}

static void check_numeric(const char *text)
{
	struct addr a, b;
	char ip[ADDR_TEXT], full[ADDR_TEXT], host[ADDR_TEXT], port[8];
	const char *why;

	if (!addr_numeric(text, 65535, &a))
		return;
	must(addr_numeric(addr_ip_text(&a, ip), 1, &b));
	must(addr_same_ip(&a, &b));
	must(addr_is_loopback(&a) == addr_is_loopback(&b));
	addr_text(&a, full);
	must(addr_split(full, host, sizeof(host), port, sizeof(port), &why));
	must(strcmp(host, ip) == 0 && addr_port(port) == 65535);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = xstrndup((const char *)data, size);

	check_split(text);
	check_numeric(text);
	free(text);
	return 0;
}
