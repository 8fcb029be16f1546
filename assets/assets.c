/*
 * The embedded files. The assembler reads them (.incbin), so the compiler can't see that this
 * depends on them: the Makefile says so.
 */
#include "assets/assets.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Symbols of this file's own: hidden, so that they are reached without the dynamic linker. */
#define ASSET(name, path, mime)                                                          \
	__asm__(".pushsection .rodata,\"a\",@progbits\n"                                 \
		".global asset_" #name "\n.hidden asset_" #name "\n"                     \
		".global asset_" #name "_end\n.hidden asset_" #name "_end\n"             \
		".balign 16\n"                                                           \
		"asset_" #name ":\n.incbin \"assets/" path "\"\n"                        \
		"asset_" #name "_end:\n.byte 0\n.popsection\n");                         \
	extern const unsigned char asset_##name[] __attribute__((visibility("hidden"))); \
	extern const unsigned char asset_##name##_end[] __attribute__((visibility("hidden")));
#include "assets/list.inc"
#undef ASSET

static struct asset all[] = {
#define ASSET(symbol, file, type) {.path = file, .mime = type, .bytes = asset_##symbol},
#include "assets/list.inc"
#undef ASSET
};

#define COUNT (sizeof(all) / sizeof(all[0]))

static const unsigned char *const ends[COUNT] = {
#define ASSET(symbol, file, type) asset_##symbol##_end,
#include "assets/list.inc"
#undef ASSET
};

static char etags[COUNT][ASSET_ETAG];

static void fill_in(void)
{
	for (size_t i = 0; i < COUNT; i++) {
		unsigned char digest[EVP_MAX_MD_SIZE];
		char *to = etags[i];

		all[i].len = (size_t)(ends[i] - all[i].bytes);
		if (!EVP_Digest(all[i].bytes, all[i].len, digest, NULL, EVP_sha256(), NULL))
			abort(); /* SHA-256 is always there */
		*to++ = '"';
		for (int k = 0; k < 8; k++)
			to += snprintf(to, 3, "%02x", digest[k]);
		memcpy(to, "\"", 2);
		all[i].etag = etags[i];
	}
}

const struct asset *asset_at(size_t i)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, fill_in);
	return i < COUNT ? &all[i] : NULL;
}

const struct asset *asset_find(const char *path)
{
	const struct asset *a;

	for (size_t i = 0; (a = asset_at(i)); i++)
		if (strcmp(a->path, path) == 0)
			return a;
	return NULL;
}
