/*
 * Fuzzes what is made of a SOCKS proxy's answers. Input: as whom and where to, the size of the
 * pieces that they come in, then the answers. What comes of them depends on no piece's size, and is
 * what a simple reader finds in the same bytes.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "pgrok/uplink/socks.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good)
{
	if (!good)
		abort();
}

/* What came of it. */
struct talk {
	enum socks_rc rc;
	enum socks_state state;
	size_t used;
	struct text said;
	struct err err;
};

/* A piece in memory of its own: a sanitizer sees a read past its end. */
static enum socks_rc hear(struct socks *s, struct talk *t, const uint8_t *bytes, size_t len)
{
	char *copy = xmalloc(len + !len);
	size_t used, before = t->said.len;

	memcpy(copy, bytes + t->used, len);
	enum socks_rc rc = socks_hear(s, copy, len, &used, &t->said, &t->err);

	free(copy);
	check(used <= len);
	check((used > 0) == (rc == SOCKS_SAY || (rc == SOCKS_DONE && s->state == SOCKS_OVER)) ||
	      rc == SOCKS_BAD);
	check((t->said.len > before) == (rc == SOCKS_SAY));
	check((rc == SOCKS_BAD) == (*t->err.text != '\0'));
	t->used += used;
	return rc;
}

static void run(struct talk *t, struct socks s, const uint8_t *bytes, size_t len, size_t piece)
{
	size_t have = 0;

	*t = (struct talk){.rc = SOCKS_MORE};
	socks_begin(&s, &t->said);
	while (t->rc == SOCKS_SAY || (t->rc == SOCKS_MORE && have < len)) {
		if (t->rc == SOCKS_MORE)
			have = len - have > piece ? have + piece : len;
		t->rc = hear(&s, t, bytes, have - t->used);
	}
	t->state = s.state;
}

/* Where the answers end that let us through; 0: they do not, or not yet. */
static size_t through(const struct socks *as, const uint8_t *b, size_t len)
{
	size_t at = 2, name;

	if (len < 2 || b[0] != 5 || !(b[1] == 0 || (b[1] == 2 && as->user)))
		return 0;
	if (b[1] == 2) {
		if (len < 4 || b[2] != 1 || b[3] != 0)
			return 0;
		at = 4;
	}
	if (len < at + 5 || b[at] != 5 || b[at + 1] != 0)
		return 0;
	name = b[at + 4];
	at += b[at + 3] == 1 ? 10 : b[at + 3] == 4 ? 22 : b[at + 3] == 3 ? 7 + name : len + 1;
	return at <= len ? at : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const hosts[] = {"a.example", "10.1.2.3", "2001:db8::1", ""};
	struct talk whole, pieces;

	if (size < 2)
		return 0;
	struct socks as = {.host = hosts[data[0] & 3],
			   .port = 4443,
			   .user = data[0] & 4 ? "me" : NULL,
			   .password = data[0] & 8 ? "p w" : NULL};
	size_t piece = data[1] ? data[1] : 1, end = through(&as, data + 2, size - 2);

	run(&whole, as, data + 2, size - 2, size);
	run(&pieces, as, data + 2, size - 2, piece);
	check((whole.rc == SOCKS_DONE) == (end > 0));
	check(whole.rc != SOCKS_DONE || whole.used == end);
	check(whole.rc == pieces.rc && whole.state == pieces.state && whole.used == pieces.used);
	check(strcmp(whole.err.text, pieces.err.text) == 0);
	check(whole.said.len == pieces.said.len &&
	      memcmp(whole.said.p, pieces.said.p, whole.said.len) == 0);
	text_free(&whole.said);
	text_free(&pieces.said);
	return 0;
}
