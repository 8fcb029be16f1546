/* The client's configuration: what files may say, what is refused and in which words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pgrok/config/load.h"

static char warnings[2048];

static void on_warning(void *arg, const char *text)
{
	size_t used = strlen(warnings);

	snprintf(warnings + used, sizeof(warnings) - used, "%s\n", text);
}

/* The configuration in `text`, or NULL and the reason. */
static struct config *parse(const char *text, struct err *err)
{
	struct config *c = config_new();

	warnings[0] = '\0';
	err->text[0] = '\0';
	if (config_parse(c, "x.yml", text, strlen(text), on_warning, NULL, err))
		return c;
	config_free(c);
	return NULL;
}

static struct config *parse_ok(const char *text)
{
	struct err err;
	struct config *c = parse(text, &err);

	if (!c)
		fail_msg("refused: %s\n%s", err.text, text);
	return c;
}

/* A configuration as one line of text, so that tables can hold it. */
static void dump_tunnel(const struct config_tunnel *t, char *out, size_t cap)
{
	size_t used = (size_t)snprintf(out, cap, "%s(", t->name);

	if (t->subdomain && *t->subdomain)
		used += (size_t)snprintf(out + used, cap - used, "sub=%s ", t->subdomain);
	if (t->hostname && *t->hostname)
		used += (size_t)snprintf(out + used, cap - used, "host=%s ", t->hostname);
	if (t->auth)
		used += (size_t)snprintf(out + used, cap - used, "auth=%s ", t->auth);
	if (t->remote_port)
		used += (size_t)snprintf(out + used, cap - used, "port=%u ", t->remote_port);
	if (!t->mux)
		used += (size_t)snprintf(out + used, cap - used, "nomux ");
	if (!t->inspect)
		used += (size_t)snprintf(out + used, cap - used, "noinspect ");
	if (t->host_header)
		used += (size_t)snprintf(out + used, cap - used, "header=%s ", t->host_header);
	if (t->x_forwarded)
		used += (size_t)snprintf(out + used, cap - used, "xfwd ");
	if (t->proxy_proto)
		used += (size_t)snprintf(out + used, cap - used, "head=%d ", t->proxy_proto);
	for (size_t i = 0; i < t->request_headers.n; i++)
		used += (size_t)snprintf(
			out + used, cap - used, ">%s=%s ", t->request_headers.list[i].name,
			t->request_headers.list[i].value ? t->request_headers.list[i].value : "-");
	for (size_t i = 0; i < t->response_headers.n; i++)
		used += (size_t)snprintf(out + used, cap - used, "<%s=%s ",
					 t->response_headers.list[i].name,
					 t->response_headers.list[i].value
						 ? t->response_headers.list[i].value
						 : "-");
	for (int p = 0; p < PROTOS; p++) {
		if (t->local[p].text)
			used += (size_t)snprintf(out + used, cap - used, "%s=%s ",
						 proto_name((enum proto)p), t->local[p].text);
	}
	snprintf(out + used - 1, cap - used + 1, ")");
}

static void dump(const struct config *c, char *out, size_t cap)
{
	const struct {
		const char *name, *value;
	} texts[] = {{"server", c->server_addr},  {"inspect", c->inspect_addr},
		     {"proxy", c->http_proxy},    {"token", c->auth_token},
		     {"cas", c->root_cas},        {"pin", c->server_pin},
		     {"crt", c->tls_client_crt},  {"key", c->tls_client_key},
		     {"format", c->log_format},   {"roots", c->trust_host_root_certs ? "y" : NULL},
		     {"tls", c->tls ? "y" : NULL}};
	size_t used = 0;

	out[0] = '\0';
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (texts[i].value)
			used += (size_t)snprintf(out + used, cap - used, "%s=%s ", texts[i].name,
						 texts[i].value);
	}
	if (c->inspect_max_body != 1u << 20)
		used += (size_t)snprintf(out + used, cap - used, "body=%llu ",
					 (unsigned long long)c->inspect_max_body);
	if (c->inspect_max_total != 64u << 20)
		used += (size_t)snprintf(out + used, cap - used, "total=%llu ",
					 (unsigned long long)c->inspect_max_total);
	if (c->inspect_db_size)
		used += (size_t)snprintf(out + used, cap - used, "db=%llu ",
					 (unsigned long long)c->inspect_db_size);
	for (size_t i = 0; i < c->web_allow_hosts_n; i++)
		used += (size_t)snprintf(out + used, cap - used, "allow=%s ",
					 c->web_allow_hosts[i]);
	for (size_t i = 0; i < c->tunnels_n; i++) {
		dump_tunnel(&c->tunnels[i], out + used, cap - used);
		used += strlen(out + used);
		used += (size_t)snprintf(out + used, cap - used, " ");
	}
	if (used)
		out[used - 1] = '\0';
}

#define PIN_A "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define PIN_B "sha256//BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB="

static const struct {
	const char *text, *result, *warnings;
} good[] = {
	/* nothing */
	{"", "", ""},
	{"# only a comment\n", "", ""},
	{"~", "", ""},
	{"---\n...\n", "", ""},
	{"null\n", "token=null", ""}, /* one word: a token */
	/* the old format */
	{"abcDEF-_!09", "token=abcDEF-_!09", ""},
	{"  \n abc \r\n", "token=abc", ""},
	/* every key */
	{"server_addr: h:1\ninspect_addr: disabled\nhttp_proxy: http://u:p@h:1\n"
	 "trust_host_root_certs: true\nauth_token: t\ntls: true\ntls_client_crt: a\n"
	 "tls_client_key: b\nroot_cas: c\nserver_pin: " PIN_A "\nlog_format: json\n",
	 "server=h:1 inspect=disabled proxy=http://u:p@h:1 token=t cas=c pin=" PIN_A
	 " crt=a key=b format=json roots=y tls=y",
	 ""},
	{"server_pin: " PIN_A ";" PIN_B "\n", "pin=" PIN_A ";" PIN_B, ""},
	{"inspect_max_body: 65536\ninspect_max_total: 16M\ninspect_db_size: 2G\n",
	 "body=65536 total=16777216 db=2147483648", ""},
	{"inspect_max_body: 64K", "body=65536", ""},
	{"inspect_db_size: -1", "db=18446744073709551615", ""},
	{"web_allow_hosts: [a, b.c]\n", "allow=a allow=b.c", ""},
	{"web_allow_hosts: a\n", "allow=a", ""},
	/* an address as a browser has it */
	{"tunnels: {x: {proto: {http: 'http://localhost:8080/', https: 'HTTP://[::1]'}}}",
	 "x(sub=x http=localhost:8080 https=[::1]:80)", ""},
	{"tunnels: {x: {proto: {http: 'http://a.b', https: 'http://[::1]:8'}}}",
	 "x(sub=x http=a.b:80 https=[::1]:8)", ""},
	{"\xef\xbb\xbf"
	 "abc\n",
	 "token=abc", ""}, /* a BOM, as Notepad writes it */
	/* a number may be quoted */
	{"inspect_max_body: '65537'\ninspect_max_total: \"16M\"\ninspect_db_size: '-1'",
	 "body=65537 total=16777216 db=18446744073709551615", ""},
	{"tunnels: {a: {remote_port: \"31111\", proto: {tcp: '22'}}}",
	 "a(sub=a port=31111 tcp=127.0.0.1:22)", ""},
	/* who is told what */
	{"tunnels: {x: {host_header: rewrite, x_forwarded: true, proto: {http: 1}}}",
	 "x(sub=x header=rewrite xfwd http=127.0.0.1:1)", ""},
	{"tunnels: {x: {host_header: 'a.b:80', proto: {http+tcp: 1}}}",
	 "x(sub=x header=a.b:80 http=127.0.0.1:1 tcp=127.0.0.1:1)", ""},
	{"tunnels: {x: {proxy_proto: 2, proto: {http+tcp: 1}}}",
	 "x(sub=x head=2 http=127.0.0.1:1 tcp=127.0.0.1:1)", ""},
	{"tunnels: {x: {proxy_proto: 0, request_headers: {A: b, a: 1, B: , C: ~, D: '', E: '~'}, "
	 "response_headers: {Server: }, proto: {http: 1}}}",
	 "x(sub=x >a=1 >B=- >C=- >D=- >E=~ <Server=- http=127.0.0.1:1)", ""},
	{"tunnels: {x: {request_headers: , response_headers: {}, proto: {tcp: 1}}}",
	 "x(sub=x tcp=127.0.0.1:1)", ""},
	/* TLS and Unix sockets */
	{"tunnels: {x: {proto: {http: 'https://a:1/', tcp: 'unix:///a b', https: 'Unix:/c'}}}",
	 "x(sub=x http=https://a:1 https=unix:/c tcp=unix:/a b)", ""},
	/* numbers where a text is wanted keep their spelling */
	{"auth_token: 0123", "token=0123", ""},
	{"auth_token: 1e3", "token=1e3", ""},
	{"auth_token: true", "token=true", ""},
	{"auth_token: 'a b'", "token=a b", ""},
	{"auth_token: ~\nserver_addr:\n", "", ""},
	{"auth_token: \"\\u00e9\"", "token=\xc3\xa9", ""},
	/* booleans of YAML 1.1 */
	{"trust_host_root_certs: yes\ntls: On\n", "roots=y tls=y", ""},
	{"trust_host_root_certs: no\ntls: off\n", "", ""},
	/* tunnels: names, both styles, ports */
	{"tunnels:\n  test:\n    proto:\n      http: 8080\n", "test(sub=test http=127.0.0.1:8080)",
	 ""},
	{"tunnels: {test: {subdomain: x, proto: {http: 80, https: '10.0.0.1:443'}}}",
	 "test(sub=x http=127.0.0.1:80 https=10.0.0.1:443)", ""},
	{"tunnels: {a.b: {proto: {https: 80}}}", "a.b(host=a.b https=127.0.0.1:80)", ""},
	{"tunnels: {a: {hostname: h.x, proto: {http: 80}}}", "a(host=h.x http=127.0.0.1:80)", ""},
	{"tunnels: {a: {hostname: h, subdomain: s, proto: {http: 80}}}",
	 "a(sub=s host=h http=127.0.0.1:80)", ""},
	{"tunnels: {5: {subdomain: 0x1F, proto: {tcp: 022}}}", "5(sub=0x1F tcp=127.0.0.1:022)", ""},
	{"tunnels: {a: {auth: 'u:p', remote_port: 31111, mux: false, inspect: no, proto: "
	 "{http: 21, tcp: 22}}}",
	 "a(sub=a auth=u:p port=31111 nomux noinspect http=127.0.0.1:21 tcp=127.0.0.1:22)", ""},
	{"tunnels: {a: {remote_port: 0, proto: {tcp: ':22'}}}", "a(sub=a tcp=127.0.0.1:22)", ""},
	{"tunnels: {a: {remote_port: 0x50, proto: {tcp: '[::1]:22'}}}",
	 "a(sub=a port=80 tcp=[::1]:22)", ""},
	{"tunnels: {a: {proto: {http+https: 80}}}", "a(sub=a http=127.0.0.1:80 https=127.0.0.1:80)",
	 ""},
	{"tunnels: {a: {proto: {http+tcp: 80}}}", "a(sub=a http=127.0.0.1:80 tcp=127.0.0.1:80)",
	 ""},
	{"tunnels: {b: {proto: {http: 1}}, a: {proto: {http: 2}}}",
	 "b(sub=b http=127.0.0.1:1) a(sub=a http=127.0.0.1:2)", ""},
	{"tunnels:\n", "", ""},
	{"tunnels: {}\n", "", ""},
	/* aliases and merges */
	{"tunnels:\n  a: &a {proto: {http: 1}, auth: 'x:'}\n  b: *a\n",
	 "a(sub=a auth=x: http=127.0.0.1:1) b(sub=b auth=x: http=127.0.0.1:1)", ""},
	{"tunnels:\n  a: &a {proto: {http: 1}, auth: 'x:'}\n  b: {auth: 'y:', <<: *a}\n",
	 "a(sub=a auth=x: http=127.0.0.1:1) b(sub=b auth=y: http=127.0.0.1:1)", ""},
	{"tunnels:\n  a: &a {proto: {http: 1}, auth: 'x:'}\n  b: &b {proto: {https: 2}, auth: 'y:'}\n"
	 "  c: {<<: [*a, *b]}\n",
	 "a(sub=a auth=x: http=127.0.0.1:1) b(sub=b auth=y: https=127.0.0.1:2) "
	 "c(sub=c auth=x: http=127.0.0.1:1 https=127.0.0.1:2)",
	 ""},
	/* what is odd is told */
	{"Tunnels: {a: 1}\ntls: true\n", "tls=y",
	 "x.yml:1: Tunnels: unknown key, ignored; did you mean tunnels?\n"},
	{"tunnels:\n  a:\n    Proto: {}\n    proto: {http: 1}\n", "a(sub=a http=127.0.0.1:1)",
	 "x.yml:3: tunnels.a.Proto: unknown key, ignored; did you mean proto?\n"},
	{"auth_token: a\nauth_token: b\n", "token=b",
	 "x.yml:2: auth_token: this key came before; the last one counts\n"},
	{"tunnels:\n  a: {auth: 'x:', proto: {http: 1}}\n  a: {proto: {https: 2}}\n",
	 "a(sub=a https=127.0.0.1:2)",
	 "x.yml:3: tunnels.a: this key came before; the last one counts\n"},
	/* quoted numbers are numbers */
	{"tunnels: {a: {proto: {tcp: 1}, remote_port: '31111'}}",
	 "a(sub=a port=31111 tcp=127.0.0.1:1)", ""},
	{"tls: y\n---\ntls: n\n", "tls=y", "x.yml:2: a second document, ignored\n"},
	{"\xef\xbb\xbfs3cret\n", "token=s3cret", ""},
	{"version: 3\nregion: eu\n", "",
	 "x.yml:1: version: unknown key, ignored; ngrok's: files have no version here\n"
	 "x.yml:2: region: unknown key, ignored; ngrok's: server_addr says where the server is\n"},
};

static void accepts(void **state)
{
	char out[2048];

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct config *c = parse_ok(good[i].text);
		dump(c, out, sizeof(out));
		if (strcmp(out, good[i].result) != 0 || strcmp(warnings, good[i].warnings) != 0)
			fail_msg("%s\ngives: %s\nand warns: %s", good[i].text, out, warnings);
		config_free(c);
	}
}

static const struct {
	const char *text, *error;
} bad[] = {
	{"tunnels:\n  test:\n    proto:\n      tcp: 22\n    remote_port: 70000\n",
	 "x.yml:5: tunnels.test.remote_port: 70000 is not a port (0-65535)"},
	{"tunnels: {a: {remote_port: -1, proto: {tcp: 1}}}",
	 "x.yml:1: tunnels.a.remote_port: -1 is not a port (0-65535)"},
	{"tunnels: {a: {remote_port: abc, proto: {tcp: 1}}}",
	 "x.yml:1: tunnels.a.remote_port: abc is not a port (0-65535)"},
	{"tunnels: {a: {remote_port: [1], proto: {tcp: 1}}}",
	 "x.yml:1: tunnels.a.remote_port: a list is not a port (0-65535)"},
	{"tunnels: [a]", "x.yml:1: tunnels: a mapping (key: value) is wanted"},
	{"\n- a\n", "x.yml:2: a mapping (key: value) is wanted"},
	{"two words", "x.yml:1: a mapping (key: value) is wanted"},
	{"tunnels:\n  x:\n", "x.yml:2: tunnels.x: Tunnel x does not specify any protocols to "
			     "tunnel."},
	{"tunnels:\n  x: {subdomain: y}\n",
	 "x.yml:2: tunnels.x: Tunnel x does not specify any protocols to tunnel."},
	{"tunnels:\n  x: {proto: http}\n",
	 "x.yml:2: tunnels.x.proto: a mapping (key: value) is wanted, such as {http: 8080} instead of "
	 "ngrok's proto: http and addr: 8080"},
	{"tunnels:\n  a: {auth: 'x:y', proto: {tcp: 1}}",
	 "x.yml:2: tunnels.a: auth: a password protects http and https only: every visitor of this "
	 "tcp tunnel would get in"},
	{"a:\n [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
	 "x.yml:2: lists and mappings nested more than 32 deep"},
	{"tunnels:\n  x:\n    proto:\n      ftp: 21\n",
	 "x.yml:4: tunnels.x.proto.ftp: Invalid protocol for tunnel x[ftp]: ftp"},
	{"tunnels: {x: {proto: {HTTP: 21}}}",
	 "x.yml:1: tunnels.x.proto.HTTP: Invalid protocol for tunnel x[HTTP]: HTTP"},
	{"tunnels: {x: {proto: {http+: 21}}}",
	 "x.yml:1: tunnels.x.proto.http+: Invalid protocol for tunnel x[http+]: "},
	{"tunnels: {x: {proto: {http: localhost}}}",
	 "x.yml:1: tunnels.x.proto.http: Invalid address for tunnel x[http] 'localhost': address "
	 "localhost: missing port in address"},
	{"tunnels: {x: {proto: {http: 'https://a:1/b'}}}",
	 "x.yml:1: tunnels.x.proto.http: Invalid address for tunnel x[http] 'https://a:1/b': "
	 "address a:1/b: invalid port 1/b (0-65535)"},
	{"tunnels: {x: {proto: {http: 'unix:a'}}}",
	 "x.yml:1: tunnels.x.proto.http: Invalid address for tunnel x[http] 'unix:a': unix:a: the "
	 "path of a Unix socket begins with a slash"},
	{"tunnels: {x: {host_header: 'a b', proto: {http: 1}}}",
	 "x.yml:1: tunnels.x.host_header: a b is neither rewrite nor a host name"},
	{"tunnels: {x: {host_header: a, proto: {tcp: 1}}}",
	 "x.yml:1: tunnels.x: host_header: a tcp tunnel has no Host field"},
	{"tunnels: {x: {forward_auth: auth.x.me, proto: {http: 1}}}",
	 "x.yml:1: tunnels.x.forward_auth: 'auth.x.me' is not http://HOST/PATH or "
	 "https://HOST/PATH"},
	{"tunnels: {x: {forward_auth: 'https://a/', proto: {http+tcp: 1}}}",
	 "x.yml:1: tunnels.x: forward_auth: a tcp tunnel has no requests that could be asked "
	 "about"},
	{"tunnels: {x: {proxy_proto: 3, proto: {tcp: 1}}}",
	 "x.yml:1: tunnels.x.proxy_proto: 3 is neither 1 nor 2"},
	{"tunnels: {x: {proxy_proto: 1, proto: {http: /tmp}}}",
	 "x.yml:1: tunnels.x: proxy_proto: a folder does not want to know"},
	{"tunnels:\n  x:\n    request_headers:\n      A: b\n      Host: c\n    proto: {http: 1}",
	 "x.yml:5: tunnels.x.request_headers.Host: Host is not to be changed here: write "
	 "host_header"},
	{"tunnels: {x: {request_headers: {A: \"b\\r\\nC: d\"}, proto: {http: 1}}}",
	 "x.yml:1: tunnels.x.request_headers.A: a value has at most 4096 bytes, no line ends or "
	 "control characters"},
	{"tunnels: {x: {response_headers: {content-length: 1}, proto: {http: 1}}}",
	 "x.yml:1: tunnels.x.response_headers.content-length: content-length is not to be changed"},
	{"tunnels: {x: {response_headers: {A B: 1}, proto: {http: 1}}}",
	 "x.yml:1: tunnels.x.response_headers.A B: 'A B' can't be the name of a field"},
	{"tunnels: {x: {response_headers: [A], proto: {http: 1}}}",
	 "x.yml:1: tunnels.x.response_headers: a mapping (key: value) is wanted"},
	{"tunnels: {x: {request_headers: {A: b}, proto: {tcp: 1}}}",
	 "x.yml:1: tunnels.x: request_headers: a tcp tunnel has no fields"},
	{"tunnels: {x: {response_headers: {A: }, proto: {tcp: 1}}}",
	 "x.yml:1: tunnels.x: response_headers: a tcp tunnel has no fields"},
	{"tunnels: {x: {x_forwarded: true, request_headers: {X-Forwarded_Proto: a}, proto: "
	 "{http: 1}}}",
	 "x.yml:1: tunnels.x: request_headers: X-Forwarded-Proto is what x_forwarded says"},
	{"tunnels: {x: {x_forwarded: true, proto: {tcp: 1}}}",
	 "x.yml:1: tunnels.x: x_forwarded: a tcp tunnel has no fields that could tell"},
	{"tunnels: {x: {hostname: 'https://a.b', proto: {http: 1}}}",
	 "x.yml:1: tunnels.x: hostname: 'https://a.b' is a URL, a name alone is wanted"},
	{"tunnels: {x: {proto: {http: 0}}}",
	 "x.yml:1: tunnels.x.proto.http: Invalid address for tunnel x[http] '0': address "
	 "127.0.0.1:0: nothing listens at port 0"},
	{"tunnels: {x: {proto: {http: 'http://a:0'}}}",
	 "x.yml:1: tunnels.x.proto.http: Invalid address for tunnel x[http] 'http://a:0': address "
	 "a:0: nothing listens at port 0"},
	{"tunnels: {x: {insecure: true, proto: {http: 1}}}",
	 "x.yml:1: tunnels.x: insecure: only an https:// address has a certificate"},
	{"tunnels: {x: {proto: {http: 'http://a:1/b'}}}",
	 "x.yml:1: tunnels.x.proto.http: Invalid address for tunnel x[http] 'http://a:1/b': address "
	 "a:1/b: invalid port 1/b (0-65535)"},
	{"tunnels: {x: {proto: {http: 0x49c8}}}",
	 "x.yml:1: tunnels.x.proto.http: Invalid address for tunnel x[http] '0x49c8': address "
	 "0x49c8: missing port in address"},
	{"tunnels: {x: {proto: {http: 99999}}}",
	 "x.yml:1: tunnels.x.proto.http: Invalid address for tunnel x[http] '99999': address "
	 ":99999: invalid port 99999 (0-65535)"},
	{"tunnels: {x: {proto: {http: 'a b:1'}}}",
	 "x.yml:1: tunnels.x.proto.http: Invalid address for tunnel x[http] 'a b:1': address a b:1: "
	 "blank or '/' in the host name"},
	{"tunnels: {x: {proto: {http: [80]}}}",
	 "x.yml:1: tunnels.x.proto.http: a list where a text is wanted"},
	{"tunnels: {x: {mux: 2, proto: {http: 1}}}",
	 "x.yml:1: tunnels.x.mux: true or false is wanted"},
	{"trust_host_root_certs: 'true'\n",
	 "x.yml:1: trust_host_root_certs: true or false is wanted"},
	{"auth_token: {a: b}\n", "x.yml:1: auth_token: a mapping where a text is wanted"},
	{"auth_token: \"a\\0b\"\n", "x.yml:1: auth_token: the text contains a NUL character"},
	{"tunnels:\n  a:\n    auth: secret\n",
	 "x.yml:3: tunnels.a.auth: user:password is wanted, there is no ':'"},
	{"server_pin: sha256//abc\n",
	 "x.yml:1: server_pin: a pin is sha256// and 44 base64 digits of a SHA-256"},
	{"server_pin: " PIN_A ";\n",
	 "x.yml:1: server_pin: a pin is sha256// and 44 base64 digits of a SHA-256"},
	{"log_format: xml\n", "x.yml:1: log_format: xml is not text or json"},
	{"inspect_max_body: 1T\n", "x.yml:1: inspect_max_body: 1T is not a size in bytes (such as "
				   "65536, 64K, 16M, 1G)"},
	{"inspect_max_body: -1\n", "x.yml:1: inspect_max_body: -1 is not a size in bytes (such as "
				   "65536, 64K, 16M, 1G)"},
	{"inspect_max_body: 9999999G\n", "x.yml:1: inspect_max_body: 9999999G is not a size in "
					 "bytes (such as 65536, 64K, 16M, 1G)"},
	{"web_allow_hosts: {a: b}\n",
	 "x.yml:1: web_allow_hosts: a mapping where a list of host names is wanted"},
	{"? [a]\n: b\n", "x.yml:1: a list where a text is wanted"},
	{"<<: 5\n", "x.yml:1: << wants a mapping"},
	{"&a\n<<: *a\n", "x.yml:1: too many merges (<<)"},
	{"a: [\n", "Error parsing configuration file x.yml: YAML error: line 2: did not find "
		   "expected node content"},
	{"a: *b\n", "Error parsing configuration file x.yml: YAML error: line 1: found undefined "
		    "alias"},
	{"a: \xff\n", "Error parsing configuration file x.yml: YAML error: invalid leading UTF-8 "
		      "octet"},
};

static void refuses(void **state)
{
	struct err err;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct config *c = parse(bad[i].text, &err);
		if (c)
			fail_msg("accepted: %s", bad[i].text);
		if (strcmp(err.text, bad[i].error) != 0)
			fail_msg("%s\ngives: %s\ninstead of: %s", bad[i].text, err.text,
				 bad[i].error);
	}
}

static void refuses_too_much(void **state)
{
	char *text = NULL;
	struct err err;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	fputs("tunnels:\n", f);
	for (int i = 0; i < 257; i++)
		fprintf(f, "  t%d: {proto: {http: 80}}\n", i);
	fclose(f);
	assert_null(parse(text, &err));
	assert_string_equal(err.text, "x.yml:258: tunnels.t256: more than 256 tunnels");
	free(text);

	f = open_memstream(&text, &len);
	for (int i = 0; i < 1025; i++)
		fprintf(f, "k%d: 1\n", i);
	fclose(f);
	assert_null(parse(text, &err));
	assert_string_equal(err.text, "x.yml:1: more than 1024 keys");
	free(text);

	f = open_memstream(&text, &len);
	fputs("x: &a {mux: true}\ntunnels:\n  t:\n    <<: [", f);
	for (int i = 0; i < 11000; i++)
		fputs("*a,", f);
	fputs("]\n    proto: {http: 80}\n", f);
	fclose(f);
	assert_null(parse(text, &err));
	assert_string_equal(err.text, "x.yml:1: tunnels.t: too many merges (<<)");
	free(text);

	struct config *c = config_new();
	text = calloc(1, (1u << 20) + 1);
	memset(text, '#', (1u << 20) + 1);
	assert_false(config_parse(c, "x.yml", text, (1u << 20) + 1, NULL, NULL, &err));
	assert_string_equal(err.text, "x.yml: larger than 1 MiB");
	free(text);
	config_free(c);
}

/* Flag if given, else file, else default; and only what counts is checked. */
static void finishes(void **state)
{
	static const struct {
		const char *text, *flag, *result;
	} cases[] = {
		{"", NULL, "none"},
		{"", "h:1", "h:1"},
		{"server_addr: c:2", NULL, "c:2"},
		{"server_addr: c:2", "h:1", "h:1"},
		{"server_addr: c:2", "", "c:2"},
		{"server_addr: c", "h:1", "h:1"},
		{"\nserver_addr: c", NULL,
		 "x.yml:2: Invalid address server_addr 'c': address c: missing port in address"},
		{"server_addr: c:2", "foo",
		 "Invalid address server_addr 'foo': address foo: missing port in address"},
		{"server_addr: 4443", NULL, "127.0.0.1:4443"},
		{"server_addr: '[::1]:4443'", NULL, "[::1]:4443"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err err;
		struct config *c = parse_ok(cases[i].text);
		struct config_flags f = {.server_addr = cases[i].flag};
		bool ok = config_finish(c, &f, &err);
		const char *server = c->server.text ? c->server.text : "none";
		assert_string_equal(ok ? server : err.text, cases[i].result);
		config_free(c);
	}
}

static void finishes_inspector(void **state)
{
	static const struct {
		const char *text, *flag, *result;
	} cases[] = {
		{"", NULL, "127.0.0.1:4040"},
		{"", "disabled", "disabled"},
		{"inspect_addr: disabled", NULL, "disabled"},
		{"inspect_addr: disabled", "127.0.0.1:4999", "127.0.0.1:4999"},
		{"inspect_addr: 4999", NULL, "127.0.0.1:4999"},
		{"inspect_addr: foo", NULL,
		 "x.yml:1: Invalid address inspect_addr 'foo': address foo: missing port in "
		 "address"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err err;
		struct config *c = parse_ok(cases[i].text);
		struct config_flags f = {.inspect_addr = cases[i].flag};
		bool ok = config_finish(c, &f, &err);
		const char *got = !ok ? err.text : c->inspect.text ? c->inspect.text : "disabled";
		assert_string_equal(got, cases[i].result);
		config_free(c);
	}
}

static void flags_beat_file(void **state)
{
	struct err err;
	struct config *c = parse_ok("auth_token: file\ntls_client_crt: a\ntls_client_key: b\n");
	struct config_flags f = {.auth_token = "flag", .root_cas = "ca", .tls_client_key = ""};

	assert_true(config_finish(c, &f, &err));
	assert_string_equal(c->auth_token, "flag");
	assert_string_equal(c->root_cas, "ca");
	assert_string_equal(c->tls_client_key, "b");
	config_free(c);

	c = parse_ok("tls_client_crt: a\n");
	assert_false(config_finish(c, &(struct config_flags){0}, &err));
	assert_string_equal(err.text, "A client certificate needs its key too: -tlsClientKey "
				      "(tls_client_key) is missing.");
	config_free(c);
}

static void reads_files(void **state)
{
	char path[] = "/tmp/pgrok_config_XXXXXX", expect[ERR_TEXT];
	struct err err;
	int fd = mkstemp(path);
	struct config *c = config_new();

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "tls: maybe\n", 11), 11);
	close(fd);
	assert_false(config_load(c, path, NULL, NULL, &err));
	snprintf(expect, sizeof(expect), "%s:1: tls: true or false is wanted", path);
	assert_string_equal(err.text, expect);
	unlink(path);
	assert_false(config_load(c, path, NULL, NULL, &err));
	snprintf(expect, sizeof(expect),
		 "Failed to read configuration file %s: open %s: no such file or directory", path,
		 path);
	assert_string_equal(err.text, expect);
	assert_false(config_load(c, "/", NULL, NULL, &err));
	assert_string_equal(err.text,
			    "Failed to read configuration file /: read /: is a directory");
	config_free(c);
}

static void limits_the_capture(void **state)
{
	static char addr[] = "127.0.0.1:4040";
	static const struct {
		uint64_t total, db;
		bool on;
		uint64_t want;
	} table[] = {
		{64, 0, true, 64},  {64, 100, true, 64},
		{64, 32, true, 32}, {64, CONFIG_CAPTURES_NOTHING, false, 0},
		{0, 0, false, 0},
	};
	uint64_t max_body, max_total;
	struct config conf = {.inspect_max_body = 5};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		conf.inspect.text = addr;
		conf.inspect_max_total = table[i].total;
		conf.inspect_db_size = table[i].db;
		assert_int_equal(config_capture_limits(&conf, &max_body, &max_total), table[i].on);
		if (table[i].on)
			assert_int_equal(max_total, table[i].want);
		assert_int_equal(max_body, 5);
		conf.inspect.text = NULL;
		assert_false(config_capture_limits(&conf, &max_body, &max_total));
	}
}

static void names_tunnels(void **state)
{
	static char name[] = "web", addr[] = "127.0.0.1:80";
	struct config_tunnel t = {.name = name};
	char out[CONFIG_NAME];

	t.local[PROTO_HTTP].text = addr;
	config_tunnel_name(&t, PROTO_HTTP, out);
	assert_string_equal(out, "web");
	t.local[PROTO_HTTPS].text = addr;
	config_tunnel_name(&t, PROTO_HTTP, out);
	assert_string_equal(out, "web (http)");
	config_tunnel_name(&t, PROTO_HTTPS, out);
	assert_string_equal(out, "web");
}

/* Which services' certificates count, and where a port alone leads. */
static void knows_kinds_of_addresses(void **state)
{
	static const struct {
		const char *text, *shown, *host;
		unsigned port;
		bool here, tls, checked;
	} kinds[] = {
		{"8080", "127.0.0.1:8080", "127.0.0.1", 8080, true, false, false},
		{":8080", "127.0.0.1:8080", "127.0.0.1", 8080, true, false, false},
		{"127.0.0.1:8080", "127.0.0.1:8080", "127.0.0.1", 8080, false, false, false},
		{"http://a", "a:80", "a", 80, false, false, false},
		{"https://a", "https://a:443", "a", 443, false, true, true},
		{"https://10.0.0.1:8443", "https://10.0.0.1:8443", "10.0.0.1", 8443, false, true,
		 true},
		{"https://localhost/", "https://localhost:443", "localhost", 443, false, true,
		 false},
		{"https://127.0.0.5:1", "https://127.0.0.5:1", "127.0.0.5", 1, false, true, false},
		{"HTTPS://[::1]", "https://[::1]:443", "::1", 443, false, true, false},
		{"https://:7", "https://127.0.0.1:7", "127.0.0.1", 7, true, true, false},
		{"unix:/a/b", "unix:/a/b", NULL, 0, false, false, false},
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct endpoint e = {0};
		struct err err;

		if (!endpoint_parse_local(&e, kinds[i].text, &err))
			fail_msg("%s", err.text);
		assert_string_equal(e.text, kinds[i].shown);
		assert_int_equal(e.port, kinds[i].port);
		assert_int_equal(e.here, kinds[i].here);
		assert_int_equal(e.tls, kinds[i].tls);
		assert_int_equal(e.checked, kinds[i].checked);
		assert_true(!kinds[i].host == !e.host);
		if (e.host)
			assert_string_equal(e.host, kinds[i].host);
		else
			assert_string_equal(e.socket, "/a/b");
		endpoint_free(&e);
	}
	struct endpoint e = {0};
	char text[300] = "unix:/";
	struct err err;

	memset(text + 6, 'x', 200);
	assert_false(endpoint_parse_local(&e, text, &err));
	assert_non_null(strstr(err.text, "too long for the path of a Unix socket"));
}

/* What can't be read changes nothing, and nothing of it is left. */
static void keeps_address_at_error(void **state)
{
	static const char *const refused[] = {
		"0", ":0", "a:0", "https://a:0", "http://a:0", "a b:1", "a:65536", "unix:a",
	};
	struct endpoint e = {0};
	struct err err;

	assert_true(endpoint_parse_local(&e, "https://a:1", &err));
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		if (endpoint_parse_local(&e, refused[i], &err))
			fail_msg("taken: %s", refused[i]);
		assert_string_equal(e.text, "https://a:1");
		assert_int_equal(e.port, 1);
	}
	endpoint_free(&e);
}

/* insecure counts for the services of its tunnel alone. */
static void accepts_any_certificate(void **state)
{
	struct config *c = parse_ok("tunnels: {a: {insecure: true, proto: {http: 'https://a:1'}}, "
				    "b: {proto: {http: 'https://a:1'}}}");

	assert_false(config_find_tunnel(c, "a")->local[PROTO_HTTP].checked);
	assert_true(config_find_tunnel(c, "b")->local[PROTO_HTTP].checked);
	config_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accepts),
		cmocka_unit_test(refuses),
		cmocka_unit_test(knows_kinds_of_addresses),
		cmocka_unit_test(keeps_address_at_error),
		cmocka_unit_test(accepts_any_certificate),
		cmocka_unit_test(refuses_too_much),
		cmocka_unit_test(finishes),
		cmocka_unit_test(finishes_inspector),
		cmocka_unit_test(flags_beat_file),
		cmocka_unit_test(reads_files),
		cmocka_unit_test(limits_the_capture),
		cmocka_unit_test(names_tunnels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
