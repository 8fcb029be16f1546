/* The server's options: flags, environment, defaults. */
#include "pgrokd/config/config.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "common/base/addr.h"
#include "common/base/flags.h"
#include "pgrokd/limits.h"
#include "pgrokd/names/name.h"

/* What the flags are parsed into; config_parse() makes a struct config of it. */
struct words {
	const char *domain, *http, *https, *tunnel, *tunnel_client_ca, *crt, *key, *client_ca;
	const char *log, *level, *format, *engine, *tcp_addr, *tcp_ports, *state_dir;
	int workers, mux_memory, log_max;
	bool mux;
};

static struct words words;

static const struct flag flag_table[] = {
	{"domain", FLAG_STRING, &words.domain, "ejemplo.me", "Domain where the tunnels are hosted",
	 NULL},
	{"engine", FLAG_STRING, &words.engine, "direct",
	 "How bytes are moved: direct or bufferevent", NULL},
	{"httpAddr", FLAG_STRING, &words.http, ":80",
	 "Public address for HTTP connections, empty string to disable", NULL},
	{"httpsAddr", FLAG_STRING, &words.https, ":443",
	 "Public address listening for HTTPS connections, empty string to disable", NULL},
	{"log", FLAG_STRING, &words.log, "stdout",
	 "Write log messages to this file. 'stdout' and 'none' have special meanings", NULL},
	{"log-format", FLAG_STRING, &words.format, "text", "Log lines as text or json", NULL},
	{"log-level", FLAG_STRING, &words.level, "INFO",
	 "The level of messages to log. One of: DEBUG, INFO, WARNING, ERROR", NULL},
	{"log-max", FLAG_INT, &words.log_max, "100",
	 "Megabytes after which a new log file is begun (five old ones are kept), 0 for never",
	 NULL},
	{"mux", FLAG_BOOL, &words.mux, "true",
	 "Let a client's visitors share one connection to it, if it can do that", NULL},
	{"muxMemory", FLAG_INT, &words.mux_memory, "256",
	 "Megabytes that may wait in such shared connections, all clients together", NULL},
	{"stateDir", FLAG_STRING, &words.state_dir, "",
	 "Where the self-made certificate is kept ($STATE_DIRECTORY, else ~/.pgrokd)", NULL},
	{"tcpAddr", FLAG_STRING, &words.tcp_addr, "",
	 "IP address that TCP tunnels listen on, empty string for all", NULL},
	{"tcpPorts", FLAG_STRING, &words.tcp_ports, "",
	 "Ports that TCP tunnels may have, as MIN-MAX, empty string for any", NULL},
	{"tlsClientCA", FLAG_STRING, &words.client_ca, "",
	 "Path to a CA file: visitors over HTTPS need a certificate of it", NULL},
	{"tlsCrt", FLAG_STRING, &words.crt, "", "Path to a TLS certificate file", NULL},
	{"tlsKey", FLAG_STRING, &words.key, "", "Path to a TLS key file", NULL},
	{"tunnelAddr", FLAG_STRING, &words.tunnel, ":4443",
	 "Public address listening for pgrok clients", NULL},
	{"tunnelTLSClientCA", FLAG_STRING, &words.tunnel_client_ca, "",
	 "Path to a CA file: pgrok clients need a certificate of it", NULL},
	{"workers", FLAG_INT, &words.workers, "0", "Worker threads, 0 for one per core", NULL},
	{NULL, FLAG_STRING, NULL, NULL, NULL, NULL},
};

void config_usage(FILE *out)
{
	fprintf(out, "Usage of pgrokd:\n");
	flags_usage(flag_table, out);
}

static const char *null_if_empty(const char *s)
{
	return *s ? s : NULL;
}

static char *lower(const char *s)
{
	char *out = xstrdup(s);

	for (char *p = out; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	return out;
}

static bool check_addr(const char *option, const char *value, char err[static 256])
{
	char host[256], port[16];
	const char *why;

	if (addr_split(value, host, sizeof(host), port, sizeof(port), &why)) {
		if (addr_port(port) >= 0)
			return true;
		why = "the port is not a number from 0 to 65535";
	}
	snprintf(err, 256, "-%s: address %.100s: %s", option, value, why);
	return false;
}

static bool parse_listen(struct config *c, char err[static 256])
{
	c->http_addr = words.http;
	c->https_addr = words.https;
	c->tunnel_addr = words.tunnel;
	if (*c->http_addr && !check_addr("httpAddr", c->http_addr, err))
		return false;
	if (*c->https_addr && !check_addr("httpsAddr", c->https_addr, err))
		return false;
	return check_addr("tunnelAddr", c->tunnel_addr, err);
}

static bool parse_tls(struct config *c, char err[static 256])
{
	c->tls_crt = null_if_empty(words.crt);
	c->tls_key = null_if_empty(words.key);
	c->client_ca = null_if_empty(words.client_ca);
	c->tunnel_client_ca = null_if_empty(words.tunnel_client_ca);
	if (!c->tls_crt == !c->tls_key)
		return true;
	snprintf(err, 256, "-tlsCrt and -tlsKey: one is useless without the other");
	return false;
}

/* MIN-MAX, both 1-65535. */
static bool parse_tcp_ports(struct config *c, char err[static 256])
{
	const char *dash = strchr(words.tcp_ports, '-');
	char min[8];

	if (!*words.tcp_ports)
		return true;
	if (dash && (size_t)(dash - words.tcp_ports) < sizeof(min)) {
		snprintf(min, sizeof(min), "%.*s", (int)(dash - words.tcp_ports), words.tcp_ports);
		c->tcp_port_min = addr_port(min);
		c->tcp_port_max = addr_port(dash + 1);
		if (c->tcp_port_min > 0 && c->tcp_port_max >= c->tcp_port_min)
			return true;
	}
	snprintf(err, 256, "-tcpPorts: '%.40s' is not MIN-MAX with ports from 1 to 65535",
		 words.tcp_ports);
	return false;
}

static bool parse_tcp_addr(struct config *c, char err[static 256])
{
	const char *text = words.tcp_addr;
	size_t len = strlen(text);
	struct addr ip;

	if (len > 2 && text[0] == '[' && text[len - 1] == ']') {
		text++;
		len -= 2;
	}
	char *host = xstrndup(text, len);
	bool ok = !len || addr_numeric(host, 0, &ip);

	if (!ok)
		snprintf(err, 256, "-tcpAddr: '%.100s' is not an IP address", words.tcp_addr);
	c->tcp_host = strchr(host, ':') ? xasprintf("[%s]", host) : xstrdup(host);
	free(host);
	return ok;
}

static bool parse_words(struct config *c, char err[static 256])
{
	c->log = words.log;
	c->log_level = words.level;
	c->log_format = strcasecmp(words.format, "json") == 0 ? LOG_JSON : LOG_TEXT;
	if (c->log_format == LOG_TEXT && strcasecmp(words.format, "text") != 0) {
		snprintf(err, 256, "-log-format: '%.40s' is neither text nor json", words.format);
		return false;
	}
	if (!stream_engine_parse(words.engine, &c->engine)) {
		snprintf(err, 256, "-engine: '%.40s' is neither direct nor bufferevent",
			 words.engine);
		return false;
	}
	if (words.log_max < 0) {
		snprintf(err, 256, "-log-max: %d is not at least 0", words.log_max);
		return false;
	}
	c->log_max = (uint64_t)words.log_max << 20;
	c->mux = words.mux;
	if (words.mux_memory < 1) {
		snprintf(err, 256, "-muxMemory: %d is not at least 1", words.mux_memory);
		return false;
	}
	c->mux_memory = (uint64_t)words.mux_memory << 20;
	c->workers = words.workers;
	if (c->workers == 0) {
		long cores = sysconf(_SC_NPROCESSORS_ONLN);

		c->workers = cores < 1 ? 1 : cores > LIMIT_WORKERS ? LIMIT_WORKERS : (int)cores;
	}
	if (c->workers >= 1 && c->workers <= LIMIT_WORKERS)
		return true;
	snprintf(err, 256, "-workers: %d is not from 1 to %d", c->workers, LIMIT_WORKERS);
	return false;
}

static bool parse_domain(struct config *c, char err[static 256])
{
	const char *why;

	c->domain = lower(words.domain);
	if (name_valid(c->domain, false, &why))
		return true;
	snprintf(err, 256, "-domain: %s", why);
	return false;
}

static bool parse_env(struct config *c, char err[static 256])
{
	const char *vhost = getenv("VHOST");
	const char *dir = getenv("STATE_DIRECTORY"), *home = getenv("HOME");
	const char *why;

	c->cache_file = getenv("REGISTRY_CACHE_FILE");
	if (c->cache_file && !*c->cache_file)
		c->cache_file = NULL;
	if (*words.state_dir)
		c->state_dir = xstrdup(words.state_dir);
	else if (dir && *dir)
		c->state_dir = xstrndup(dir, strcspn(dir, ":")); /* systemd may name several */
	else if (home && *home)
		c->state_dir = xasprintf("%s/.pgrokd", home);
	if (!vhost || !*vhost)
		return true;
	c->vhost = lower(vhost);
	if (name_valid(c->vhost, true, &why))
		return true;
	snprintf(err, 256, "VHOST: %s", why);
	return false;
}

enum config_rc config_parse(struct config *c, int argc, char **argv, char err[static 256])
{
	int rest;

	memset(c, 0, sizeof(*c));
	switch (flags_parse(flag_table, argc, argv, &rest, err)) {
	case FLAGS_HELP:
		return CONFIG_HELP;
	case FLAGS_BAD:
		return CONFIG_USAGE;
	case FLAGS_OK:
		break;
	}
	c->ignored = rest < argc ? argv[rest] : NULL;
	bool ok = parse_words(c, err) && parse_domain(c, err) && parse_listen(c, err) &&
		  parse_tls(c, err) && parse_tcp_addr(c, err) && parse_tcp_ports(c, err) &&
		  parse_env(c, err);
	return ok ? CONFIG_OK : CONFIG_BAD;
}

void config_free(struct config *c)
{
	free(c->domain);
	free(c->tcp_host);
	free(c->state_dir);
	free(c->vhost);
	memset(c, 0, sizeof(*c));
}
