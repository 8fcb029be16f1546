/* Tests of the server's options and of public names. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pgrokd/config/config.h"
#include "pgrokd/names/name.h"
#include "pgrokd/names/reserved.h"

static struct err err;

/* A domain, which there must be, and up to three arguments. */
static enum config_rc parse(struct config *c, const char *a, const char *b, const char *d)
{
	char prog[] = "pgrokd", domain[] = "-domain=pgrok.me";
	char *args[3] = {a ? xstrdup(a) : NULL, b ? xstrdup(b) : NULL, d ? xstrdup(d) : NULL};
	char *argv[6] = {prog, domain, args[0], args[1], args[2], NULL};
	static char *kept[64][3]; /* the config borrows them */
	static int n;
	int argc = 2 + !!a + !!b + !!d;

	for (int i = 0; i < 3; i++) {
		free(kept[n % 64][i]); /* of a config that has gone long ago */
		kept[n % 64][i] = args[i];
	}
	n++;
	err.text[0] = '\0';
	return config_parse(c, argc, argv, &err);
}

static void defaults(void **state)
{
	struct config c;

	unsetenv("VHOST");
	unsetenv("REGISTRY_CACHE_FILE");
	setenv("STATE_DIRECTORY", "/var/lib/pgrokd:/other", 1);
	assert_int_equal(parse(&c, NULL, NULL, NULL), CONFIG_OK);
	assert_string_equal(c.domain, "pgrok.me");
	assert_string_equal(c.http_addr, ":80");
	assert_string_equal(c.https_addr, ":443");
	assert_string_equal(c.tunnel_addr, ":4443");
	assert_string_equal(c.log, "stdout");
	assert_string_equal(c.log_level, "INFO");
	assert_string_equal(c.tcp_host, "");
	assert_string_equal(c.state_dir, "/var/lib/pgrokd");
	assert_int_equal(c.tcp_port_min, 1024);
	assert_int_equal(c.tcp_port_random, LIMIT_PORT_RANDOM);
	assert_int_equal(c.tcp_port_max, 65535);
	assert_string_equal(c.reserved, RESERVED_DEFAULT);
	assert_int_equal(c.engine, ENGINE_DIRECT);
	assert_true(c.workers >= 1);
	assert_null(c.vhost);
	assert_null(c.cache_file);
	assert_null(c.tls_crt);
	config_free(&c);
}

static void values(void **state)
{
	struct config c;

	setenv("VHOST", "Public.Example:77", 1);
	assert_int_equal(parse(&c, "-domain=PGrok.ME", "-tcpPorts=2000-3000", "-tcpAddr=::1"),
			 CONFIG_OK);
	assert_string_equal(c.domain, "pgrok.me");
	assert_int_equal(c.tcp_port_min, 2000);
	assert_int_equal(c.tcp_port_random, 2000);
	assert_int_equal(c.tcp_port_max, 3000);
	assert_string_equal(c.tcp_host, "[::1]");
	assert_string_equal(c.vhost, "public.example:77");
	config_free(&c);
	unsetenv("VHOST");
	assert_int_equal(parse(&c, "-httpAddr=", "--workers", "3"), CONFIG_OK);
	assert_string_equal(c.http_addr, "");
	assert_int_equal(c.workers, 3);
	config_free(&c);
}

static void proxies(void **state)
{
	struct config c;
	struct addr a;

	assert_int_equal(parse(&c, "-proxyProtocol=", "-trustedProxies=", NULL), CONFIG_OK);
	assert_null(c.trusted);
	assert_false(c.proxy_heads[0] || c.proxy_heads[1] || c.proxy_heads[2]);
	config_free(&c);
	assert_int_equal(parse(&c, "-proxyProtocol=HTTPS, tunnel", "-trustedProxies=::1,10.0.0.0/8",
			       NULL),
			 CONFIG_OK);
	assert_true(addr_numeric("10.1.1.1", 1, &a));
	assert_true(nets_have(c.trusted, &a));
	assert_true(!c.proxy_heads[0] && c.proxy_heads[1] && c.proxy_heads[2]);
	config_free(&c);
	assert_int_equal(parse(&c, "-proxyProtocol=all", "-trustedProxies=::1", NULL), CONFIG_OK);
	assert_true(c.proxy_heads[0] && c.proxy_heads[1] && c.proxy_heads[2]);
	config_free(&c);
}

static void refused(void **state)
{
	static const struct {
		const char *arg, *names;
	} bad[] = {
		{"-httpAddr=foo", "-httpAddr: address foo: missing port in address"},
		{"-httpsAddr=:99999", "-httpsAddr"},
		{"-tunnelAddr=", "-tunnelAddr"},
		{"-workers=65", "-workers"},
		{"-workers=-1", "-workers"},
		{"-engine=warp", "-engine: 'warp' is neither direct nor bufferevent"},
		{"-muxMemory=0", "-muxMemory: 0 is not at least 1"},
		{"-log-max=-1", "-log-max: -1 is not at least 0"},
		{"-log-format=xml", "-log-format"},
		{"-tcpAddr=localhost", "-tcpAddr"},
		{"-tcpPorts=3000", "-tcpPorts"},
		{"-tcpPorts=3000-2000", "-tcpPorts"},
		{"-tcpPorts=0-10", "-tcpPorts"},
		{"-tcpPorts=1-65536", "-tcpPorts"},
		{"-tcpPorts=1-2-3", "-tcpPorts"},
		{"-namesKeep=90", "-namesKeep: '90' is not a time"},
		{"-namesKeep=31d", "-namesKeep"},
		{"-namesKeep=-1s", "-namesKeep"},
		{"-namesKeep=1sx", "-namesKeep"},
		{"-namesKeep=99999999s", "-namesKeep"},
		{"-reserved=www,a/b", "-reserved: 'a/b'"},
		{"-reserved=WWW", "-reserved"},
		{"-trustedProxies=10.0.0.0/8 10.0.0.1:80", "-trustedProxies: '10.0.0.1:80'"},
		{"-trustedProxies=10.0.0.1/8", "-trustedProxies: '10.0.0.1/8' is an address"},
		{"-proxyProtocol=https,smtp", "-proxyProtocol: 'smtp' is none of http"},
		{"-proxyProtocol=https", "-proxyProtocol needs -trustedProxies"},
		{"-tlsCrt=x", "-tlsKey"},
		{"-tlsKey=x", "-tlsCrt"},
		{"-domain=a b", "-domain"},
		{"-domain=a:80", "-domain"},
		{"-domain=", "no domain: -domain="},
	};
	struct config c;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(parse(&c, bad[i].arg, NULL, NULL), CONFIG_BAD);
		assert_non_null(strstr(err.text, bad[i].names));
		config_free(&c);
	}
	assert_int_equal(parse(&c, "-dripOnHttps", "-httpsAddr=", NULL), CONFIG_BAD);
	assert_non_null(strstr(err.text, "-dripOnHttps: there is no -httpsAddr"));
	config_free(&c);
	assert_int_equal(parse(&c, "-dripOnHttps", "-tunnelTLSClientCA=x", NULL), CONFIG_BAD);
	assert_non_null(strstr(err.text, "-dripOnHttps: clients would come there without"));
	config_free(&c);
	setenv("VHOST", "a/b", 1);
	assert_int_equal(parse(&c, NULL, NULL, NULL), CONFIG_BAD);
	assert_non_null(strstr(err.text, "VHOST"));
	config_free(&c);
	unsetenv("VHOST");
	assert_int_equal(parse(&c, "-nope", NULL, NULL), CONFIG_USAGE);
	assert_non_null(strstr(err.text, "-nope"));
	config_free(&c);
	assert_int_equal(parse(&c, "-h", NULL, NULL), CONFIG_HELP);
	config_free(&c);
}

/* ---- the file ---- */

static char file[] = "/tmp/config_test.XXXXXX";
static char of_file[64];

static int make_file(void **state)
{
	int fd = mkstemp(file);

	snprintf(of_file, sizeof(of_file), "-config=%s", file);
	return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
	return unlink(file);
}

/* The file with this text, then an argument (NULL: none). */
static enum config_rc parse_file(struct config *c, const char *text, const char *arg)
{
	FILE *f = fopen(file, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	return parse(c, of_file, arg, NULL);
}

static void file_values(void **state)
{
	struct config c;

	assert_int_equal(parse_file(&c,
				    "httpAddr: 127.0.0.1:8000\nhttpsAddr: ''\nworkers: 3\n"
				    "mux: no\nlog-level: debug\ntcpPorts: 20000-20010\n"
				    "reserved: admin\ndomain: other.example\n",
				    NULL),
			 CONFIG_OK);
	assert_string_equal(c.http_addr, "127.0.0.1:8000");
	assert_string_equal(c.https_addr, "");
	assert_string_equal(c.tunnel_addr, ":4443");
	assert_string_equal(c.reserved, "admin");
	assert_string_equal(c.domain, "pgrok.me"); /* a flag beats it */
	assert_int_equal(c.workers, 3);
	assert_int_equal(c.tcp_port_max, 20010);
	assert_false(c.mux);
	config_free(&c);
	assert_int_equal(parse_file(&c, "workers: 3\nmux: false\n", "-workers=2"), CONFIG_OK);
	assert_int_equal(c.workers, 2);
	assert_false(c.mux);
	config_free(&c);
	assert_int_equal(parse_file(&c, "", "-check"), CONFIG_OK);
	assert_true(c.check);
	assert_int_equal(c.workers > 0, 1);
	config_free(&c);
}

static void file_refused(void **state)
{
	static const struct {
		const char *text, *names;
	} bad[] = {
		{"\nworkers: 65\n", ":2: workers: 65 is not from 1 to 64"},
		{"workers: many\n", ":1: workers: many is not a whole number"},
		{"mux: perhaps\n", ":1: mux: true or false is wanted"},
		{"log-level: LOUD\n", ":1: log-level: 'LOUD' is none of"},
		{"httpaddr: :80\n", ":1: httpaddr: unknown key; did you mean httpAddr?"},
		{"mux: true\nmux: false\n", ":2: mux: this key came before"},
		{"tlsCrt:\n", ":1: tlsCrt: a value is wanted"},
		{"tlsCrt: x\n", "-tlsCrt and -tlsKey"},
		{"config: x\n", ":1: config: unknown key"},
		{"version: true\n", ":1: version: unknown key"},
		{"workers: {\n", "line 2"},
		{"limits:\n  visitorRate: -1\n",
		 ":2: limits.visitorRate: -1 is not from 0 to 1000000"},
		{"limits: {visitorRate: fast}\n",
		 ":1: limits.visitorRate: fast is not a whole number"},
		{"limits: {visitorrate: 1}\n", ":1: limits.visitorrate: unknown key; did you mean"},
		{"limits: {workers: 1}\n", ":1: limits.workers: unknown key"},
		{"limits: 3\n", ":1: limits: a mapping (key: value) is wanted"},
		{"visitorRate: 1\n", ":1: visitorRate: unknown key"},
		{"[]\n", ":1: a mapping (key: value) is wanted"},
	};
	struct config c;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(parse_file(&c, bad[i].text, NULL), CONFIG_BAD);
		assert_non_null(strstr(err.text, bad[i].names));
		config_free(&c);
	}
	/* What a flag says is the flag's fault, though the file says something, too. */
	assert_int_equal(parse_file(&c, "workers: 3\n", "-workers=65"), CONFIG_BAD);
	assert_non_null(strstr(err.text, "-workers: 65 is not"));
	config_free(&c);
	assert_int_equal(parse(&c, "-config=/nowhere/x.yml", NULL, NULL), CONFIG_BAD);
	assert_non_null(strstr(err.text, "-config: open /nowhere/x.yml: no such file"));
	config_free(&c);
}

/* A reload reads files again; everything else needs a restart. */
static void reloadable(void **state)
{
	char list[256];

	config_reloadable(list);
	assert_string_equal(list,
			    "-tlsCrt, -tlsKey, -tlsClientCA, -tunnelTLSClientCA, -authTokens");
}

static void sizes(void **state)
{
	struct config c;

	assert_int_equal(parse(&c, "-muxMemory=3", "-log-max=0", NULL), CONFIG_OK);
	assert_int_equal(c.mux_memory, 3 << 20);
	assert_int_equal(c.log_max, 0);
	assert_true(c.mux);
	assert_int_equal(c.keep_ms[false], LIMIT_NAME_HELD_MS);
	assert_int_equal(c.keep_ms[true], 24 * 3600 * 1000);
	config_free(&c);
	assert_int_equal(parse(&c, "-namesKeep=15m", NULL, NULL), CONFIG_OK);
	assert_int_equal(c.keep_ms[false], 15 * 60 * 1000);
	assert_int_equal(c.keep_ms[true], 15 * 60 * 1000);
	config_free(&c);
	assert_int_equal(parse(&c, "-mux=false", "-tlsCrt=a", "-tlsKey=b"), CONFIG_OK);
	assert_int_equal(c.log_max, 100 << 20);
	assert_false(c.mux);
	assert_string_equal(c.tls_crt, "a");
	assert_string_equal(c.tls_key, "b");
	assert_null(c.client_ca);
	config_free(&c);
}

static void limits(void **state)
{
	struct config c;

	assert_int_equal(parse(&c, NULL, NULL, NULL), CONFIG_OK);
	assert_int_equal(c.limits.half_open, LIMIT_HALF_OPEN);
	assert_int_equal(c.limits.address_half_open, LIMIT_HALF_OPEN_PER_IP);
	assert_int_equal(c.limits.waiting, LIMIT_WAITING);
	assert_int_equal(c.limits.connections | c.limits.visitor_rate | c.limits.tunnel_rate, 0);
	config_free(&c);
	assert_int_equal(parse_file(&c,
				    "workers: 2\nlimits:\n  maxConnections: 10\n  visitorRate: 3\n",
				    "-visitorRate=4"),
			 CONFIG_OK);
	assert_int_equal(c.limits.connections, 10);
	assert_int_equal(c.limits.visitor_rate, 4);
	assert_int_equal(c.workers, 2);
	config_free(&c);
}

static void names(void **state)
{
	static const char *const good[] = {"a", "a.b.c", "x_y-z.0", "a."};
	static const char *const bad[] = {"", "A", "a b", "a/b", "\xc3\xa9", ".a", "a..b", "a:80"};
	static const char *const ports[] = {"a:", "a:0", "a:65536", "a:x", ":80"};
	char longest[LIMIT_NAME + 2] = {0};
	const char *why;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(name_valid(good[i], false, &why));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(name_valid(bad[i], false, &why));
	for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++)
		assert_false(name_valid(ports[i], true, &why));
	assert_true(name_valid("a:80", true, &why));
	memset(longest, 'a', LIMIT_NAME);
	assert_true(name_valid(longest, false, &why));
	longest[LIMIT_NAME] = 'a';
	assert_false(name_valid(longest, false, &why));

	char *clean = name_clean(" \tMy.Name \n");

	assert_string_equal(clean, "my.name");
	free(clean);
}

static void is_url(char *url, const char *expected)
{
	assert_string_equal(url, expected);
	free(url);
}

static void urls(void **state)
{
	struct name_site site = {.domain = "x.me", .http_port = 8000, .https_port = 443};

	is_url(url_of_subdomain(&site, PROTO_HTTP, "a"), "http://a.x.me:8000");
	is_url(url_of_subdomain(&site, PROTO_HTTPS, "a"), "https://a.x.me");
	is_url(url_of_hostname(PROTO_HTTP, "h.com"), "http://h.com");
	is_url(url_of_port(&site, 70), "tcp://x.me:70");
	/* VHOST: for both protocols, but not on the default port. */
	site.vhost = "v.com";
	is_url(url_of_subdomain(&site, PROTO_HTTP, "a"), "http://a.v.com");
	is_url(url_of_subdomain(&site, PROTO_HTTPS, "a"), "https://a.x.me");
	site.http_port = 443;
	site.https_port = 80;
	site.vhost = NULL;
	is_url(url_of_subdomain(&site, PROTO_HTTP, "a"), "http://a.x.me:443");
	is_url(url_of_subdomain(&site, PROTO_HTTPS, "a"), "https://a.x.me:80");
	assert_string_equal(url_host("https://a.x.me:80"), "a.x.me:80");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults),    cmocka_unit_test(values),
		cmocka_unit_test(proxies),     cmocka_unit_test(refused),
		cmocka_unit_test(reloadable),  cmocka_unit_test(sizes),
		cmocka_unit_test(names),       cmocka_unit_test(urls),
		cmocka_unit_test(file_values), cmocka_unit_test(file_refused),
		cmocka_unit_test(limits),
	};

	return cmocka_run_group_tests(tests, make_file, remove_file);
}
