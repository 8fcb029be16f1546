/* The names that Drip's clients ask for, and get. */
#include "pgrokd/proto/drip_name.h"

#include <string.h>

#include "common/base/addr.h"
#include "common/base/randid.h"
#include "pgrokd/limits.h"

#define NAME_MIN 3
#define NAME_MAX 63
#define LETTERS "abcdefghijklmnopqrstuvwxyz0123456789"
#define RANDOM_FEW 6
#define RANDOM_MORE 8
#define PORT_NAME "tcp-"

bool drip_name_valid(const char *name)
{
	size_t len = strlen(name);

	return len >= NAME_MIN && len <= NAME_MAX && strspn(name, LETTERS "-") == len &&
	       name[0] != '-' && name[len - 1] != '-';
}

bool drip_name_reserved(const char *name)
{
	static const char *const names[] = {"www",  "api",  "admin",  "app",    "mail",
					    "ftp",  "blog", "shop",   "status", "health",
					    "test", "dev",  "staging"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(name, names[i]) == 0)
			return true;
	}
	return false;
}

void drip_name_random(int nth, char name[static PROTO_NAME])
{
	int len = nth < LIMIT_RANDOM_TRIES - 1 ? RANDOM_FEW : RANDOM_MORE;

	for (int i = 0; i < len; i++)
		name[i] = LETTERS[rand_below(sizeof(LETTERS) - 1)];
	name[len] = '\0';
}

uint16_t drip_name_port(const char *name)
{
	size_t len = strlen(PORT_NAME);
	int port = strncmp(name, PORT_NAME, len) == 0 ? addr_port(name + len) : 0;

	return port > 0 ? (uint16_t)port : 0;
}
