/* What a person sees of the client. */
#include "pgrok/model/model.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/addr.h"
#include "pgrok/config/config.h"

struct model *model_new(void)
{
	return xcalloc(1, sizeof(struct model));
}

static void tunnel_clear(struct model_tunnel *t)
{
	free(t->url);
	free(t->req_id);
}

void model_free(struct model *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->tunnels_n; i++)
		tunnel_clear(&m->tunnels[i]);
	free(m->tunnels);
	free(m->last_error);
	free(m->server_version);
	free(m);
}

void model_watch(struct model *m, struct model_watch *w)
{
	w->next = m->watches;
	m->watches = w;
}

void model_unwatch(struct model *m, struct model_watch *w)
{
	struct model_watch **at = &m->watches;

	while (*at && *at != w)
		at = &(*at)->next;
	if (*at)
		*at = w->next;
}

static void tell(struct model *m, enum model_event ev)
{
	struct model_watch *next;

	for (struct model_watch *w = m->watches; w; w = next) {
		next = w->next;
		w->fn(w->arg, m, ev);
	}
}

void model_set_state(struct model *m, enum model_state state, const char *error, uint32_t retry_ms)
{
	char *copy = error ? xstrdup(error) : NULL;

	free(m->last_error);
	m->last_error = copy;
	m->state = state;
	m->retry_ms = retry_ms;
	tell(m, MODEL_EV_STATE);
}

void model_session(struct model *m, const char *server_version)
{
	free(m->server_version);
	m->server_version = xstrdup(server_version);
	m->session++;
}

/* The same tunnel of an earlier session, or the same answer twice. */
static struct model_tunnel *find_place(struct model *m, const struct config_tunnel *conf,
				       enum proto proto)
{
	for (size_t i = 0; i < m->tunnels_n; i++) {
		if (m->tunnels[i].conf == conf && m->tunnels[i].proto == proto)
			return &m->tunnels[i];
	}
	m->tunnels = xrealloc(m->tunnels, (m->tunnels_n + 1) * sizeof(*m->tunnels));
	m->tunnels[m->tunnels_n] = (struct model_tunnel){0};
	return &m->tunnels[m->tunnels_n++];
}

void model_add_tunnel(struct model *m, const struct config_tunnel *conf, enum proto proto,
		      const char *req_id, const char *url)
{
	struct model_tunnel *t = find_place(m, conf, proto);
	unsigned open = t->open;

	tunnel_clear(t);
	*t = (struct model_tunnel){
		.url = xstrdup(url),
		.req_id = xstrdup(req_id),
		.proto = proto,
		.conf = conf,
		.local = &conf->local[proto],
		.session = m->session,
		.open = open,
	};
	m->changed = t;
	tell(m, MODEL_EV_TUNNEL);
	m->changed = NULL;
}

/* Those of conf; NULL: the stale ones. */
static bool to_drop(const struct model *m, const struct model_tunnel *t,
		    const struct config_tunnel *conf)
{
	return conf ? t->conf == conf : t->session != m->session;
}

static void drop_tunnels(struct model *m, const struct config_tunnel *conf)
{
	size_t kept = 0;

	for (size_t i = 0; i < m->tunnels_n; i++) {
		if (!to_drop(m, &m->tunnels[i], conf))
			continue;
		m->changed = &m->tunnels[i];
		tell(m, MODEL_EV_GONE);
		m->changed = NULL;
	}
	for (size_t i = 0; i < m->tunnels_n; i++) {
		if (!to_drop(m, &m->tunnels[i], conf))
			m->tunnels[kept++] = m->tunnels[i];
		else
			tunnel_clear(&m->tunnels[i]);
	}
	m->tunnels_n = kept;
}

void model_drop_tunnels(struct model *m, const struct config_tunnel *conf)
{
	drop_tunnels(m, conf);
}

void model_drop_stale(struct model *m)
{
	drop_tunnels(m, NULL);
}

bool model_has(const struct model *m, const struct config_tunnel *conf)
{
	size_t i = 0;

	while (i < m->tunnels_n && m->tunnels[i].conf != conf)
		i++;
	return i < m->tunnels_n;
}

const struct model_tunnel *model_find(const struct model *m, const char *url)
{
	for (size_t i = 0; i < m->tunnels_n; i++) {
		const struct model_tunnel *t = &m->tunnels[i];
		if (t->session == m->session && strcmp(t->url, url) == 0)
			return t;
	}
	return NULL;
}

void model_note(struct model *m, const char *text)
{
	m->note = text;
	tell(m, MODEL_EV_NOTE);
	m->note = NULL;
}

void model_secret_note(struct model *m, const char *text)
{
	m->note_secret = true;
	model_note(m, text);
	m->note_secret = false;
}

static void tell_traffic(struct model *m, const struct endpoint *local, int64_t ended_ms)
{
	for (size_t i = 0; local && i < m->tunnels_n; i++) {
		if (m->tunnels[i].local == local)
			m->changed = &m->tunnels[i];
	}
	if (m->changed)
		m->changed->open += ended_ms < 0 ? 1 : -1u;
	m->ended_ms = ended_ms;
	tell(m, MODEL_EV_TRAFFIC);
	m->changed = NULL;
}

void model_conn_begin(struct model *m, const struct endpoint *local)
{
	m->counters.connections++;
	m->counters.open++;
	tell_traffic(m, local, -1);
}

void model_conn_end(struct model *m, const struct endpoint *local, uint64_t duration_ms,
		    uint64_t in, uint64_t out)
{
	m->counters.open--;
	m->counters.ended++;
	m->counters.duration_ms += duration_ms;
	m->counters.bytes_in += in;
	m->counters.bytes_out += out;
	tell_traffic(m, local, (int64_t)duration_ms);
}

void model_conn_refused(struct model *m)
{
	m->counters.refused++;
	tell(m, MODEL_EV_TRAFFIC);
}

void model_set_live(struct model *m, const struct model_live *live)
{
	m->live = live ? *live : (struct model_live){0};
}

void model_bytes(const struct model *m, uint64_t *in, uint64_t *out)
{
	*in = *out = 0;
	if (m->live.bytes)
		m->live.bytes(m->live.arg, in, out);
	*in += m->counters.bytes_in;
	*out += m->counters.bytes_out;
}

void model_set_latency(struct model *m, uint32_t us)
{
	m->latency_us = us ? us : 1;
}

uint32_t model_latency_us(const struct model *m)
{
	uint32_t live = m->live.rtt_us ? m->live.rtt_us(m->live.arg) : 0;

	return live ? live : m->latency_us;
}
