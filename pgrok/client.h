/*
 * The running client: everything that lives on its one loop, from the first Auth to the last
 * close.
 */
#ifndef PGROK_CLIENT_H
#define PGROK_CLIENT_H

#include <stdbool.h>

#include "pgrok/config/config.h"

/*
 * Opens the tunnels of conf that are marked to start and serves them until SIGINT or SIGTERM (0)
 * or a final refusal (1, with a line on stderr). stdout: unless the log goes there it gets a screen
 * if it is a terminal, else status lines, or events if the log's format is JSON.
 */
int client_run(struct config *conf);

#endif
