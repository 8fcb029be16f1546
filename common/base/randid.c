/* Random ids from getrandom(2), and constant-time comparison. */
#include "common/base/randid.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <string.h>
#include <sys/random.h>

#include "common/base/log.h"
#include "common/base/text.h"

void rand_bytes(void *buf, size_t len)
{
	unsigned char *p = buf;

	while (len > 0) {
		/* Above 256 bytes a signal may cut it short: hence the loop. */
		ssize_t n = getrandom(p, len, 0);
		if (n < 0) {
			if (errno == EINTR)
				continue;
			fatal("no random numbers: getrandom: %s", strerror(errno));
		}
		p += n;
		len -= (size_t)n;
	}
}

void rand_hex(char *out, size_t bytes)
{
	rand_bytes(out + bytes, bytes);
	hex_text(out, out + bytes, bytes);
}

uint32_t rand_below(uint32_t bound)
{
	/* The 2^32 % bound lowest values would make the low results likelier: drawn again. */
	uint32_t skip = -bound % bound;
	uint32_t n;

	do {
		rand_bytes(&n, sizeof(n));
	} while (n < skip);
	return n % bound;
}

bool secret_equal(const char *a, const char *b)
{
	size_t len = strlen(a);

	return len == strlen(b) && CRYPTO_memcmp(a, b, len) == 0;
}
