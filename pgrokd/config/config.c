/* The server's options: one table of flags, their defaults and their checks; the environment. */
#include "pgrokd/config/config.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "common/base/addr.h"
#include "common/base/file.h"
#include "common/base/flags.h"
#include "common/base/metrics.h"
#include "common/base/words.h"
#include "common/http/fields.h"
#include "common/http/web_url.h"
#include "pgrokd/access/pace.h"
#include "pgrokd/config/file.h"
#include "pgrokd/limits.h"
#include "pgrokd/names/name.h"
#include "pgrokd/names/reserved.h"

#define SECRET_MAX 4096 /* bytes of a file with a token */
#define DELAY_MAX 3600  /* seconds */

union value {
	const char *text;
	bool yes;
	int number;
};

/* When another value of an option comes into force. */
enum option_when {
	RESTART,
	RELOAD, /* with SIGHUP; of a file's name: the file is read again */
	COMMAND /* given on the command line alone, it is no key of the file */
};

struct option {
	const char *name, *def, *help;
	enum flag_type type;
	enum option_when when;
	/*
	 * Checks v and puts it into c, for most at `field`. False: why says what is wrong with it.
	 */
	bool (*take)(struct config *c, const struct option *o, const union value *v,
		     struct err *why);
	size_t field;
};

/* ---- checks, one for each kind of value ---- */

static void *field_of(struct config *c, const struct option *o)
{
	return (char *)c + o->field;
}

/* Of a heading. */
static bool take_nothing(struct config *c, const struct option *o, const union value *v,
			 struct err *why)
{
	return true;
}

static bool take_text(struct config *c, const struct option *o, const union value *v,
		      struct err *why)
{
	*(const char **)field_of(c, o) = v->text;
	return true;
}

/* An empty one is NULL. */
static bool take_file(struct config *c, const struct option *o, const union value *v,
		      struct err *why)
{
	*(const char **)field_of(c, o) = *v->text ? v->text : NULL;
	return true;
}

static bool take_bool(struct config *c, const struct option *o, const union value *v,
		      struct err *why)
{
	*(bool *)field_of(c, o) = v->yes;
	return true;
}

static bool take_addr(struct config *c, const struct option *o, const union value *v,
		      struct err *why)
{
	char host[256], port[16];
	const char *what;

	*(const char **)field_of(c, o) = v->text;
	if (addr_split(v->text, host, sizeof(host), port, sizeof(port), &what)) {
		if (addr_port(port) >= 0)
			return true;
		what = "the port is not a number from 0 to 65535";
	}
	return err_set(why, "address %.100s: %s", v->text, what);
}

static bool take_addr_or_none(struct config *c, const struct option *o, const union value *v,
			      struct err *why)
{
	return *v->text ? take_addr(c, o, v, why) : take_text(c, o, v, why);
}

static char *lower(const char *s)
{
	char *out = xstrdup(s);

	for (char *p = out; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	return out;
}

static bool take_log_level(struct config *c, const struct option *o, const union value *v,
			   struct err *why)
{
	if (!log_level_valid(v->text))
		return err_set(why, "'%.40s' is none of DEBUG, INFO, WARNING, ERROR", v->text);
	return take_text(c, o, v, why);
}

static bool take_domain(struct config *c, const struct option *o, const union value *v,
			struct err *why)
{
	const char *what;

	if (strstr(v->text, "://"))
		return err_set(why, "'%.100s' is a URL, a name alone is wanted", v->text);
	c->domain = lower(v->text);
	if (!*c->domain || name_valid(c->domain, false, &what))
		return true;
	return err_set(why, "%s", what);
}

static bool take_engine(struct config *c, const struct option *o, const union value *v,
			struct err *why)
{
	if (stream_engine_parse(v->text, &c->engine))
		return true;
	return err_set(why, "'%.40s' is neither direct nor bufferevent", v->text);
}

static bool take_log_format(struct config *c, const struct option *o, const union value *v,
			    struct err *why)
{
	c->log_format = strcasecmp(v->text, "json") == 0 ? LOG_JSON : LOG_TEXT;
	if (c->log_format == LOG_JSON || strcasecmp(v->text, "text") == 0)
		return true;
	return err_set(why, "'%.40s' is neither text nor json", v->text);
}

static bool take_access_format(struct config *c, const struct option *o, const union value *v,
			       struct err *why)
{
	c->access_json = strcasecmp(v->text, "json") == 0;
	if (c->access_json || strcasecmp(v->text, "combined") == 0)
		return true;
	return err_set(why, "'%.40s' is neither combined nor json", v->text);
}

static bool take_at_least(int min, struct config *c, const struct option *o, const union value *v,
			  struct err *why)
{
	*(uint64_t *)field_of(c, o) = (uint64_t)v->number << 20;
	if (v->number >= min)
		return true;
	return err_set(why, "%d is not at least %d", v->number, min);
}

/* Kept as bytes. */
static bool take_megabytes(struct config *c, const struct option *o, const union value *v,
			   struct err *why)
{
	return take_at_least(1, c, o, v, why);
}

static bool take_megabytes_or_none(struct config *c, const struct option *o, const union value *v,
				   struct err *why)
{
	return take_at_least(0, c, o, v, why);
}

static bool take_limit(struct config *c, const struct option *o, const union value *v,
		       struct err *why)
{
	*(int *)field_of(c, o) = v->number;
	if (v->number >= 0 && v->number <= LIMIT_MOST)
		return true;
	return err_set(why, "%d is not from 0 to %d", v->number, LIMIT_MOST);
}

static bool take_bandwidth(struct config *c, const struct option *o, const union value *v,
			   struct err *why)
{
	uint64_t *rate = field_of(c, o);

	*rate = 0;
	if (!*v->text || strcmp(v->text, "0") == 0 || pace_parse(v->text, rate))
		return true;
	return err_set(why, "'%.40s' is not a bandwidth such as 500K, 10MB/s or 80Mbit/s", v->text);
}

/* systemd may name several directories; the first one counts. */
static bool take_state_dir(struct config *c, const struct option *o, const union value *v,
			   struct err *why)
{
	const char *dir = getenv("STATE_DIRECTORY"), *home = getenv("HOME");

	if (*v->text)
		c->state_dir = xstrdup(v->text);
	else if (dir && *dir)
		c->state_dir = xstrndup(dir, strcspn(dir, ":"));
	else if (home && *home)
		c->state_dir = xasprintf("%s/.pgrokd", home);
	return true;
}

static bool take_tcp_addr(struct config *c, const struct option *o, const union value *v,
			  struct err *why)
{
	const char *text = v->text;
	size_t len = strlen(text);
	struct addr ip;

	if (len > 2 && text[0] == '[' && text[len - 1] == ']') {
		text++;
		len -= 2;
	}
	char *host = xstrndup(text, len);
	bool ok = !len || addr_numeric(host, 0, &ip);

	if (!ok)
		err_set(why, "'%.100s' is not an IP address", v->text);
	c->tcp_host = strchr(host, ':') ? xasprintf("[%s]", host) : xstrdup(host);
	free(host);
	return ok;
}

#define TEXT_OF(n) #n
#define PORTS_FROM(n) TEXT_OF(n) "-65535"
#define TCP_PORTS PORTS_FROM(LIMIT_PORT_MIN)

/* MIN-MAX, both 1-65535; all of them may be given unasked, unless it is the default. */
static bool take_tcp_ports(struct config *c, const struct option *o, const union value *v,
			   struct err *why)
{
	const char *dash = strchr(v->text, '-');
	char min[8];

	if (!*v->text || strcmp(v->text, TCP_PORTS) == 0) {
		c->tcp_port_min = LIMIT_PORT_MIN;
		c->tcp_port_random = LIMIT_PORT_RANDOM;
		c->tcp_port_max = 65535;
		return true;
	}
	if (dash && (size_t)(dash - v->text) < sizeof(min)) {
		snprintf(min, sizeof(min), "%.*s", (int)(dash - v->text), v->text);
		c->tcp_port_min = c->tcp_port_random = addr_port(min);
		c->tcp_port_max = addr_port(dash + 1);
		if (c->tcp_port_min > 0 && c->tcp_port_max >= c->tcp_port_min)
			return true;
	}
	return err_set(why, "'%.40s' is not MIN-MAX with ports from 1 to 65535", v->text);
}

/* Words that may stand before a domain. */
static bool take_reserved(struct config *c, const struct option *o, const union value *v,
			  struct err *why)
{
	const char *list = v->text, *what;
	char *word;
	bool ok = true;

	c->reserved = v->text;
	while (ok && (word = words_next(&list))) {
		ok = strcmp(word, RESERVED_CERT) == 0 || name_valid(word, false, &what);
		if (!ok)
			err_set(why, "'%.60s': %.100s", word, what);
		free(word);
	}
	return ok;
}

/* A token, or @FILE with one in it. */
static bool take_secret(struct config *c, const struct option *o, const union value *v,
			struct err *why)
{
	char **field = field_of(c, o);
	size_t len;

	if (!*v->text)
		return true;
	*field = *v->text == '@' ? file_read(v->text + 1, SECRET_MAX, &len, why) : xstrdup(v->text);
	if (!*field)
		return false;
	len = strlen(*field);
	while (*v->text == '@' && len && isspace((unsigned char)(*field)[len - 1]))
		(*field)[--len] = '\0';
	if (!len)
		return err_set(why, "%.200s is empty", v->text + 1);
	for (const char *p = *field; *p; p++)
		if (*p <= ' ' || *p > '~')
			return err_set(why, "a token is of visible ASCII characters, no blanks");
	return true;
}

static bool take_prefix(struct config *c, const struct option *o, const union value *v,
			struct err *why)
{
	if (!metrics_prefix_valid(v->text))
		return err_set(why, "'%.40s' is not of letters, digits and '_', a letter first",
			       v->text);
	return take_text(c, o, v, why);
}

static bool take_delay(struct config *c, const struct option *o, const union value *v,
		       struct err *why)
{
	*(int *)field_of(c, o) = v->number;
	if (v->number >= 0 && v->number <= DELAY_MAX)
		return true;
	return err_set(why, "%d is not from 0 to %d", v->number, DELAY_MAX);
}

/* "90s", "15m", "24h", "7d": milliseconds. */
static bool read_span(const char *text, uint64_t *ms)
{
	static const struct {
		char unit;
		unsigned s;
	} units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
	size_t digits = strspn(text, "0123456789");

	if (!digits || digits > 7 || !text[digits] || text[digits + 1])
		return false;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		*ms = strtoull(text, NULL, 10) * units[i].s * 1000;
		if (text[digits] == units[i].unit)
			return *ms <= LIMIT_NAME_DAYS * UINT64_C(86400000);
	}
	return false;
}

static bool take_names_keep(struct config *c, const struct option *o, const union value *v,
			    struct err *why)
{
	c->keep_ms[0] = LIMIT_NAME_HELD_MS;
	c->keep_ms[1] = LIMIT_NAME_KEPT_MS;
	if (!*v->text)
		return true;
	if (!read_span(v->text, &c->keep_ms[0]))
		return err_set(why,
			       "'%.40s' is not a time such as 90s, 15m, 24h or 7d, at most %dd",
			       v->text, LIMIT_NAME_DAYS);
	c->keep_ms[1] = c->keep_ms[0];
	return true;
}

static bool take_workers(struct config *c, const struct option *o, const union value *v,
			 struct err *why)
{
	c->workers = v->number;
	if (c->workers == 0) {
		long cores = sysconf(_SC_NPROCESSORS_ONLN);

		c->workers = cores < 1 ? 1 : cores > LIMIT_WORKERS ? LIMIT_WORKERS : (int)cores;
	}
	if (c->workers >= 1 && c->workers <= LIMIT_WORKERS)
		return true;
	return err_set(why, "%d is not from 1 to %d", c->workers, LIMIT_WORKERS);
}

/* An empty list is NULL. */
static bool take_trusted(struct config *c, const struct option *o, const union value *v,
			 struct err *why)
{
	struct nets *n = nets_read(v->text, why);

	if (nets_count(n))
		c->trusted = n;
	else
		nets_free(n);
	return n;
}

/* Words with commas or blanks between them. */
static bool take_proxy_heads(struct config *c, const struct option *o, const union value *v,
			     struct err *why)
{
	static const char *const names[] = {"http", "https", "tunnel", "all"};
	const int all = 3;
	const char *list = v->text;
	char *word;
	bool ok = true;

	while (ok && (word = words_next(&list))) {
		int i = 0;

		while (i <= all && strcasecmp(word, names[i]) != 0)
			i++;
		for (int p = 0; p < all; p++)
			c->proxy_heads[p] |= p == i || i == all;
		ok = i <= all || err_set(why, "'%.40s' is none of http, https, tunnel, all", word);
		free(word);
	}
	return ok;
}

static bool take_forward(struct config *c, size_t i, const char *url, struct err *why)
{
	struct web_url u;

	if (i == CONFIG_FORWARDS)
		return err_set(why, "more than %d of them", CONFIG_FORWARDS - 1);
	c->forward[i] = xstrdup(url);
	if (!web_url_read(&u, url, why))
		return false;
	web_url_free(&u);
	return true;
}

static bool take_forward_auth(struct config *c, const struct option *o, const union value *v,
			      struct err *why)
{
	return !*v->text || take_forward(c, 0, v->text, why);
}

/* URLs, commas or blanks between. */
static bool take_forward_tunnels(struct config *c, const struct option *o, const union value *v,
				 struct err *why)
{
	const char *list = v->text;
	char *url;
	bool ok = true;

	for (size_t i = 1; ok && (url = words_next(&list)); i++) {
		ok = take_forward(c, i, url, why);
		free(url);
	}
	return ok;
}

/* Names of fields, commas or blanks between. */
static bool take_fields(struct config *c, const struct option *o, const union value *v,
			struct err *why)
{
	struct http_fields f = {0};
	bool ok = http_fields_names(&f, v->text, why);

	http_fields_free(&f);
	return ok && take_text(c, o, v, why);
}

/* ---- the table ---- */

#define AT(member) offsetof(struct config, member)

static const struct option options[] = {
	{"config", "", "Path to a YAML file with options under these names; flags beat it",
	 FLAG_STRING, COMMAND, take_file, AT(config_file)},
	{"check", "false", "Read everything, say what would be done, and exit", FLAG_BOOL, COMMAND,
	 take_bool, AT(check)},
	{"", NULL, "Addresses and names:", FLAG_BOOL, RESTART, take_nothing, 0},
	{"domain", "", "Domain where the tunnels are hosted", FLAG_STRING, RESTART, take_domain, 0},
	{"httpAddr", ":80", "Public address for HTTP connections, empty string to disable",
	 FLAG_STRING, RESTART, take_addr_or_none, AT(http_addr)},
	{"httpsAddr", ":443",
	 "Public address listening for HTTPS connections, empty string to disable", FLAG_STRING,
	 RESTART, take_addr_or_none, AT(https_addr)},
	{"tunnelAddr", ":4443", "Public address listening for pgrok clients", FLAG_STRING, RESTART,
	 take_addr, AT(tunnel_addr)},
	{"dripOnHttps", "false", "Let Drip clients come to -httpsAddr as well", FLAG_BOOL, RESTART,
	 take_bool, AT(drip_on_https)},
	{"tcpAddr", "", "IP address that TCP tunnels listen on, empty string for all", FLAG_STRING,
	 RESTART, take_tcp_addr, 0},
	{"tcpPorts", TCP_PORTS, "Ports that TCP tunnels may have, as MIN-MAX", FLAG_STRING, RESTART,
	 take_tcp_ports, 0},
	{"reserved", RESERVED_DEFAULT,
	 "Names below the domain that no tunnel may have; " RESERVED_CERT
	 ": nor those of the certificate",
	 FLAG_STRING, RESTART, take_reserved, 0},
	{"namesKeep", "",
	 "How long a name is its owner's after his connection broke: 90s, 24h; empty: 90s, with "
	 "tokens a day",
	 FLAG_STRING, RESTART, take_names_keep, 0},
	{"trustedProxies", "",
	 "Addresses and networks of proxies in front: the PROXY protocol and X-Forwarded-For are "
	 "believed from them alone",
	 FLAG_STRING, RESTART, take_trusted, 0},
	{"proxyProtocol", "",
	 "Ports where these begin each connection with a PROXY head: http, https, tunnel, all",
	 FLAG_STRING, RESTART, take_proxy_heads, 0},
	{"forwardAuth", "",
	 "URL that is asked about each request of http and https tunnels whether it may pass",
	 FLAG_STRING, RESTART, take_forward_auth, 0},
	{"forwardAuthTunnels", "",
	 "URLs, one of which a tunnel may name to be asked instead about its own requests",
	 FLAG_STRING, RESTART, take_forward_tunnels, 0},
	{"forwardAuthHeaders", "Remote-User,Remote-Groups,Remote-Name,Remote-Email",
	 "Fields that its answer may set in requests that pass; visitors can't", FLAG_STRING,
	 RESTART, take_fields, AT(forward_auth_headers)},
	{"forwardAuthCache", "0",
	 "Seconds for which a visitor that was let in at a tunnel is not asked about again",
	 FLAG_INT, RESTART, take_delay, AT(forward_auth_cache)},
	{"", NULL, "Certificates and state:", FLAG_BOOL, RESTART, take_nothing, 0},
	{"tlsCrt", "", "Path to a TLS certificate file", FLAG_STRING, RELOAD, take_file,
	 AT(tls_crt)},
	{"tlsKey", "", "Path to a TLS key file", FLAG_STRING, RELOAD, take_file, AT(tls_key)},
	{"tlsClientCA", "", "Path to a CA file: visitors over HTTPS need a certificate of it",
	 FLAG_STRING, RELOAD, take_file, AT(client_ca)},
	{"tunnelTLSClientCA", "", "Path to a CA file: pgrok clients need a certificate of it",
	 FLAG_STRING, RELOAD, take_file, AT(tunnel_client_ca)},
	{"authTokens", "",
	 "Path to a YAML file with the tokens that clients may come with, if -config has none",
	 FLAG_STRING, RELOAD, take_file, AT(auth_tokens)},
	{"stateDir", "",
	 "Where the self-signed certificate and the names in use are kept ($STATE_DIRECTORY, else "
	 "~/.pgrokd)",
	 FLAG_STRING, RESTART, take_state_dir, 0},
	{"", NULL, "The log:", FLAG_BOOL, RESTART, take_nothing, 0},
	{"log", "stdout",
	 "Write log messages to this file. 'stdout' and 'none' have special meanings", FLAG_STRING,
	 RESTART, take_text, AT(log)},
	{"log-level", "INFO", "The level of messages to log. One of: DEBUG, INFO, WARNING, ERROR",
	 FLAG_STRING, RESTART, take_log_level, AT(log_level)},
	{"log-format", "text", "Log lines as text or json", FLAG_STRING, RESTART, take_log_format,
	 0},
	{"log-max", "100",
	 "Megabytes after which a new file of either log is begun (five old ones are kept), 0 for "
	 "never",
	 FLAG_INT, RESTART, take_megabytes_or_none, AT(log_max)},
	{"accessLog", "",
	 "Write a line for each request to this file, empty string for none. 'stdout' has a "
	 "special meaning",
	 FLAG_STRING, RESTART, take_file, AT(access_log)},
	{"accessLogFormat", "combined", "Its lines: combined, as web servers write them, or json",
	 FLAG_STRING, RESTART, take_access_format, 0},
	{"accessLogQuery", "true", "With the queries of URLs, which may contain secrets", FLAG_BOOL,
	 RESTART, take_bool, AT(access_query)},
	{"", NULL, "For the operator:", FLAG_BOOL, RESTART, take_nothing, 0},
	{"adminAddr", "",
	 "Address of the admin listener (state, tunnels, metrics), empty string for none",
	 FLAG_STRING, RESTART, take_addr_or_none, AT(admin_addr)},
	{"adminToken", "",
	 "Token that it asks for, or @FILE; needed unless its address is a loopback one",
	 FLAG_STRING, RESTART, take_secret, AT(admin_token)},
	{"metricsPrefix", "pgrok", "What the names of its metrics begin with", FLAG_STRING, RESTART,
	 take_prefix, AT(metrics_prefix)},
	{"stopDelay", "0",
	 "Seconds from SIGTERM to the end, in which /ready of the admin listener says no", FLAG_INT,
	 RESTART, take_delay, AT(stop_delay)},
	{"", NULL, "Limits, 0 for none (in the file below 'limits'):", FLAG_BOOL, RESTART,
	 take_nothing, 0},
	{"maxConnections", "0", "Connections of visitors at once", FLAG_INT, RELOAD, take_limit,
	 AT(limits.connections)},
	{"maxConnectionsPerAddress", "0", "The same from one address", FLAG_INT, RELOAD, take_limit,
	 AT(limits.address_connections)},
	{"maxHalfOpen", "4096", "Connections whose first words are not complete", FLAG_INT, RELOAD,
	 take_limit, AT(limits.half_open)},
	{"maxHalfOpenPerAddress", "256", "The same from one address", FLAG_INT, RELOAD, take_limit,
	 AT(limits.address_half_open)},
	{"maxWaiting", "1024", "Visitors that wait for one client", FLAG_INT, RELOAD, take_limit,
	 AT(limits.waiting)},
	{"visitorRate", "0", "New visitors a second from one address", FLAG_INT, RELOAD, take_limit,
	 AT(limits.visitor_rate)},
	{"tunnelRate", "0", "Requests for tunnels a second from one address", FLAG_INT, RELOAD,
	 take_limit, AT(limits.tunnel_rate)},
	{"tunnelBandwidth", "0",
	 "Bytes a second that each tunnel may carry in each direction: 10MB/s, 80Mbit/s",
	 FLAG_STRING, RELOAD, take_bandwidth, AT(limits.tunnel_bandwidth)},
	{"", NULL, "Further:", FLAG_BOOL, RESTART, take_nothing, 0},
	{"engine", "direct", "How bytes are moved: direct or bufferevent", FLAG_STRING, RESTART,
	 take_engine, 0},
	{"mux", "true", "Let a client's visitors share one connection to it, if it can do that",
	 FLAG_BOOL, RESTART, take_bool, AT(mux)},
	{"muxMemory", "256",
	 "Megabytes that may wait in such shared connections, all clients together", FLAG_INT,
	 RESTART, take_megabytes, AT(mux_memory)},
	{"loopbackExempt", "true",
	 "Do not count half-open connections and wrong passwords from this machine's own addresses",
	 FLAG_BOOL, RESTART, take_bool, AT(loopback_exempt)},
	{"maxMemory", "0",
	 "Megabytes above which new connections are refused, 0 for three quarters of what the "
	 "machine or a control group gives",
	 FLAG_INT, RESTART, take_megabytes_or_none, AT(max_memory)},
	{"workers", "0", "Worker threads, 0 for one per core", FLAG_INT, RESTART, take_workers, 0},
	{"version", "false", "Print the version", FLAG_BOOL, COMMAND, take_bool, AT(version)},
};

#define OPTIONS (sizeof(options) / sizeof(options[0]))

/* Does its key stand below `limits` in the file? */
static bool is_limit(const struct option *o)
{
	return o->field >= AT(limits) && o->field < AT(limits) + sizeof(struct limits);
}

void config_each_limit(const struct config *c, config_limit_fn *fn)
{
	for (size_t i = 0; i < OPTIONS; i++) {
		const char *at = (const char *)c + options[i].field;

		if (is_limit(&options[i]))
			fn(options[i].name, options[i].type == FLAG_INT
						    ? (uint64_t) * (const int *)at
						    : *(const uint64_t *)at);
	}
}

/* Which of the rows are on the command line. */
static struct flag make_flag(size_t i, union value *values, bool *given)
{
	return (struct flag){.name = options[i].name,
			     .type = options[i].type,
			     .value = &values[i],
			     .def = options[i].def,
			     .help = options[i].help,
			     .given = &given[i]};
}

/* The table as flags_parse() wants it; values, given: one for each row. */
static void make_flags(struct flag flags[static OPTIONS + 1], union value *values, bool *given)
{
	for (size_t i = 0; i < OPTIONS; i++)
		flags[i] = make_flag(i, values, given);
	flags[OPTIONS] = (struct flag){.name = NULL};
}

void config_usage(FILE *out)
{
	struct flag flags[OPTIONS + 1];
	union value values[OPTIONS];
	bool given[OPTIONS];

	make_flags(flags, values, given);
	fputs("pgrokd gives services behind pgrok clients a public address.\n\nUsage: pgrokd "
	      "-domain=NAME [FLAGS]\n       pgrokd hash-token [-random]\n\n",
	      out);
	flags_usage(flags, out);
}

void config_reloadable(char names[static 256])
{
	size_t len = 0;

	for (size_t i = 0; i < OPTIONS; i++)
		if (options[i].when == RELOAD && !is_limit(&options[i]) && len < 256)
			len += (size_t)snprintf(names + len, 256 - len, "%s-%s", len ? ", " : "",
						options[i].name);
}

/* ---- parsing ---- */

/* What the file says, unless a flag does. */
static bool lay_file(struct config *c, union value *values, bool *given, struct err *err)
{
	struct config_file *f = xcalloc(1, sizeof(*f) + OPTIONS * sizeof(f->row[0]));

	c->file = f;
	f->n = OPTIONS;
	for (size_t i = 0; i < OPTIONS; i++) {
		f->row[i].type = options[i].type;
		f->row[i].is_limit = is_limit(&options[i]);
		if (*options[i].name && options[i].when != COMMAND)
			f->row[i].name = options[i].name;
	}
	if (!config_file_read(c->config_file, f, err))
		return false;
	for (size_t i = 0; i < OPTIONS; i++) {
		const struct flag flag = make_flag(i, values, given);

		if (f->row[i].text && !given[i] && flag_set(&flag, f->row[i].text))
			return err_set(err, "%s:%u: %s: it can't be read", c->config_file,
				       f->row[i].line, options[i].name);
	}
	return true;
}

/* Says where the value at fault comes from. */
static bool at_fault(const struct config *c, size_t i, bool given, struct err *err)
{
	if (given || !c->file || !c->file->row[i].text)
		return err_set(err, "-%s: %s", options[i].name, err->text);
	return err_set(err, "%s:%u: %s%s: %s", c->config_file, c->file->row[i].line,
		       is_limit(&options[i]) ? "limits." : "", options[i].name, err->text);
}

static bool take_all(struct config *c, const union value *values, const bool *given,
		     struct err *err)
{
	for (size_t i = 0; i < OPTIONS; i++)
		if (!options[i].take(c, &options[i], &values[i], err))
			return at_fault(c, i, given[i], err);
	return config_agrees(c, err);
}

/* From one file or the other. */
static bool take_tokens(struct config *c, struct err *err)
{
	c->tokens = c->file ? tokens_ref(c->file->tokens) : NULL;
	if (!c->auth_tokens)
		return true;
	if (c->tokens)
		return err_set(err, "-authTokens: %s has tokens, too", c->config_file);
	c->tokens = tokens_read(c->auth_tokens, err);
	return c->tokens || err_set(err, "-authTokens: %s", err->text);
}

static bool take_env(struct config *c, struct err *err)
{
	const char *vhost = getenv("VHOST");
	const char *why;

	c->cache_file = getenv("REGISTRY_CACHE_FILE");
	if (c->cache_file && !*c->cache_file)
		c->cache_file = NULL;
	if (!vhost || !*vhost)
		return true;
	c->vhost = lower(vhost);
	if (name_valid(c->vhost, true, &why))
		return true;
	return err_set(err, "VHOST: %s", why);
}

/* Those that come before all checks. */
static const union value *value_of(const char *name, const union value *values)
{
	size_t i = 0;

	while (strcmp(options[i].name, name) != 0)
		i++;
	return &values[i];
}

enum config_rc config_parse(struct config *c, int argc, char **argv, struct err *err)
{
	struct flag flags[OPTIONS + 1];
	union value values[OPTIONS];
	bool given[OPTIONS] = {false};
	int rest;

	memset(c, 0, sizeof(*c));
	make_flags(flags, values, given);
	switch (flags_parse(flags, argc, argv, &rest, err)) {
	case FLAGS_HELP:
		return CONFIG_HELP;
	case FLAGS_BAD:
		return CONFIG_USAGE;
	case FLAGS_OK:
		break;
	}
	if (value_of("version", values)->yes || (rest < argc && strcmp(argv[rest], "version") == 0))
		return CONFIG_VERSION;
	if (rest < argc) {
		err_set(err, "unexpected argument '%.100s' (of a flag: -name=value, no blank)",
			argv[rest]);
		return CONFIG_USAGE;
	}
	c->config_file = value_of("config", values)->text;
	if (*c->config_file && !lay_file(c, values, given, err))
		return CONFIG_BAD;
	if (!take_all(c, values, given, err) || !take_env(c, err) || !take_tokens(c, err))
		return CONFIG_BAD;
	return CONFIG_OK;
}

int config_forward(const struct config *c, const char *url)
{
	if (!url)
		return c->forward[0] ? 1 : 0;
	for (int i = 0; i < CONFIG_FORWARDS; i++)
		if (c->forward[i] && strcmp(c->forward[i], url) == 0)
			return i + 1;
	return 0;
}

void config_free(struct config *c)
{
	xfree_secret_str(c->admin_token);
	free(c->domain);
	free(c->tcp_host);
	free(c->state_dir);
	free(c->vhost);
	config_file_free(c->file);
	nets_free(c->trusted);
	for (int i = 0; i < CONFIG_FORWARDS; i++)
		free(c->forward[i]);
	tokens_unref(c->tokens);
	memset(c, 0, sizeof(*c));
}
