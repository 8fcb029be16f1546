/*
 * Fuzzes a session: its peer says whatever the input holds, while its owner and the users of its
 * streams do whatever the input says. What it sends has to be well-formed, as an opener also in
 * order (one FIN, nothing after RST, windows kept), and in the end nothing is left.
 * Input: {1 byte: role, window, how strict}, then operations: {code, argument 1 byte} and what they
 * take.
 */
#define WIRE_IDS 512
#include "test/unit/common/mux_pipe.h"

#define STREAMS 16
#define OPENS_MAX 400
#define FED_MAX (1u << 20) /* bytes that a small input may make of itself */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct play {
	struct loop *loop;
	struct fake *end, *peer;
	struct wire wire, from_peer;
	struct mux *m;
	struct mux_account *memory;
	struct stream *s[STREAMS];
	uint32_t opens, fed;
	unsigned open;
	uint8_t script[16]; /* what callbacks do, in turn */
	unsigned script_at;
	bool opener;
};

static struct play *the_play;
static char bytes[70000];

static void check(bool good)
{
	if (!good)
		abort();
}

static void leave(struct play *p, bool abort)
{
	struct mux *m = p->m;

	p->m = NULL;
	if (m)
		mux_close(m, abort);
}

static void use(struct play *p, unsigned at, uint8_t what);

static void on_stream(void *arg, int dirs)
{
	struct play *p = the_play;
	unsigned at = (unsigned)((struct stream **)arg - p->s);

	check(dirs && p->s[at]);
	use(p, at, p->script[p->script_at++ % sizeof(p->script)]);
	/* Whoever did nothing does not ask again, or it would be asked for ever. */
	if (p->s[at])
		stream_want(p->s[at], p->script_at % 3 ? STREAM_READ : 0);
}

static void keep(struct play *p, struct stream *s, unsigned at)
{
	if (!s)
		return;
	if (p->s[at])
		stream_close(p->s[at], p->script_at & 1);
	p->s[at] = s;
	stream_on_ready(s, on_stream, &p->s[at]);
	stream_want(s, STREAM_READ);
}

static void on_accepted(void *arg, struct stream *s)
{
	struct play *p = arg;

	keep(p, s, p->opens % STREAMS);
	use(p, p->opens++ % STREAMS, p->script[p->script_at++ % sizeof(p->script)]);
}

static void on_down(void *arg, const char *why)
{
	struct play *p = arg;

	check(why && why[0] && p->m);
	if (p->script[0] & 1)
		leave(p, p->script[0] & 2);
}

static const struct mux_hooks hooks = {.accepted = on_accepted, .down = on_down};

static void read_some(struct stream *s, size_t cap, unsigned times)
{
	static char sink[20000];
	size_t n;

	while (times-- > 0)
		if (stream_read(s, sink, cap < sizeof(sink) ? cap : sizeof(sink), &n) == STREAM_OK)
			check(n > 0 && n <= cap);
}

/* What the user of a stream can do. */
static void use(struct play *p, unsigned at, uint8_t what)
{
	struct stream *s = p->s[at];
	size_t n;

	if (!s)
		return;
	switch (what & 15) {
	case 0:
	case 1:
		read_some(s, what < 128 ? what + 1u : 20000, 3);
		break;
	case 2:
		read_some(s, 20000, 30);
		break;
	case 3:
	case 4:
		if (stream_write(s, bytes, what & 128 ? 70000 : 1u + what, &n) == STREAM_OK)
			check(n > 0 && n <= 70000);
		break;
	case 5:
		stream_want(s, (what >> 4) & 3);
		break;
	case 6:
		(void)!stream_finish(s);
		break;
	case 7:
	case 8:
		p->s[at] = NULL;
		stream_close(s, what & 1);
		break;
	case 9:
		p->s[at] = NULL;
		stream_linger(s);
		break;
	case 10:
		use(p, (at + 1) % STREAMS, (uint8_t)(what >> 4));
		break;
	case 11:
		if (what >> 4 == 7)
			leave(p, true);
		if (what >> 4 == 8)
			leave(p, false);
		break;
	default:
		stream_want(s, STREAM_READ | STREAM_WRITE);
	}
}

static void feed(struct play *p, const void *buf, size_t n)
{
	p->fed += (uint32_t)n;
	if (p->open < 2 || p->peer->finished || p->fed > FED_MAX || p->end->in_len > 200000)
		return;
	/* As an opener it hears what its peer grants. */
	wire_bytes(&p->from_peer, buf, n);
	fake_put(p->end, buf, n);
}

/* A frame that is nearly right, from three bytes. */
static void feed_frame(struct play *p, uint8_t arg, const uint8_t *more)
{
	static const uint32_t lengths[] = {0, 1, 100, 4096, 60000, 65536, 1u << 20, UINT32_MAX};
	struct mux_frame f = {(enum mux_type)(arg & 3), more[0] & 15, more[1] % 40u,
			      lengths[more[2] & 7]};
	uint8_t h[MUX_HEADER];

	if (more[0] & 64)
		f.flags &= MUX_SYN;
	if (f.type >= MUX_PING)
		f.id = 0;
	mux_frame_put(h, f);
	feed(p, h, sizeof(h));
	if (f.type == MUX_DATA && f.length <= 65536 && !(more[2] & 128))
		feed(p, bytes, f.length);
}

/* Returns how many bytes the operation took besides its two. */
static size_t step(struct play *p, const uint8_t *op, size_t left)
{
	uint8_t arg = op[1];

	switch (op[0] % 11) {
	case 0:
		left = arg < left ? arg : left;
		feed(p, op + 2, left);
		return left;
	case 1:
	case 2:
	case 3:
		if (left < 3)
			return left;
		feed_frame(p, arg, op + 2);
		return 3;
	case 4:
	case 5:
		use(p, arg % STREAMS, left ? op[2] : 2);
		return left ? 1 : 0;
	case 6:
		if (p->m && p->opener && p->opens < OPENS_MAX)
			keep(p, mux_open(p->m), p->opens++ % STREAMS);
		return 0;
	case 7:
		turns(p->loop, 1 + arg % 4);
		return 0;
	case 8: /* the peer reads, or does not */
		p->peer->room = arg & 128 ? 65536 : arg;
		p->peer->in_len = 0;
		if (p->peer->peer)
			fake_poke(p->end);
		return 0;
	case 9:
		if (arg < 4 && p->peer->peer)
			fake_kill(p->end);
		else if (arg < 8)
			(void)!stream_finish(&p->peer->s);
		else if (arg < 12)
			leave(p, arg & 1);
		else if (arg < 64 && p->m && p->m->conf.ping_ms && p->m->t)
			p->m->beat.fn(p->m); /* its time has come */
		return 0;
	default:
		p->script[arg % sizeof(p->script)] = left ? op[2] : 0;
		return left ? 1 : 0;
	}
}

static void play_start(struct play *p, uint8_t options)
{
	static const uint32_t windows[] = {1, 1000, MUX_WINDOW_START, 256u << 10};
	struct mux_conf conf = {.opens = options & 1,
				.first_id = 1,
				.start_window = windows[options >> 1 & 3],
				.max_streams = options & 8 ? 8 : 100,
				.prompt = options & 16,
				.fin_alone = options & 16,
				.close_ms = options & 32 ? 300000 : 0,
				.ping_ms = options & 64 ? 5000 : 0,
				.ping_misses = 3};
	struct fake *end[2];

	the_play = p;
	p->loop = loop_new();
	fake_pair(p->loop, NULL, &p->open, end);
	p->end = end[0];
	p->peer = end[1];
	p->peer->room = 65536;
	p->opener = conf.opens;
	p->wire.opens = conf.opens;
	p->wire.loose = !conf.opens; /* its peer may use ids again */
	p->from_peer.loose = true;
	p->wire.start_window = conf.start_window;
	p->wire.other = &p->from_peer;
	p->end->wire = &p->wire;
	p->memory = mux_account_new();
	p->m = mux_new(&p->end->s, &conf, p->memory, &hooks, p);
}

static void play_end(struct play *p)
{
	for (unsigned i = 0; i < STREAMS; i++)
		if (p->s[i])
			stream_close(p->s[i], i & 1);
	leave(p, false);
	p->peer->room = SIZE_MAX;
	turns(p->loop, 3);
	stream_close(&p->peer->s, false);
	turns(p->loop, 2);
	loop_free(p->loop);
	check(!p->memory->used[MEMORY_START] && !p->memory->used[MEMORY_GROWTH]);
	mux_account_free(p->memory);
	check(!p->open && !mux_memory_used());
	check(!p->wire.error);
}

static void check_stream(void *value, void *arg)
{
	const struct mstream *ms = value;
	uint64_t *sum = arg;

	check(ms->cap <= ms->charged[MEMORY_START] + ms->charged[MEMORY_GROWTH]);
	check(ms->unread <= ms->window + ms->excess);
	for (int i = 0; i < MEMORY_KINDS; i++)
		sum[i] += ms->charged[i];
}

/* What its streams hold was reserved for them, and nothing else is. */
static void check_memory(const struct play *p)
{
	uint64_t sum[MEMORY_KINDS] = {0};

	if (!p->m)
		return;
	idmap_each(p->m->streams, check_stream, sum);
	for (int i = 0; i < MEMORY_KINDS; i++)
		check(p->memory->used[i] == sum[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct play *p;

	if (size < 1)
		return 0;
	p = xcalloc(1, sizeof(*p));
	play_start(p, data[0]);
	for (size_t at = 1; at + 2 <= size;) {
		at += 2 + step(p, data + at, size - at - 2);
		check_memory(p);
		check(!p->wire.error);
	}
	play_end(p);
	free(p);
	return 0;
}
