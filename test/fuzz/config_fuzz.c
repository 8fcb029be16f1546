/* Fuzzes the client's configuration file: whatever it holds, there is a verdict and no fault. */
#include <stdlib.h>

#include "pgrok/config/load.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_warning(void *arg, const char *text)
{
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err;
	struct config *c = config_new();
	struct config_flags f = {0};

	if (config_parse(c, "fuzz.yml", (const char *)data, size, on_warning, NULL, &err))
		(void)!config_finish(c, &f, &err);
	config_free(c);
	return 0;
}
