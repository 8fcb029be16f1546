/* What pgrokd does besides serving. Each returns the exit status. */
#ifndef PGROKD_COMMANDS_H
#define PGROKD_COMMANDS_H

#include "pgrokd/config/config.h"

/* -check: reads what the config names, and says on stdout what would be served. */
int command_check(const struct config *c);
/*
 * hash-token: the form of a token that may stand in a file. The token is a line of stdin; with
 * -random, or where stdin is a terminal, a new one, which is printed first.
 */
int command_hash_token(int argc, char **argv);

#endif
