/*
 * pgrok: the client's command line. Plain errors go to stdout with status 1, as with the Go
 * client.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/flags.h"
#include "common/base/log.h"
#include "common/base/version.h"
#include "common/stream/stream.h"
#include "msg/pgrok/access.h"
#include "msg/pgrok/msg.h"
#include "pgrok/client.h"
#include "pgrok/config/load.h"
#include "pgrok/config/protocol.h"
#include "pgrok/show/console.h"

static struct {
	const char *authtoken, *config, *hostname, *httpauth, *inspectaddr, *log, *log_level;
	const char *log_format, *proto, *serveraddr, *subdomain, *tls_crt, *tls_key, *root_ca;
	const char *protocol, *transport;
	const char *engine, *host_header, *allow_ips, *deny_ips, *bearer, *password;
	bool inspectpublic, insecure, mux, tls, version, x_forwarded;
	int log_max, proxy_proto;
	bool inspectaddr_given, serveraddr_given, log_format_given, proto_given;
} opt;

static const struct flag flags[] = {
	{"", FLAG_BOOL, NULL, NULL, "The server:", NULL},
	{"serveraddr", FLAG_STRING, &opt.serveraddr, NULL, "`host:port` of the pgrok server",
	 &opt.serveraddr_given},
	{"protocol", FLAG_STRING, &opt.protocol, NULL, "what the server speaks: `pgrok or drip`",
	 NULL},
	{"transport", FLAG_STRING, &opt.transport, NULL,
	 "how a Drip server is reached: `auto, tcp or wss`", NULL},
	{"authtoken", FLAG_STRING, &opt.authtoken, NULL, "token that the server knows you by",
	 NULL},
	{"config", FLAG_STRING, &opt.config, NULL, "configuration `file` (default ~/.pgrok)", NULL},
	{"rootCA", FLAG_STRING, &opt.root_ca, NULL,
	 "PEM `file` of the authorities that may vouch for the server", NULL},
	{"tlsClientCrt", FLAG_STRING, &opt.tls_crt, NULL,
	 "PEM `file` with a certificate to show to the server", NULL},
	{"tlsClientKey", FLAG_STRING, &opt.tls_key, NULL, "PEM `file` with its key", NULL},
	{"tls", FLAG_BOOL, &opt.tls, NULL, "accepted for old scripts; TLS is always used", NULL},
	{"", FLAG_BOOL, NULL, NULL, "The tunnel of a port, address or folder:", NULL},
	{"proto", FLAG_STRING, &opt.proto, "http+https",
	 "what to tunnel: http, https, tcp, joined by +", &opt.proto_given},
	{"subdomain", FLAG_STRING, &opt.subdomain, NULL,
	 "name to ask for below the server's domain", NULL},
	{"hostname", FLAG_STRING, &opt.hostname, NULL,
	 "whole host name to ask for, one that you point at the server", NULL},
	{"httpauth", FLAG_STRING, &opt.httpauth, NULL,
	 "`user:password` that visitors of an http tunnel must give", NULL},
	{"password", FLAG_STRING, &opt.password, NULL, "`password` that a page asks visitors for",
	 NULL},
	{"bearer", FLAG_STRING, &opt.bearer, NULL,
	 "`token` that visitors must send (Authorization: Bearer)", NULL},
	{"allowips", FLAG_STRING, &opt.allow_ips, NULL,
	 "`addresses` and ranges that may visit, joined by commas", NULL},
	{"denyips", FLAG_STRING, &opt.deny_ips, NULL, "`addresses` and ranges that may not", NULL},
	{"hostheader", FLAG_STRING, &opt.host_header, NULL,
	 "`host` that the service gets as Host; rewrite: its own address", NULL},
	{"xforwarded", FLAG_BOOL, &opt.x_forwarded, NULL,
	 "tell the service who the visitor is (X-Forwarded-For, -Proto, -Host)", NULL},
	{"proxyproto", FLAG_INT, &opt.proxy_proto, "0",
	 "tell the service first who the visitor is, by PROXY protocol `1 or 2`", NULL},
	{"insecure", FLAG_BOOL, &opt.insecure, NULL,
	 "accept any certificate of an https:// service", NULL},
	{"mux", FLAG_BOOL, &opt.mux, "true",
	 "let visitors share one connection to the server, if it can do that", NULL},
	{"", FLAG_BOOL, NULL, NULL, "The inspector:", NULL},
	{"inspectaddr", FLAG_STRING, &opt.inspectaddr, DEFAULT_INSPECT_ADDR,
	 "`address` of the web inspector, or disabled", &opt.inspectaddr_given},
	{"inspectpublic", FLAG_BOOL, &opt.inspectpublic, NULL,
	 "open a tunnel to the web inspector too", NULL},
	{"", FLAG_BOOL, NULL, NULL, "The log:", NULL},
	{"log", FLAG_STRING, &opt.log, "none", "where the log goes: a `file`, stdout or none",
	 NULL},
	{"log-level", FLAG_STRING, &opt.log_level, "INFO", "DEBUG, INFO, WARNING or ERROR", NULL},
	{"log-format", FLAG_STRING, &opt.log_format, "text", "text, or json for a line per event",
	 &opt.log_format_given},
	{"log-max", FLAG_INT, &opt.log_max, "100",
	 "megabytes after which a new log file is begun (five old ones are kept), 0 for never",
	 NULL},
	{"", FLAG_BOOL, NULL, NULL, "Further:", NULL},
	{"engine", FLAG_STRING, &opt.engine, "direct", "data path: direct or bufferevent", NULL},
	{"version", FLAG_BOOL, &opt.version, NULL, "print the version", NULL},
	{NULL, FLAG_BOOL, NULL, NULL, NULL, NULL},
};

/* A start-up fault of the user's: a line on stdout, status 1. */
PRINTF_LIKE(1, 2)
static int complain(const char *fmt, ...)
{
	struct err err;
	va_list ap;

	va_start(ap, fmt);
	err_vset(&err, fmt, ap);
	va_end(ap);
	console_line(stdout, "%s", err.text);
	return 1;
}

/* ---- log and configuration ---- */

static bool set_log_format(const char *text)
{
	bool json = strcmp(text, "json") == 0;

	log_set_format(json ? LOG_JSON : LOG_TEXT);
	return json || strcmp(text, "text") == 0;
}

static bool open_log(struct err *err)
{
	enum stream_engine engine;

	if (!set_log_format(opt.log_format))
		return err_set(err, "-log-format is text or json, not '%.40s'", opt.log_format);
	if (!stream_engine_parse(opt.engine, &engine))
		return err_set(err, "-engine is direct or bufferevent, not '%.40s'", opt.engine);
	stream_set_engine(engine);
	if (opt.log_max < 0)
		return err_set(err, "-log-max is a number of megabytes, not %d", opt.log_max);
	log_set_max((uint64_t)opt.log_max << 20);
	if (!log_level_valid(opt.log_level))
		return err_set(err, "-log-level is DEBUG, INFO, WARNING or ERROR, not '%.40s'",
			       opt.log_level);
	return log_open(opt.log, opt.log_level, err) || err_set(err, "-log: %s", err->text);
}

static void on_config_warning(void *arg, const char *text)
{
	log_warn("config", "%s", text);
	if (!log_to_stdout())
		console_line(stderr, "%s", text);
}

/* The whole of it, checked. NULL: err says what is wrong. */
static struct config *load_config(struct err *err)
{
	struct config *c = config_new();
	struct config_flags f = {
		.protocol = opt.protocol,
		.transport = opt.transport,
		.auth_token = opt.authtoken,
		.server_addr = opt.serveraddr_given ? opt.serveraddr : NULL,
		.inspect_addr = opt.inspectaddr_given ? opt.inspectaddr : NULL,
		.tls_client_crt = opt.tls_crt,
		.tls_client_key = opt.tls_key,
		.root_cas = opt.root_ca,
		.inspect_public = opt.inspectpublic,
	};

	if (config_load(c, opt.config, on_config_warning, NULL, err) && config_finish(c, &f, err))
		return c;
	config_free(c);
	return NULL;
}

/* ---- commands ---- */

/* Marks what this command line asks for. False: err says why that can't be. */
typedef bool select_fn(struct config *c, int argc, char **argv, struct err *err);

/* The flag that does what this key of a tunnel does. */
static const char *flag_of(const char *key)
{
	static const struct {
		const char *key, *flag;
	} names[] = {
		{"allow_ips", "allowips"},     {"auth", "httpauth"},
		{"deny_ips", "denyips"},       {"host_header", "hostheader"},
		{"proxy_proto", "proxyproto"}, {"x_forwarded", "xforwarded"},
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(names[i].key, key) == 0)
			return names[i].flag;
	}
	return key;
}

/* The tunnels to start, made for the server's protocol. */
static bool fit(struct config *c, struct err *err)
{
	const char *which;

	return protocol_fit_all(c, &which, err) ||
	       (which && err_set(err, "-%s: %s", flag_of(which), err->text));
}

static int run(select_fn *select, int argc, char **argv)
{
	struct err err;
	struct config *c = NULL;
	int status = 1;

	if (!open_log(&err))
		goto fail;
	c = load_config(&err);
	if (!c || !select(c, argc, argv, &err) || !fit(c, &err))
		goto fail;
	if (!c->server.text) {
		err_set(&err, "no server: -serveraddr=HOST:PORT, or server_addr in %s",
			c->file ? c->file : "~/.pgrok");
		goto fail;
	}
	if (!opt.log_format_given && c->log_format)
		(void)!set_log_format(c->log_format);
	c->mux &= opt.mux;
	status = client_run(c);
	goto end;
fail:
	log_error("", "%s", err.text);
	complain("%s", err.text);
end:
	config_free(c);
	log_close();
	return status;
}

static bool select_named(struct config *c, int argc, char **argv, struct err *err)
{
	if (argc == 0)
		return err_set(err, "You must specify at least one tunnel to start");
	for (int i = 0; i < argc; i++) {
		struct config_tunnel *t = config_find_tunnel(c, argv[i]);
		if (!t)
			return err_set(
				err,
				"Requested to start tunnel %s which is not defined in the config "
				"file.",
				argv[i]);
		t->start = true;
	}
	return true;
}

static bool select_all(struct config *c, int argc, char **argv, struct err *err)
{
	for (size_t i = 0; i < c->tunnels_n; i++)
		c->tunnels[i].start = true;
	if (c->tunnels_n || c->inspect_public)
		return true;
	return err_set(err,
		       "There are no tunnels to start: %s has none. To open them by the "
		       "inspector's API alone: -inspectpublic",
		       c->file ? c->file : "there is no ~/.pgrok, and -config");
}

static bool add_rules(struct config_tunnel *t, enum access_list which, const char *list,
		      struct err *err)
{
	char *copy = xstrdup(list), *rest = copy, *entry;
	bool ok = true;

	while (ok && *list && (entry = strsep(&rest, ",")))
		ok = config_add_rule(t, which, entry, err) ||
		     err_set(err, "-%s: %s", flag_of(access_key(which)), err->text);
	xfree_secret_str(copy);
	return ok;
}

static bool set_rules(struct config_tunnel *t, struct err *err)
{
	if (*opt.password && !access_password_valid(opt.password, err))
		return err_set(err, "-password: %s", err->text);
	t->password = *opt.password ? xstrdup(opt.password) : NULL;
	return add_rules(t, ACCESS_ALLOW_IPS, opt.allow_ips, err) &&
	       add_rules(t, ACCESS_DENY_IPS, opt.deny_ips, err) &&
	       add_rules(t, ACCESS_BEARER, opt.bearer, err);
}

/* The one tunnel that flags describe. */
static bool select_address(struct config *c, int argc, char **argv, struct err *err)
{
	struct endpoint e = {0};
	const char *which;
	enum proto p;

	if (argc == 2 && proto_parse(argv[0], strlen(argv[0]), &p))
		return err_set(err, "no command %s: write pgrok -proto=%s %.300s", argv[0], argv[0],
			       argv[1]);
	if (argc != 1) {
		err_set(err,
			"You may only specify one port to tunnel to on the command line, got %d: [",
			argc);
		for (int i = 0; i < argc; i++)
			err_set(err, "%s%s%s", err->text, argv[i], i + 1 < argc ? " " : "]");
		if (argv[1][0] == '-')
			on_config_warning(NULL, "Flags stand before the port or command.");
		return false;
	}
	if (!endpoint_parse_local(&e, argv[0], err))
		return err_set(err, "Invalid address  '%.100s': %s", argv[0], err->text);
	endpoint_free(&e);
	if (!config_auth_valid(opt.httpauth))
		return err_set(err, "-httpauth: user:password is wanted, there is no ':'");
	if (!config_host_header_valid(opt.host_header))
		return err_set(err, "-hostheader: '%.60s' is neither rewrite nor a host name",
			       opt.host_header);
	struct config_tunnel *t = config_add_tunnel(c, "default");
	t->subdomain = xstrdup(opt.subdomain);
	t->hostname = xstrdup(opt.hostname);
	t->auth = xstrdup(opt.httpauth);
	t->host_header = xstrdup(opt.host_header);
	t->x_forwarded = opt.x_forwarded;
	t->proxy_proto = opt.proxy_proto;
	t->insecure = opt.insecure;
	t->start = true;
	t->any_proto = !opt.proto_given;
	if (!config_set_protos(t, opt.proto, argv[0], t->name, err))
		return err_set(err, "-proto: %s", err->text);
	if (opt.subdomain && *opt.subdomain && opt.hostname && *opt.hostname)
		on_config_warning(NULL, "-subdomain has no effect beside -hostname.");
	else if (opt.subdomain && strchr(opt.subdomain, '.') && t->local[PROTO_HTTPS].text)
		on_config_warning(NULL, "-subdomain has a dot: the usual certificate, for one name "
					"below the server's domain, does not cover it.");
	if (!set_rules(t, err))
		return false;
	if (config_complete_tunnel(t, &which, err))
		return true;
	return err_set(err, "-%s: %s", flag_of(which), err->text);
}

static int cmd_start(int argc, char **argv)
{
	return run(select_named, argc, argv);
}

static int cmd_start_all(int argc, char **argv)
{
	return run(select_all, argc, argv);
}

static int cmd_list(int argc, char **argv)
{
	struct err err;
	struct config *c = load_config(&err);

	if (!c)
		return complain("%s", err.text);
	for (size_t i = 0; i < c->tunnels_n; i++)
		puts(c->tunnels[i].name);
	config_free(c);
	return 0;
}

static int cmd_version(int argc, char **argv)
{
	puts("pgrok " OWN_VERSION " (protocol of pgrok " MSG_SOFTWARE_VERSION ")");
	return 0;
}

static int cmd_help(int argc, char **argv);

static const struct command {
	const char *name;
	int (*fn)(int argc, char **argv); /* the arguments behind the name; returns exit status */
	const char *args, *help;
} commands[] = {
	{"start", cmd_start, "NAME...", "open these tunnels of the configuration file"},
	{"start-all", cmd_start_all, "", "open all of them"},
	{"list", cmd_list, "", "print their names"},
	{"version", cmd_version, "", "print the version"},
	{"help", cmd_help, "", "print this"},
	{NULL, NULL, NULL, NULL},
};

static int cmd_help(int argc, char **argv)
{
	fputs("pgrok gives a service on this machine a public address.\n"
	      "\n"
	      "Usage:\n"
	      "  pgrok [FLAGS] PORT | HOST:PORT | FOLDER   open one tunnel\n"
	      "  pgrok [FLAGS] COMMAND ...\n"
	      "\n"
	      "Commands:\n",
	      stdout);
	for (const struct command *c = commands; c->name; c++)
		fprintf(stdout, "  %-9s %-8s %s\n", c->name, c->args, c->help);
	fputs("\n"
	      "Examples:\n"
	      "  pgrok 8080                         a web server on port 8080, random name\n"
	      "  pgrok -subdomain=test 8080         the same as test.<the server's domain>\n"
	      "  pgrok ./site                       the files of a folder\n"
	      "  pgrok -proto=tcp 22                a TCP service\n"
	      "  pgrok -config=debug.yml start ssh  the tunnel 'ssh' of a file\n"
	      "\n"
	      "Flags stand before the port or command.\n",
	      stdout);
	flags_usage(flags, stdout);
	return 0;
}

int main(int argc, char **argv)
{
	struct err err;
	int rest;

	switch (flags_parse(flags, argc, argv, &rest, &err)) {
	case FLAGS_HELP:
		return cmd_help(0, NULL);
	case FLAGS_BAD:
		fprintf(stderr, "%s\n'pgrok -h' lists the flags.\n", err.text);
		return 2;
	case FLAGS_OK:
		break;
	}
	argc -= rest;
	argv += rest;
	if (opt.version)
		return cmd_version(argc, argv);
	if (argc == 0) {
		fputs("Error: Specify a local port to tunnel to, or an pgrok command.\n"
		      "\n"
		      "Example: To expose port 80, run 'pgrok 80'\n",
		      stdout);
		return 1;
	}
	for (const struct command *c = commands; c->name; c++) {
		if (strcmp(argv[0], c->name) == 0)
			return c->fn(argc - 1, argv + 1);
	}
	return run(select_address, argc, argv);
}
