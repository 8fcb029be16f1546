/* The names that Drip's clients ask for, and get. Pure. */
#ifndef PGROKD_PROTO_DRIP_NAME_H
#define PGROKD_PROTO_DRIP_NAME_H

#include <stdbool.h>
#include <stdint.h>

#include "pgrokd/core/proto.h"

/* 3 to 63 of [a-z0-9-], the first and the last no '-'. */
bool drip_name_valid(const char *name);
/* Is it one of those that Drip's own server gives to no client? */
bool drip_name_reserved(const char *name);
/* As in struct proto_ops: six letters and digits, at last eight. */
void drip_name_random(int nth, char name[static PROTO_NAME]);
/* "tcp-N" asks for port N, 1 to 65535. 0: any other name. */
uint16_t drip_name_port(const char *name);

#endif
