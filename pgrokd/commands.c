/* What pgrokd does besides serving. */
#include "pgrokd/commands.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/flags.h"
#include "common/base/randid.h"
#include "common/base/text.h"
#include "pgrokd/access/token.h"
#include "pgrokd/core/settings.h"

/* ---- -check ---- */

static void say(const char *what, const char *value, const char *none)
{
	printf("%-14s%s\n", what, value && *value ? value : none);
}

static void say_limit(const char *name, uint64_t value)
{
	if (value)
		printf("%-14s%s %llu\n", "limit", name, (unsigned long long)value);
}

static void say_plan(const struct config *c)
{
	say("domain", c->domain, "");
	say("http", c->http_addr, "off");
	say("https", c->https_addr, "off");
	say("clients", c->tunnel_addr, "");
	printf("%-14s%d-%d on %s\n", "tcp ports", c->tcp_port_min, c->tcp_port_max,
	       *c->tcp_host ? c->tcp_host : "all addresses");
	say("reserved", c->reserved, "the domain itself");
	if (c->tokens)
		printf("%-14s%zu\n", "tokens", tokens_count(c->tokens));
	else
		say("tokens", NULL,
		    c->tunnel_client_ca ? "not checked, but the clients' certificates"
					: "not checked: anyone can open tunnels");
	if (c->trusted)
		printf("%-14s%zu\n", "proxies", nets_count(c->trusted));
	if (c->forward[0])
		say("asked first", c->forward[0], "");
	say("admin", c->admin_addr, "off");
	say("certificate", c->tls_crt, "self-signed");
	say("state", c->state_dir, "in memory");
	say("log", c->log, "");
	say("access log", c->access_log, "off");
	config_each_limit(c, say_limit);
}

/*
 * Certificates are loaded as at the start, but nothing is written: a self-signed pair is not made
 * here.
 */
static bool load(const struct config *c, struct err *err)
{
	struct core core = {.config = c};
	struct config no_pair = *c;

	core.on[PORT_HTTPS] = *c->https_addr;
	core.on[PORT_TUNNEL] = true;
	if (!c->tls_crt) {
		no_pair.state_dir = NULL;
		core.config = &no_pair;
	} else if (!log_open("stdout", "WARNING", err)) {
		return false;
	}
	struct settings *s = settings_load(&core, core.config, NULL, err);

	settings_unref(s);
	log_close();
	return s != NULL;
}

int command_check(const struct config *c)
{
	struct err err;

	if (!load(c, &err)) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	say_plan(c);
	return 0;
}

/* ---- hash-token ---- */

#define RANDOM_TOKEN 16 /* bytes */
#define TOKEN_LINE 1024

/* A line of stdin, without its end. */
static bool read_token(char token[static TOKEN_LINE], struct err *err)
{
	if (!fgets(token, TOKEN_LINE, stdin))
		return err_set(err, "a token is wanted, as a line on stdin");
	size_t len = strcspn(token, "\r\n");

	if (!token[len] && len == TOKEN_LINE - 1)
		return err_set(err, "a token may have at most %d characters", TOKEN_LINE - 2);
	token[len] = '\0';
	return len || err_set(err, "an empty line is no token");
}

static void print_token(const char *text)
{
	struct token token = token_of(text);
	char hashed[TOKEN_TEXT];

	token_text(&token, hashed);
	puts(hashed);
	OPENSSL_cleanse(&token, sizeof(token));
}

int command_hash_token(int argc, char **argv)
{
	bool random = false;
	const struct flag flags[] = {{.name = "random",
				      .type = FLAG_BOOL,
				      .value = &random,
				      .help = "Make a token, and print it first"},
				     {.name = NULL}};
	char token[TOKEN_LINE];
	struct err err;
	int rest = argc;
	enum flags_rc rc = flags_parse(flags, argc, argv, &rest, &err);

	if (rc == FLAGS_HELP) {
		puts("Usage: pgrokd hash-token [-random] <TOKEN-IN-A-LINE\n");
		flags_usage(flags, stdout);
		return 0;
	}
	if (rc == FLAGS_BAD || rest < argc) {
		/* An argument may be the token: it is not repeated. */
		fputs("Usage: pgrokd hash-token [-random]; the token is read from stdin\n", stderr);
		return 2;
	}
	if (random || isatty(STDIN_FILENO)) {
		rand_hex(token, RANDOM_TOKEN);
		puts(token);
	} else if (!read_token(token, &err)) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	print_token(token);
	OPENSSL_cleanse(token, sizeof(token));
	return 0;
}
