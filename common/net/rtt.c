/*
 * Asks the kernel for a connection's round trip; apart, since its headers get along with no other.
 */
#include "common/net/rtt.h"

#ifdef __linux__
#include <linux/tcp.h>
#include <sys/socket.h>

#include <netinet/in.h>

uint32_t rtt_least_us(int fd)
{
	struct tcp_info info = {0};
	socklen_t len = sizeof(info);

	if (fd < 0 || getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0)
		return 0;
	/* An older kernel fills less. It says UINT32_MAX before it knows. */
	return info.tcpi_min_rtt == UINT32_MAX ? 0 : info.tcpi_min_rtt;
}
#else
uint32_t rtt_least_us(int fd)
{
	(void)fd;
	return 0;
}
#endif
