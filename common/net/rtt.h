/* How long a path is, as the kernel saw it. */
#ifndef COMMON_NET_RTT_H
#define COMMON_NET_RTT_H

#include <stdint.h>

/*
 * The shortest round trip on this TCP connection lately, in microseconds, without what the
 * processes at its ends need. 0: the system does not tell, or fd is no such connection. To its
 * other end: where something relays it (a proxy, a load balancer), that is not the whole path.
 */
uint32_t rtt_least_us(int fd);

#endif
