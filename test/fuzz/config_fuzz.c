/* Fuzzes the client's configuration file: whatever it holds, there is a verdict and no fault. */
#include <assert.h>
#include <stdlib.h>

#include "pgrok/config/load.h"
#include "pgrok/config/protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_warning(void *arg, const char *text)
{
}

/* Fitting what fits changes nothing. */
static void fit(struct config *c)
{
	const char *which;
	struct err err;
	bool good;

	for (size_t i = 0; i < c->tunnels_n; i++)
		c->tunnels[i].start = true;
	if (!protocol_fit_all(c, &which, &err)) {
		assert(*err.text && !which);
		return;
	}
	good = protocol_fit_all(c, &which, &err);
	assert(good);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err;
	struct config *c = config_new();
	struct config_flags f = {0};

	if (config_parse(c, "fuzz.yml", (const char *)data, size, on_warning, NULL, &err) &&
	    config_finish(c, &f, &err))
		fit(c);
	config_free(c);
	return 0;
}
