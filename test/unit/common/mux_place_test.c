/*
 * Reading and writing where the bytes are: stream_peek(), stream_skip() and stream_room() of mux.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "test/unit/common/mux_rig.h"

#define HEAD MUX_HEADER

/* What is written from where stream_room() said is not moved, and arrives whole; frames grow. */
static void test_room(void **state)
{
	struct rig *r = rig_new(true);
	char *room, *more;
	size_t cap, n, before;

	turns(r->loop, 2);
	before = peer_reads(r);
	assert_true(before >= HEAD); /* the first ping */
	keep(r, mux_open(r->m), 0, 0);
	room = stream_room(r->kept[0], &cap);
	assert_non_null(room);
	assert_int_equal(cap, STREAM_PIECE - HEAD);
	memcpy(room, "hello ", 6);
	assert_int_equal(stream_write(r->kept[0], room, 6, &n), STREAM_OK);
	assert_ptr_equal(room, r->m->out + HEAD);
	assert_int_equal(n, 6);
	more = stream_room(r->kept[0], &cap);
	assert_ptr_equal(more, room + 6);
	assert_int_equal(cap, STREAM_PIECE - HEAD);
	memcpy(more, "world", 5);
	assert_int_equal(stream_write(r->kept[0], more, 5, &n), STREAM_OK);
	turns(r->loop, 2);
	assert_int_equal(r->peer->in_len, HEAD + 11);
	assert_memory_equal(r->peer->in + HEAD, "hello world", 11);
	rig_free(r);
}

/* Bytes from elsewhere are copied even if room was asked for; room not used costs nothing. */
static void test_room_unused(void **state)
{
	struct rig *r = rig_new(true);
	size_t cap, n;
	char *room;

	turns(r->loop, 2);
	(void)!peer_reads(r);
	keep(r, mux_open(r->m), 0, 0);
	room = stream_room(r->kept[0], &cap);
	assert_non_null(room);
	memcpy(room, "no", 2);
	assert_int_equal(stream_write(r->kept[0], "yes", 3, &n), STREAM_OK);
	turns(r->loop, 2);
	assert_memory_equal(r->peer->in + HEAD, "yes", 3);
	assert_null(r->m->out);
	assert_non_null(stream_room(r->kept[0], &cap));
	assert_null(r->m->out); /* it has not become the session's */
	rig_free(r);
}

static void test_no_room(void **state)
{
	static char bytes[MUX_WINDOW_START];
	struct rig *r = rig_new(true);
	size_t cap, n;

	for (uint32_t i = 0; i < 4; i++)
		keep(r, mux_open(r->m), i, 0);
	assert_int_equal(stream_write(r->kept[0], bytes, sizeof(bytes), &n), STREAM_OK);
	assert_int_equal(n, sizeof(bytes));
	assert_null(stream_room(r->kept[0], &cap)); /* no window left */
	assert_int_equal(stream_finish(r->kept[1]), STREAM_OK);
	assert_null(stream_room(r->kept[1], &cap));
	r->end->stuck = true;
	assert_int_equal(stream_write(r->kept[2], bytes, sizeof(bytes), &n), STREAM_OK);
	assert_null(stream_room(r->kept[3], &cap)); /* the session's output is full */
	r->end->stuck = false;
	rig_free(r);
}

/* A slow reader's ring is seen in two pieces, up to its edge and behind it. */
static void test_peek_ring(void **state)
{
	struct rig *r = rig_new(false);
	const char *from;
	char text[BUFSIZ];
	size_t n;

	put(r, MUX_WINDOW, MUX_SYN, 1, 0);
	put(r, MUX_DATA, 0, 1, 4000);
	memset(text, 'a', 4000);
	fake_put(r->end, text, 4000);
	turns(r->loop, 4);
	from = stream_peek(r->kept[0], &n);
	assert_non_null(from);
	assert_int_equal(n, 4000);
	assert_int_equal(from[3999], 'a');
	stream_skip(r->kept[0], 3000);
	put(r, MUX_DATA, 0, 1, 1000);
	memset(text, 'b', 1000);
	fake_put(r->end, text, 1000);
	turns(r->loop, 4);
	from = stream_peek(r->kept[0], &n);
	assert_int_equal(n, 1096); /* of 4,096 */
	assert_int_equal(from[999], 'a');
	assert_int_equal(from[1000], 'b');
	stream_skip(r->kept[0], n);
	assert_non_null(stream_peek(r->kept[0], &n));
	assert_int_equal(n, 904);
	assert_int_equal(stream_read(r->kept[0], text, sizeof(text), &n), STREAM_OK);
	assert_int_equal(n, 904);
	assert_int_equal(text[903], 'b');
	assert_null(stream_peek(r->kept[0], &n));
	assert_int_equal(stream_read(r->kept[0], text, sizeof(text), &n), STREAM_AGAIN);
	rig_free(r);
}

static void see(struct rig *r, struct stream *s)
{
	size_t n;
	const char *from = stream_peek(s, &n);

	if (!from)
		return;
	assert_null(((struct mstream *)s)->buf); /* not kept: it is where it was read to */
	assert_int_equal(n, 100);
	stream_skip(s, n);
}

static void test_peek_view(void **state)
{
	struct rig *r = rig_new(false);
	size_t n;

	r->reads = true;
	r->on_ready = see;
	put(r, MUX_WINDOW, MUX_SYN, 1, 0);
	turns(r->loop, 2);
	put_data(r, 0, 1, 100);
	turns(r->loop, 2);
	assert_int_equal(r->told, 1);
	assert_int_equal(((struct mstream *)r->kept[0])->credit, 100);
	assert_null(stream_peek(r->kept[0], &n));
	rig_free(r);
}

/*
 * Alone, bytes leave at once and the buffer is free for the next; only SYN waits for what follows.
 */
static void test_alone(void **state)
{
	struct rig *r = rig_new(true);
	size_t n;

	r->m->conf.alone = true;
	turns(r->loop, 2);
	(void)!peer_reads(r);
	keep(r, mux_open(r->m), 0, 0);
	assert_int_equal(stream_write(r->kept[0], "to ", 3, &n), STREAM_OK);
	assert_int_equal(r->peer->in_len, 0);
	assert_int_equal(stream_write(r->kept[0], "whom", 4, &n), STREAM_OK);
	assert_int_equal(r->peer->in_len, HEAD + 7);
	assert_null(r->m->out);
	assert_int_equal(stream_write(r->kept[0], "?", 1, &n), STREAM_OK);
	assert_int_equal(r->peer->in_len, 2 * HEAD + 8);
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_room),      cmocka_unit_test(test_room_unused),
		cmocka_unit_test(test_no_room),   cmocka_unit_test(test_peek_ring),
		cmocka_unit_test(test_peek_view), cmocka_unit_test(test_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
