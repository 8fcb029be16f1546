/* Finding embedded files. */
#include "assets/assets.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void fill_in(struct asset *a)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	char *to = a->etag;

	a->len = (size_t)(a->end - a->bytes);
	if (!EVP_Digest(a->bytes, a->len, digest, NULL, EVP_sha256(), NULL))
		abort(); /* SHA-256 is always there */
	*to++ = '"';
	for (int k = 0; k < 8; k++)
		to += snprintf(to, 3, "%02x", digest[k]);
	memcpy(to, "\"", 2);
}

static void first_of_all(struct assets *a)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < a->n && !a->ready; i++)
		fill_in(&a->file[i]);
	a->ready = true;
	pthread_mutex_unlock(&lock);
}

const struct asset *asset_find(struct assets *a, const char *path)
{
	first_of_all(a);
	for (size_t i = 0; i < a->n; i++)
		if (strcmp(a->file[i].path, path) == 0)
			return &a->file[i];
	return NULL;
}

const struct asset *asset_at(struct assets *a, size_t i)
{
	first_of_all(a);
	return i < a->n ? &a->file[i] : NULL;
}
