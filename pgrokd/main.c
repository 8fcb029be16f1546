/* pgrokd: signals, the cache file, start and end. */
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"
#include "common/base/version.h"
#include "common/mux/mux.h"
#include "common/net/socket.h"
#include "msg/pgrok/msg.h"
#include "pgrokd/commands.h"
#include "pgrokd/limits.h"
#include "pgrokd/names/cachefile.h"
#include "pgrokd/names/statefile.h"
#include "pgrokd/server.h"

#define SIGNALS 4

/* What the main thread does while the workers work. */
struct program {
	struct loop *loop;
	struct server *server;
	const struct config *config;
	int argc;
	char **argv;
	struct event *sig[SIGNALS];
	struct loop_timer save, end;
	bool stopping;
	struct savefile cache, state;
};

static void on_stop(evutil_socket_t sig, short what, void *arg)
{
	struct program *p = arg;

	(void)what;
	if (p->config->stop_delay && !p->stopping) {
		p->stopping = true;
		server_stopping(p->server);
		log_info("server", "%s: stopping in %d s (at once at the next signal)",
			 strsignal((int)sig), p->config->stop_delay);
		loop_after(&p->end, (uint64_t)p->config->stop_delay * 1000);
		return;
	}
	log_info("server", "Stopping: %s", strsignal((int)sig));
	loop_stop(p->loop);
}

static void on_end(void *arg)
{
	struct program *p = arg;

	log_info("server", "Stopping");
	loop_stop(p->loop);
}

static void on_hangup(evutil_socket_t sig, short what, void *arg)
{
	struct program *p = arg;

	(void)sig;
	(void)what;
	struct config next;
	char files[256];
	struct err err;

	log_reopen();
	config_reloadable(files);
	log_info(
		"server",
		"Log reopened; reloading the files of %s, and the tokens of -config (other options "
		"need a restart)",
		files);
	if (config_parse(&next, p->argc, p->argv, &err) == CONFIG_OK)
		server_reload(p->server, &next);
	else
		log_error("server", "Not reloaded: %s", err.text);
	config_free(&next);
}

static void on_census(evutil_socket_t sig, short what, void *arg)
{
	struct program *p = arg;

	(void)sig;
	(void)what;
	server_census(p->server, p->loop, census_log, NULL);
}

static void save(struct program *p)
{
	struct registry *r = server_registry(p->server);

	cachefile_save(&p->cache, r);
	statefile_save(&p->state, p->config->domain, r);
}

static void on_save(void *arg)
{
	struct program *p = arg;

	save(p);
	memory_tidy();
	loop_after(&p->save, LIMIT_SAVE_MS);
}

static const struct {
	int sig;
	event_callback_fn fn;
} signals[SIGNALS] = {
	{SIGINT, on_stop}, {SIGTERM, on_stop}, {SIGHUP, on_hangup}, {SIGUSR1, on_census}};

/* Blocked before any thread is made, so that only the main thread gets them. */
static void block_signals(int how)
{
	sigset_t set;

	sigemptyset(&set);
	for (int i = 0; i < SIGNALS; i++)
		sigaddset(&set, signals[i].sig);
	pthread_sigmask(how, &set, NULL);
}

static void program_start(struct program *p)
{
	struct event_base *base = loop_base(p->loop);

	for (int i = 0; i < SIGNALS; i++) {
		p->sig[i] = evsignal_new(base, signals[i].sig, signals[i].fn, p);
		if (!p->sig[i] || event_add(p->sig[i], NULL) != 0)
			fatal("no handler for signal %d", signals[i].sig);
	}
	loop_timer_init(&p->end, p->loop, on_end, p);
	loop_timer_init(&p->save, p->loop, on_save, p);
	loop_after(&p->save, LIMIT_SAVE_MS);
}

static void program_stop(struct program *p)
{
	loop_timer_stop(&p->save);
	loop_timer_stop(&p->end);
	for (int i = 0; i < SIGNALS; i++)
		event_free(p->sig[i]);
}

static void load(struct program *p)
{
	struct registry *r = server_registry(p->server);

	p->cache = savefile_of("REGISTRY_CACHE_FILE", p->config->cache_file);
	p->state = statefile_of(p->config->state_dir);
	cachefile_load(&p->cache, r);
	statefile_load(&p->state, p->config->domain, r);
}

/* The last time: names in use are held by now, for owners that come back to the next server. */
static void save_at_end(struct program *p)
{
	savefile_hurry(&p->cache);
	savefile_hurry(&p->state);
	save(p);
	savefile_free(&p->cache);
	savefile_free(&p->state);
}

static void run(const struct config *config, int argc, char **argv)
{
	struct program p = {.config = config, .argc = argc, .argv = argv};
	struct err err;

	p.loop = loop_new();
	p.server = server_new(config, &err);
	if (!p.server)
		fatal("%s", err.text);
	load(&p);
	block_signals(SIG_BLOCK);
	program_start(&p);
	server_start(p.server, p.loop);
	block_signals(SIG_UNBLOCK);

	loop_run(p.loop);

	program_stop(&p);
	server_stop(p.server);
	save_at_end(&p);
	server_free(p.server);
	loop_free(p.loop);
}

int main(int argc, char **argv)
{
	struct config config;
	struct err err;

	if (argc > 1 && strcmp(argv[1], "hash-token") == 0)
		return command_hash_token(argc - 1, argv + 1);
	/* A heap per thread would keep what another thread freed. */
	mallopt(M_ARENA_MAX, 2);
	switch (config_parse(&config, argc, argv, &err)) {
	case CONFIG_HELP:
		config_usage(stdout);
		config_free(&config);
		return 0;
	case CONFIG_VERSION:
		puts("pgrokd " OWN_VERSION " (protocol of pgrok " MSG_SOFTWARE_VERSION ")");
		config_free(&config);
		return 0;
	case CONFIG_USAGE:
		fprintf(stderr, "%s\n'pgrokd -h' lists the flags.\n", err.text);
		config_free(&config);
		return 2;
	case CONFIG_BAD:
		fatal("%s", err.text);
	case CONFIG_OK:
		break;
	}
	if (config.check) {
		int status = command_check(&config);

		config_free(&config);
		return status;
	}
	if (!log_open(config.log, config.log_level, &err))
		fatal("-log: %s", err.text);
	log_set_format(config.log_format);
	log_set_max(config.log_max);
	stream_set_engine(config.engine);
	mux_set_memory(config.mux_memory);
	memory_set_max(config.max_memory);
	socket_raise_nofile();
	run(&config, argc, argv);
	config_free(&config);
	log_close();
	libevent_global_shutdown();
	return 0;
}
