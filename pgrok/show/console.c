/* What happens, line by line. */
#include "pgrok/show/console.h"

#include <stdarg.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/out.h"
#include "pgrok/config/config.h"

/* Control characters, C1 ones included (in UTF-8: 0xC2 0x80-0x9F), become '?'. */
static void make_safe(char *text)
{
	for (unsigned char *p = (unsigned char *)text; *p; p++) {
		if (p[0] == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f)
			p[0] = p[1] = '?';
		else if (*p < ' ' || *p == 0x7f)
			*p = '?';
	}
}

void console_line(FILE *out, const char *fmt, ...)
{
	static struct out outs[2];
	static bool ready[2];
	const bool err = out == stderr;
	char text[1024];
	va_list ap;

	if (!ready[err])
		out_init(&outs[err], fileno(out));
	ready[err] = true;
	va_start(ap, fmt);
	int n = vsnprintf(text, sizeof(text), fmt, ap);

	va_end(ap);
	make_safe(text);
	n = n < (int)sizeof(text) - 1 ? n : (int)sizeof(text) - 2;
	text[n] = '\n';
	out_line(&outs[err], text, (size_t)n + 1);
}

static void show_state(struct console *c, const struct model *m)
{
	const char *why = m->last_error ? m->last_error : "no reason given";

	if (m->state == MODEL_ONLINE) {
		if (c->was_online && c->shown != MODEL_ONLINE)
			console_line(stdout, "Reconnected");
		c->was_online = true;
	} else if (m->retry_ms) {
		const char *what = c->shown == MODEL_ONLINE ? "Connection lost"
				   : c->was_online          ? "Still no connection"
							    : "No connection";
		console_line(stdout, "%s: %s; %s in %.0f s", what, why,
			     c->was_online ? "reconnecting" : "trying again", m->retry_ms / 1000.0);
	} else if (!c->greeted) {
		console_line(stdout, "Connecting to %s", c->server);
		c->greeted = true;
	}
	c->shown = m->state;
}

static void on_event(void *arg, const struct model *m, enum model_event ev)
{
	struct console *c = arg;

	switch (ev) {
	case MODEL_EV_STATE:
		show_state(c, m);
		break;
	case MODEL_EV_TUNNEL:
		console_line(stdout, "Tunnel established at %s", m->changed->url);
		break;
	case MODEL_EV_GONE:
		console_line(stdout, "Tunnel no longer at %s", m->changed->url);
		break;
	case MODEL_EV_NOTE:
		console_line(stdout, "%s", m->note);
		break;
	case MODEL_EV_TRAFFIC:
		break;
	}
}

void console_start(struct console *c, struct model *m, const char *server)
{
	*c = (struct console){.server = server, .watch = {.fn = on_event, .arg = c}};
	model_watch(m, &c->watch);
}

void console_web(struct console *c, const char *url, const char *wanted)
{
	if (!c->server)
		return;
	if (wanted)
		console_line(stdout, "Web interface at %s (%s is taken)", url, wanted);
	else
		console_line(stdout, "Web interface at %s", url);
}

/* ---- secret notes ---- */

static void show_secret(void *arg, const struct model *m, enum model_event ev)
{
	if (ev == MODEL_EV_NOTE && m->note_secret)
		console_line(stderr, "%s", m->note);
}

void console_start_secrets(struct console *c, struct model *m)
{
	*c = (struct console){.watch = {.fn = show_secret, .arg = c}};
	model_watch(m, &c->watch);
}

/* ---- events ---- */

static void tell_state(struct console *c, const struct model *m)
{
	static const char *const states[] = {
		[MODEL_CONNECTING] = "connecting",
		[MODEL_ONLINE] = "online",
		[MODEL_RECONNECTING] = "reconnecting",
	};
	char ms[16];

	if (m->state == MODEL_ONLINE && c->greeted && c->shown == MODEL_ONLINE)
		return;
	c->greeted = true;
	c->shown = m->state;
	snprintf(ms, sizeof(ms), "%u", m->retry_ms);
	if (m->retry_ms)
		log_event("state", "state", states[m->state], "error", m->last_error, "retry_ms",
			  ms, NULL);
	else
		log_event("state", "state", states[m->state], NULL);
}

static void tell_event(void *arg, const struct model *m, enum model_event ev)
{
	const struct model_tunnel *t = m->changed;
	struct console *c = arg;

	switch (ev) {
	case MODEL_EV_STATE:
		tell_state(c, m);
		break;
	case MODEL_EV_TUNNEL:
		log_event("tunnel", "url", t->url, "name", t->conf->name, "proto",
			  proto_name(t->proto), "local", t->local->text, NULL);
		break;
	case MODEL_EV_GONE:
		log_event("tunnel_closed", "url", t->url, NULL);
		break;
	case MODEL_EV_NOTE:
		if (!m->note_secret)
			log_event("note", "text", m->note, NULL);
		else if (!c->screen)
			console_line(stderr, "%s", m->note);
		break;
	case MODEL_EV_TRAFFIC:
		break;
	}
}

void console_start_events(struct console *c, struct model *m, bool screen)
{
	*c = (struct console){.screen = screen, .watch = {.fn = tell_event, .arg = c}};
	model_watch(m, &c->watch);
}
