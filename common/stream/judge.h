/* What a judge says of bytes that want to pass through a pair. */
#ifndef COMMON_STREAM_JUDGE_H
#define COMMON_STREAM_JUDGE_H

enum judge {
	JUDGE_PASS, /* `pass` bytes may go on; the rest is kept until more has come */
	JUDGE_HOLD, /* the same, and nothing more is read until pair_release() */
	JUDGE_STOP, /* `pass` bytes may go on; the rest is dropped, the side is not read again */
	JUDGE_CUT,  /* as STOP; when side 0 has what was passed to it, the pair is done: PAIR_CUT */
	/*
	 * `pass` bytes may go on; the rest is kept for the next pair of this side. Nothing more is
	 * read; when each side has what was passed to it, the pair is done: PAIR_LEFT.
	 */
	JUDGE_LEAVE
};

#endif
