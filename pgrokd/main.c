/* pgrokd: signals, the cache file, start and end. */
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "common/mux/mux.h"
#include "common/net/listener.h"
#include "pgrokd/names/cachefile.h"
#include "pgrokd/limits.h"
#include "pgrokd/server.h"

/* What the main thread does while the workers work. */
struct chief {
	struct loop *loop;
	struct server *server;
	const struct config *config;
	struct event *sig[3];
	struct loop_timer save;
};

static void on_stop(evutil_socket_t sig, short what, void *arg)
{
	struct chief *chief = arg;

	(void)what;
	log_info("server", "Stopping: %s", strsignal((int)sig));
	loop_stop(chief->loop);
}

static void on_hangup(evutil_socket_t sig, short what, void *arg)
{
	struct chief *chief = arg;

	(void)sig;
	(void)what;
	log_reopen();
	log_info("server", "Log reopened");
	server_reload_tls(chief->server);
}

static void on_save(void *arg)
{
	struct chief *chief = arg;

	cachefile_save(chief->config->cache_file, server_registry(chief->server));
	loop_after(&chief->save, LIMIT_SAVE_MS);
}

static const struct {
	int sig;
	event_callback_fn fn;
} signals[] = {{SIGINT, on_stop}, {SIGTERM, on_stop}, {SIGHUP, on_hangup}};

/* Blocked before any thread is made, so that only the main thread gets them. */
static void block_signals(int how)
{
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaddset(&set, signals[i].sig);
	pthread_sigmask(how, &set, NULL);
}

static void chief_start(struct chief *chief)
{
	struct event_base *base = loop_base(chief->loop);

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		chief->sig[i] = evsignal_new(base, signals[i].sig, signals[i].fn, chief);
		if (!chief->sig[i] || event_add(chief->sig[i], NULL) != 0)
			fatal("no handler for signal %d", signals[i].sig);
	}
	loop_timer_init(&chief->save, chief->loop, on_save, chief);
	if (chief->config->cache_file)
		loop_after(&chief->save, LIMIT_SAVE_MS);
}

static void chief_stop(struct chief *chief)
{
	loop_timer_stop(&chief->save);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		event_free(chief->sig[i]);
}

static void run(const struct config *config)
{
	struct chief chief = {.config = config};
	char err[256];

	chief.loop = loop_new("main");
	chief.server = server_new(config, err);
	if (!chief.server)
		fatal("%s", err);
	if (config->cache_file)
		cachefile_load(config->cache_file, server_registry(chief.server));
	block_signals(SIG_BLOCK);
	chief_start(&chief);
	server_start(chief.server);
	block_signals(SIG_UNBLOCK);

	loop_run(chief.loop);

	chief_stop(&chief);
	server_stop(chief.server);
	if (config->cache_file)
		cachefile_save(config->cache_file, server_registry(chief.server));
	server_free(chief.server);
	loop_free(chief.loop);
}

int main(int argc, char **argv)
{
	struct config config;
	char err[256];

	/* A heap per thread would keep what another thread freed. */
	mallopt(M_ARENA_MAX, 2);
	switch (config_parse(&config, argc, argv, err)) {
	case CONFIG_HELP:
		config_usage(stderr);
		config_free(&config);
		return 0;
	case CONFIG_USAGE:
		fprintf(stderr, "%s\n", err);
		config_usage(stderr);
		config_free(&config);
		return 2;
	case CONFIG_BAD:
		fatal("%s", err);
	case CONFIG_OK:
		break;
	}
	if (!log_open(config.log, config.log_level, err))
		fatal("%s", err);
	log_set_format(config.log_format);
	log_set_max(config.log_max);
	if (config.ignored)
		log_warn("server", "'%s' is no flag: it is ignored, and so is all that follows it",
			 config.ignored);
	stream_set_engine(config.engine);
	mux_set_memory(config.mux_memory);
	socket_raise_nofile();
	run(&config);
	config_free(&config);
	log_close();
	libevent_global_shutdown();
	return 0;
}
