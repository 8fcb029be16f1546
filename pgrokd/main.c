/* pgrokd: signals, the cache file, start and end. */
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

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

/* What the main thread does while the workers work. */
struct program {
	struct loop *loop;
	struct server *server;
	const struct config *config;
	int argc;
	char **argv;
	struct event signal;
	struct loop_timer save, end;
	bool stopping;
	struct savefile cache, state;
};

static void on_stop(struct program *p, int sig)
{
	if (p->config->stop_delay && !p->stopping) {
		p->stopping = true;
		server_stopping(p->server);
		log_info("server", "%s: stopping in %d s (at once at the next signal)",
			 strsignal(sig), p->config->stop_delay);
		loop_after(&p->end, (uint64_t)p->config->stop_delay * 1000);
		return;
	}
	log_info("server", "Stopping: %s", strsignal(sig));
	loop_stop(p->loop);
}

static void on_end(void *arg)
{
	struct program *p = arg;

	log_info("server", "Stopping");
	loop_stop(p->loop);
}

static void on_hangup(struct program *p, int sig)
{
	(void)sig;
	struct config next;
	char files[256];
	struct err err;

	server_reopen_logs(p->server);
	config_reloadable(files);
	log_info(
		"server",
		"Logs reopened; reloading the files of %s, and tokens and limits of -config (other "
		"options need a restart)",
		files);
	if (config_parse(&next, p->argc, p->argv, &err) == CONFIG_OK)
		server_reload(p->server, &next);
	else
		log_error("server", "Not reloaded: %s", err.text);
	config_free(&next);
}

static void on_census(struct program *p, int sig)
{
	(void)sig;
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
	void (*fn)(struct program *p, int sig);
} signals[] = {{SIGINT, on_stop}, {SIGTERM, on_stop}, {SIGHUP, on_hangup}, {SIGUSR1, on_census}};

static void on_signal(evutil_socket_t fd, short what, void *arg)
{
	struct signalfd_siginfo info;

	(void)what;
	if (read(fd, &info, sizeof(info)) != sizeof(info))
		return;
	for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++)
		if (signals[i].sig == (int)info.ssi_signo)
			signals[i].fn(arg, signals[i].sig);
}

/*
 * Signals are read, not caught: blocked before any thread is made, they interrupt nothing, and one
 * that comes while the server starts or saves its files waits.
 */
static void program_start(struct program *p)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++)
		sigaddset(&set, signals[i].sig);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (fd < 0)
		fatal("signalfd: %s", strerror(errno));
	event_assign(&p->signal, loop_base(p->loop), fd, EV_READ | EV_PERSIST, on_signal, p);
	event_add(&p->signal, NULL);
	loop_timer_init(&p->end, p->loop, on_end, p);
	loop_timer_init(&p->save, p->loop, on_save, p);
	loop_after(&p->save, LIMIT_SAVE_MS);
}

static void program_stop(struct program *p)
{
	loop_timer_stop(&p->save);
	loop_timer_stop(&p->end);
	event_del(&p->signal);
	close(event_get_fd(&p->signal));
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
	program_start(&p);
	server_start(p.server, p.loop);

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
