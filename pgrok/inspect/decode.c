/* Content-Encoding undone. See inspect_decode.h. */
#include "pgrok/inspect/decode.h"

#include <string.h>
#include <strings.h>
#include <zlib.h>

#ifdef HAVE_BROTLI
#include <brotli/decode.h>
#endif
#ifdef HAVE_ZSTD
#include <zstd.h>
#endif

#define PIECE (64u << 10)
#define CODINGS_MAX 4 /* one over another */

/* How a decoder ended. */
enum outcome { OUT_OK, OUT_SHORT, OUT_FULL, OUT_BROKEN, OUT_UNKNOWN };

/* Room for a piece more; NULL: there is as much as may be. */
static char *room(struct text *out, size_t max, size_t *n)
{
	*n = max - out->len < PIECE ? max - out->len : PIECE;
	return *n ? text_room(out, *n) : NULL;
}

/* window: 15 + 32 for zlib's and gzip's head, -15 for none. */
static enum outcome inflate_all(struct text *out, size_t max, const char *in, size_t len,
				int window)
{
	z_stream z = {.next_in = (Bytef *)(uintptr_t)in, .avail_in = (uInt)len};
	enum outcome how = OUT_OK;
	int rc = Z_OK;
	size_t n;

	if (inflateInit2(&z, window) != Z_OK)
		return OUT_BROKEN;
	while (how == OUT_OK && rc != Z_STREAM_END) {
		z.next_out = (Bytef *)room(out, max, &n);
		z.avail_out = (uInt)n;
		if (!n) {
			how = OUT_FULL;
			break;
		}
		rc = inflate(&z, Z_NO_FLUSH);
		out->len += n - z.avail_out;
		if (rc == Z_STREAM_END && z.avail_in && inflateReset(&z) == Z_OK)
			rc = Z_OK; /* gzip: a member behind another */
		else if (rc == Z_BUF_ERROR || (rc == Z_OK && !z.avail_in && z.avail_out))
			how = OUT_SHORT;
		else if (rc != Z_OK && rc != Z_STREAM_END)
			how = OUT_BROKEN;
	}
	inflateEnd(&z);
	return how;
}

/* Some send it with zlib's head, as they should, some without. */
static enum outcome inflate_either(struct text *out, size_t max, const char *in, size_t len)
{
	size_t before = out->len;
	enum outcome how = inflate_all(out, max, in, len, 15);

	if (how != OUT_BROKEN || out->len > before)
		return how;
	return inflate_all(out, max, in, len, -15);
}

#ifdef HAVE_BROTLI
static enum outcome brotli_all(struct text *out, size_t max, const char *in, size_t len)
{
	BrotliDecoderState *s = BrotliDecoderCreateInstance(NULL, NULL, NULL);
	BrotliDecoderResult rc = BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT;
	const uint8_t *next_in = (const uint8_t *)in;
	size_t n;

	if (!s)
		return OUT_BROKEN;
	while (rc == BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT) {
		uint8_t *to = (uint8_t *)room(out, max, &n);
		size_t left = n;

		if (!n)
			break;
		rc = BrotliDecoderDecompressStream(s, &len, &next_in, &left, &to, NULL);
		out->len += n - left;
	}
	BrotliDecoderDestroyInstance(s);
	switch (rc) {
	case BROTLI_DECODER_RESULT_SUCCESS:
		return OUT_OK;
	case BROTLI_DECODER_RESULT_NEEDS_MORE_INPUT:
		return OUT_SHORT;
	case BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT:
		return OUT_FULL;
	default:
		return OUT_BROKEN;
	}
}
#endif

#ifdef HAVE_ZSTD
static enum outcome zstd_all(struct text *out, size_t max, const char *in, size_t len)
{
	ZSTD_DStream *s = ZSTD_createDStream();
	ZSTD_inBuffer from = {in, len, 0};
	enum outcome how = OUT_OK;
	size_t n, rc = 1;

	if (!s)
		return OUT_BROKEN;
	/* RFC 8878 section 3.1.1.1.2: what nobody has to take for a window more than this. */
	(void)ZSTD_DCtx_setParameter(s, ZSTD_d_windowLogMax, 23);
	while (rc || from.pos < from.size) {
		char *to = room(out, max, &n);
		ZSTD_outBuffer into = {to, n, 0};

		if (!n) {
			how = OUT_FULL;
			break;
		}
		rc = ZSTD_decompressStream(s, &into, &from);
		out->len += into.pos;
		if (ZSTD_isError(rc))
			how = OUT_BROKEN;
		else if (rc && from.pos == from.size && into.pos < into.size)
			how = OUT_SHORT;
		if (how != OUT_OK)
			break;
	}
	ZSTD_freeDStream(s);
	return how;
}
#endif

const char *const *decode_codings(void)
{
	static const char *const names[] = {
		"gzip", "deflate",
#ifdef HAVE_BROTLI
		"br",
#endif
#ifdef HAVE_ZSTD
		"zstd",
#endif
		NULL,
	};
	return names;
}

static bool is(const char *name, size_t len, const char *word)
{
	return strlen(word) == len && !strncasecmp(name, word, len);
}

static enum outcome undo(struct text *out, size_t max, const char *name, size_t name_len,
			 const char *in, size_t len)
{
	if (is(name, name_len, "gzip") || is(name, name_len, "x-gzip"))
		return inflate_all(out, max, in, len, 15 + 16);
	if (is(name, name_len, "deflate"))
		return inflate_either(out, max, in, len);
#ifdef HAVE_BROTLI
	if (is(name, name_len, "br"))
		return brotli_all(out, max, in, len);
#endif
#ifdef HAVE_ZSTD
	if (is(name, name_len, "zstd"))
		return zstd_all(out, max, in, len);
#endif
	return OUT_UNKNOWN;
}

/* One layer: d->text becomes what is inside it. False: that was the last one that can be undone. */
static bool undo_layer(struct decoded *d, size_t max, const char *name, size_t len)
{
	static const char *const errors[] = {NULL, "it ends too early", "too long when decoded",
					     "broken data", "not supported"};
	struct text out = {0};
	enum outcome how;

	if (is(name, len, "identity"))
		return true;
	how = d->text.len ? undo(&out, max, name, len, d->text.p, d->text.len) : OUT_OK;
	if (how == OUT_UNKNOWN || (how == OUT_BROKEN && !out.len)) {
		text_free(&out);
		d->error = errors[how];
		return false;
	}
	if (out.p)
		out.p[out.len] = '\0';
	text_free(&d->text);
	d->text = out;
	if (d->codings.len)
		text_put(&d->codings, ", ");
	text_add(&d->codings, name, len);
	d->truncated |= how == OUT_SHORT || how == OUT_FULL;
	if (how != OUT_OK)
		d->error = errors[how];
	return how == OUT_OK;
}

void decode(struct decoded *d, const char *coding, size_t coding_len, const char *in, size_t len,
	    size_t max)
{
	size_t end = coding_len;

	*d = (struct decoded){0};
	text_add(&d->text, in, len);
	text_put(&d->codings, "");
	/* The last one named was put on last. */
	for (int layers = 0; end > 0 && layers < CODINGS_MAX; layers++) {
		size_t from = end;

		while (from > 0 && coding[from - 1] != ',')
			from--;
		size_t a = from, b = end;

		while (a < b && (coding[a] == ' ' || coding[a] == '\t'))
			a++;
		while (b > a && (coding[b - 1] == ' ' || coding[b - 1] == '\t'))
			b--;
		end = from ? from - 1 : 0;
		if (a < b && !undo_layer(d, max, coding + a, b - a))
			return;
	}
}

void decoded_free(struct decoded *d)
{
	text_free(&d->text);
	text_free(&d->codings);
}
