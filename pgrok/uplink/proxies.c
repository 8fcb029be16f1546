/* How many proxy connections there are. */
#include "pgrok/uplink/proxies.h"

#include <assert.h>
#include <string.h>

#include "common/base/log.h"
#include "pgrok/config/limits.h"
#include "pgrok/uplink/pgrok_proxy.h"

struct proxies {
	struct proxy_conf conf;
	TAILQ_HEAD(, pgrok_proxy) list;
	unsigned count[PROXY_STATES];
	unsigned queued; /* asked for, not begun */
	char *client_id; /* what they register with; a credential */
	bool reuse;      /* the server knows connections that are used again */
	bool told_full;
	uint64_t ids;
};

static unsigned without_visitor(const struct proxies *all)
{
	return all->count[PROXY_CONNECTING] + all->count[PROXY_WAITING] +
	       reused_idle(all->conf.reused);
}

static void add(struct proxies *all, struct pgrok_proxy *p)
{
	TAILQ_INSERT_HEAD(&all->list, p, link);
	all->count[p->state]++;
}

static void begin_queued(struct proxies *all)
{
	while (all->queued && all->count[PROXY_CONNECTING] < LIMIT_PROXIES_CONNECTING &&
	       without_visitor(all) < LIMIT_PROXIES_WAITING) {
		all->queued--;
		add(all, pgrok_proxy_connect(&all->conf, ++all->ids, all->client_id, all->reuse));
	}
}

static void on_state(void *arg, struct pgrok_proxy *p, enum proxy_state was)
{
	struct proxies *all = arg;

	all->count[was]--;
	if (p->state == PROXY_CLOSED)
		TAILQ_REMOVE(&all->list, p, link);
	else
		all->count[p->state]++;
	begin_queued(all);
}

static const struct proxy_hooks hooks = {.on_state = on_state};

void proxies_add(struct proxies *all, const char *client_id)
{
	if (!all->client_id || strcmp(all->client_id, client_id) != 0) {
		/* Those of an earlier control connection ended with it. */
		assert(!all->count[PROXY_CONNECTING]);
		xfree_secret_str(all->client_id);
		all->client_id = xstrdup(client_id);
	}
	if (all->queued < LIMIT_PROXIES_QUEUED) {
		all->queued++;
		begin_queued(all);
	} else if (!all->told_full) {
		all->told_full = true;
		log_warn("proxies",
			 "The server asks for too many proxy connections: ignored from now on "
			 "while %d wait to be opened",
			 LIMIT_PROXIES_QUEUED);
	}
}

void proxies_accept(struct proxies *all, struct stream *s)
{
	add(all, pgrok_proxy_accept(&all->conf, ++all->ids, s));
}

static void on_reused_stream(void *arg, struct stream *s)
{
	proxies_accept(arg, s);
	begin_queued(arg);
}

void proxies_reuse(struct proxies *all)
{
	all->reuse = true;
}

void proxies_drop_waiting(struct proxies *all, const char *reason)
{
	struct pgrok_proxy *p;

	all->reuse = false;
	all->queued = 0;
	reused_drop(all->conf.reused, reason);
	while ((p = TAILQ_FIRST(&all->list)))
		pgrok_proxy_close(p, reason);
}

struct proxies *proxies_new(struct loop *l, struct connector *connector, struct visits *visits,
			    struct mux_account *memory)
{
	struct proxies *all = xcalloc(1, sizeof(*all));

	TAILQ_INIT(&all->list);
	all->conf = (struct proxy_conf){.loop = l,
					.connector = connector,
					.visits = visits,
					.reused = reused_new(l, memory, on_reused_stream, all),
					.hooks = &hooks,
					.arg = all};
	return all;
}

void proxies_close(struct proxies *all, const char *reason)
{
	proxies_drop_waiting(all, reason);
	reused_close(all->conf.reused, reason);
	xfree_secret_str(all->client_id);
	loop_free_later(all->conf.loop, all, NULL);
}
