/* This machine in Go's words. */
#include "pgrok/uplink/machine.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

const char *machine_os(void)
{
	static char os[sizeof(((struct utsname *)NULL)->sysname)];
	struct utsname u;

	if (!os[0] && uname(&u) == 0) {
		for (size_t i = 0; i < sizeof(os) - 1 && u.sysname[i]; i++)
			os[i] = (char)tolower((unsigned char)u.sysname[i]);
	}
	return os;
}

const char *machine_arch(void)
{
	static const char *const names[][2] = {{"x86_64", "amd64"},  {"amd64", "amd64"},
					       {"aarch64", "arm64"}, {"arm64", "arm64"},
					       {"i386", "386"},      {"i686", "386"},
					       {"armv6l", "arm"},    {"armv7l", "arm"},
					       {"armv8l", "arm"},    {NULL, NULL}};
	static char arch[sizeof(((struct utsname *)NULL)->machine)];
	struct utsname u;

	if (arch[0] || uname(&u) != 0)
		return arch;
	snprintf(arch, sizeof(arch), "%s", u.machine);
	for (size_t i = 0; names[i][0]; i++) {
		if (strcmp(u.machine, names[i][0]) == 0)
			snprintf(arch, sizeof(arch), "%s", names[i][1]);
	}
	return arch;
}
