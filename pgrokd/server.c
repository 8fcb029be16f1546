/* The server as a whole: ports, certificates, worker threads. Runs on the main thread. */
#include "pgrokd/server.h"

#include <stdlib.h>
#include <string.h>

#include "pgrokd/client/client.h"
#include "pgrokd/front/lobby.h"
#include "pgrokd/visitor/visitor.h"

static const char *const port_option[PORTS] = {"-httpAddr", "-httpsAddr", "-tunnelAddr"};
static const char *const port_words[PORTS] = {"public http", "public https", "control and proxy"};

/* ---- certificates ---- */

static bool load_tls(struct server *s, SSL_CTX *out[static PORTS], char err[static 256])
{
	char note[256] = "", why[256];
	struct tls_server_conf conf = {
		.cert = s->config->tls_crt,
		.key = s->config->tls_key,
		.state_dir = s->config->state_dir,
		.domain = s->config->domain,
	};

	for (int p = PORT_HTTPS; p < PORTS; p++) {
		if (!s->on[p])
			continue;
		conf.client_ca =
			p == PORT_TUNNEL ? s->config->tunnel_client_ca : s->config->client_ca;
		out[p] = tls_server_ctx(&conf, note, why);
		if (!out[p])
			goto fail;
		s->tls_in_memory |= note[0] != '\0';
	}
	/* The same of all ports. */
	if (note[0])
		log_warn("tls", "%s", note);
	return true;
fail:
	snprintf(err, 256, "-tlsCrt, -tlsKey or a client CA: %.200s", why);
	for (int p = 0; p < PORTS; p++) {
		SSL_CTX_free(out[p]);
		out[p] = NULL;
	}
	return false;
}

struct tls_news {
	struct loop_msg msg;
	struct worker *worker;
	SSL_CTX *tls[PORTS];
};

static void drop_tls_news(struct loop_msg *m)
{
	struct tls_news *news = (struct tls_news *)m;

	for (int p = 0; p < PORTS; p++)
		SSL_CTX_free(news->tls[p]);
	free(news);
}

static void deliver_tls_news(struct loop_msg *m, struct loop *l)
{
	struct tls_news *news = (struct tls_news *)m;

	(void)l;
	for (int p = 0; p < PORTS; p++) {
		SSL_CTX *old = news->worker->tls[p];

		news->worker->tls[p] = news->tls[p];
		news->tls[p] = old;
	}
	drop_tls_news(m);
}

static SSL_CTX *tls_ref(SSL_CTX *ctx)
{
	if (ctx)
		SSL_CTX_up_ref(ctx);
	return ctx;
}

void server_reload_tls(struct server *s)
{
	SSL_CTX *fresh[PORTS] = {NULL};
	char err[256];

	if (s->tls_in_memory)
		return; /* it would be another key, and every pin would be wrong */
	if (!load_tls(s, fresh, err)) {
		log_error("tls", "Certificates not reloaded: %s", err);
		return;
	}
	for (int i = 0; i < s->n_workers; i++) {
		struct tls_news *news = xcalloc(1, sizeof(*news));

		news->msg.deliver = deliver_tls_news;
		news->msg.drop = drop_tls_news;
		news->worker = &s->worker[i];
		for (int p = 0; p < PORTS; p++)
			news->tls[p] = tls_ref(fresh[p]);
		loop_post(s->worker[i].loop, &news->msg);
	}
	for (int p = 0; p < PORTS; p++) {
		SSL_CTX_free(s->tls[p]);
		s->tls[p] = fresh[p];
	}
	log_info("tls", "Certificates reloaded");
}

/* ---- ports ---- */

static bool bind_port(struct server *s, enum port p, const char *addr, char err[static 256])
{
	struct listener_fds first, next;
	char why[256];

	if (!listener_bind(addr, &first, why))
		goto fail;
	for (int i = 1; i < s->n_workers; i++) {
		if (!listener_bind_sibling(&first, &next, why)) {
			listener_fds_close(&first);
			goto fail;
		}
		s->worker[i].listener[p] = lobby_listen(&s->worker[i], p, &next);
	}
	struct addr bound = listener_addr(&first);

	if (p == PORT_HTTP)
		s->site.http_port = addr_get_port(&bound);
	if (p == PORT_HTTPS)
		s->site.https_port = addr_get_port(&bound);
	s->bound[p] = bound;
	s->worker[0].listener[p] = lobby_listen(&s->worker[0], p, &first);
	return true;
fail:
	snprintf(err, 256, "%s: %.220s", port_option[p], why);
	return false;
}

static bool bind_ports(struct server *s, char err[static 256])
{
	const char *addr[PORTS] = {s->config->http_addr, s->config->https_addr,
				   s->config->tunnel_addr};

	for (int p = 0; p < PORTS; p++)
		if (s->on[p] && !bind_port(s, (enum port)p, addr[p], err))
			return false;
	return true;
}

/* ---- workers ---- */

static void worker_init(struct server *s, int index)
{
	struct worker *w = &s->worker[index];

	w->server = s;
	w->index = index;
	snprintf(w->name, sizeof(w->name), "worker:%d", index);
	w->loop = loop_new(w->name);
	TAILQ_INIT(&w->guests);
	TAILQ_INIT(&w->publics);
	w->clients = strmap_new();
	w->controls = idmap_new();
	w->tunnels = idmap_new();
	w->bids = idmap_new();
	for (int p = 0; p < PORTS; p++)
		w->tls[p] = tls_ref(s->tls[p]);
}

/* The order matters: nothing new, then what hangs on others, then the others. */
static void worker_close_all(struct worker *w)
{
	for (int p = 0; p < PORTS; p++)
		if (w->listener[p])
			listener_close(w->listener[p]);
	memset(w->listener, 0, sizeof(w->listener));
	lobby_close_all(w);
	control_close_all(w, "the server stops");
	public_close_all(w, "the server stops");
}

static void worker_free(struct worker *w)
{
	loop_free(w->loop);
	strmap_free(w->clients);
	idmap_free(w->controls);
	idmap_free(w->tunnels);
	idmap_free(w->bids);
	for (int p = 0; p < PORTS; p++)
		SSL_CTX_free(w->tls[p]);
}

static void *worker_run(void *arg)
{
	struct worker *w = arg;

	loop_run(w->loop);
	return NULL;
}

struct stop_news {
	struct loop_msg msg;
	struct worker *worker;
};

static void drop_stop(struct loop_msg *m)
{
	free((struct stop_news *)m);
}

static void deliver_stop(struct loop_msg *m, struct loop *l)
{
	worker_close_all(((struct stop_news *)m)->worker);
	loop_stop(l);
	drop_stop(m);
}

/* ---- life ---- */

struct server *server_new(const struct config *c, char err[static 256])
{
	struct server *s = xcalloc(1, sizeof(*s));

	s->config = c;
	s->n_workers = c->workers;
	s->registry = registry_new(s->n_workers);
	s->door = door_new(LIMIT_HALF_OPEN_PER_IP);
	s->site = (struct name_site){.domain = c->domain, .vhost = c->vhost};
	s->on[PORT_HTTP] = *c->http_addr;
	s->on[PORT_HTTPS] = *c->https_addr;
	s->on[PORT_TUNNEL] = true;
	s->worker = xcalloc((size_t)s->n_workers, sizeof(*s->worker));
	bool ok = load_tls(s, s->tls, err);

	for (int i = 0; i < s->n_workers; i++)
		worker_init(s, i);
	if (ok && bind_ports(s, err))
		return s;
	for (int i = 0; i < s->n_workers; i++)
		worker_close_all(&s->worker[i]);
	server_free(s);
	return NULL;
}

static void say_ready(const struct server *s)
{
	char text[ADDR_TEXT], pin[TLS_PIN_TEXT];

	log_warn("server", "Tokens are not checked: anybody who reaches %s can open tunnels",
		 addr_text(&s->bound[PORT_TUNNEL], text));
	if (!s->config->tls_crt) {
		tls_ctx_pin(s->tls[PORT_TUNNEL], pin);
		log_info("tls", "Self-made certificate; clients can pin it: server_pin: %s", pin);
	}
	for (int p = 0; p < PORTS; p++)
		if (s->on[p])
			log_info("server", "Listening for %s connections on %s", port_words[p],
				 addr_text(&s->bound[p], text));
}

void server_start(struct server *s)
{
	for (int i = 0; i < s->n_workers; i++)
		if (pthread_create(&s->worker[i].thread, NULL, worker_run, &s->worker[i]) != 0)
			fatal("-workers: no thread for worker %d", i);
	say_ready(s);
}

void server_stop(struct server *s)
{
	for (int i = 0; i < s->n_workers; i++) {
		struct stop_news *news = xcalloc(1, sizeof(*news));

		news->msg.deliver = deliver_stop;
		news->msg.drop = drop_stop;
		news->worker = &s->worker[i];
		loop_post(s->worker[i].loop, &news->msg);
	}
	for (int i = 0; i < s->n_workers; i++)
		pthread_join(s->worker[i].thread, NULL);
}

void server_free(struct server *s)
{
	for (int i = 0; i < s->n_workers; i++)
		worker_free(&s->worker[i]);
	free(s->worker);
	for (int p = 0; p < PORTS; p++)
		SSL_CTX_free(s->tls[p]);
	door_free(s->door);
	registry_free(s->registry);
	free(s);
}
