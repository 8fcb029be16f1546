/* How much memory this process may use and does use. */
#include "common/base/memory.h"

#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"

#define LOOK_MS 10
#define TRIM_MS 1000 /* between two attempts to get below the limit by giving back what is free */
#define TIDY_LEAST (4u << 20)
#define TIDY_PART 10 /* of what is in use */

/* The fields of /proc/self/statm that have limits. */
enum usage { USAGE_SIZE, USAGE_RESIDENT, USAGE_DATA, USAGES };

static int statm = -1;
static uint64_t max[USAGES]; /* UINT64_MAX: none */
static _Atomic uint64_t looked, trimmed;
static atomic_bool is_short;

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Bytes of each; false: the system does not tell. */
static bool usage(uint64_t out[static USAGES])
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	char text[128];
	ssize_t n = pread(statm, text, sizeof(text) - 1, 0);

	if (n <= 0)
		return false;
	text[n] = '\0';
	/* size resident shared text lib data dt */
	if (sscanf(text, "%" SCNu64 " %" SCNu64 " %*u %*u %*u %" SCNu64, &out[USAGE_SIZE],
		   &out[USAGE_RESIDENT], &out[USAGE_DATA]) != 3)
		return false;
	for (int i = 0; i < USAGES; i++)
		out[i] *= page;
	return true;
}

static void usage_open(void)
{
	if (statm < 0)
		statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
}

/* ---- what is given ---- */

/* A number in a file; UINT64_MAX: "max", or no such file. */
static uint64_t number_in(const char *path)
{
	char text[32] = "";
	FILE *f = fopen(path, "re");
	uint64_t n = UINT64_MAX;

	if (!f)
		return n;
	if (fgets(text, sizeof(text), f) && *text >= '0' && *text <= '9')
		n = strtoull(text, NULL, 10);
	fclose(f);
	return n;
}

/* Of this group and those above it; group is changed. */
static uint64_t limit_of(const char *mount, char *group, const char *file)
{
	uint64_t found = UINT64_MAX;
	char path[4096];

	for (;;) {
		char *slash = strrchr(group, '/');

		snprintf(path, sizeof(path), "%s%s/%s", mount, group, file);
		found = least(found, number_in(path));
		if (!slash)
			return found;
		*slash = '\0';
	}
}

uint64_t memory_of_cgroup(const char *self, const char *mount)
{
	char line[2048], v1[1024];
	uint64_t found = UINT64_MAX;
	FILE *f = fopen(self, "re");

	if (!f)
		return found;
	snprintf(v1, sizeof(v1), "%s/memory", mount);
	/* "0::/path" of version 2, "4:memory:/path" of version 1 */
	while (fgets(line, sizeof(line), f)) {
		char *what = strchr(line, ':'), *group = what ? strchr(what + 1, ':') : NULL;

		if (!group)
			continue;
		line[strcspn(line, "\n")] = '\0';
		*group++ = '\0';
		if (!what[1])
			found = least(found, limit_of(mount, group, "memory.max"));
		else if (strstr(what + 1, "memory"))
			found = least(found, limit_of(v1, group, "memory.limit_in_bytes"));
	}
	fclose(f);
	return found;
}

static uint64_t of_machine(void)
{
	long pages = sysconf(_SC_PHYS_PAGES);

	return pages > 0 ? (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE) : UINT64_MAX;
}

/* Three quarters of the way from what is in use to the limit. */
static uint64_t below_rlimit(int resource, uint64_t used)
{
	struct rlimit lim;

	if (getrlimit(resource, &lim) != 0 || lim.rlim_cur == RLIM_INFINITY)
		return UINT64_MAX;
	return lim.rlim_cur <= used ? used : used + (lim.rlim_cur - used) / 4 * 3;
}

void memory_set_max(uint64_t bytes)
{
	uint64_t used[USAGES] = {0};

	usage_open();
	(void)!usage(used);
	max[USAGE_RESIDENT] = bytes ? bytes
				    : least(of_machine(), memory_of_cgroup("/proc/self/cgroup",
									   "/sys/fs/cgroup")) /
					      4 * 3;
	max[USAGE_SIZE] = below_rlimit(RLIMIT_AS, used[USAGE_SIZE]);
	max[USAGE_DATA] = below_rlimit(RLIMIT_DATA, used[USAGE_DATA]);
	atomic_store(&looked, 0);
	atomic_store(&trimmed, 0);
	atomic_store(&is_short, false);
}

uint64_t memory_used(void)
{
	uint64_t used[USAGES] = {0};

	return statm >= 0 && usage(used) ? used[USAGE_RESIDENT] : 0;
}

uint64_t memory_max(void)
{
	return max[USAGE_RESIDENT];
}

/* ---- is it short? ---- */

static bool above(void)
{
	uint64_t used[USAGES];
	bool yes = false;

	if (!usage(used))
		return false;
	for (int i = 0; i < USAGES; i++)
		yes |= max[i] && used[i] >= max[i];
	return yes;
}

/* Perhaps some of it is free, and only kept. */
static bool above_even_trimmed(uint64_t now)
{
	uint64_t last = atomic_load(&trimmed);

	if (!above())
		return false;
	if (now - last < TRIM_MS || !atomic_compare_exchange_strong(&trimmed, &last, now))
		return true;
#ifdef __GLIBC__
	malloc_trim(0);
#endif
	return above();
}

bool memory_short(void)
{
	uint64_t now = clock_coarse_ms(), last = atomic_load(&looked);
	bool was, is;

	if (!max[USAGE_RESIDENT] || now - last < LOOK_MS ||
	    !atomic_compare_exchange_strong(&looked, &last, now))
		return atomic_load(&is_short);
	is = above_even_trimmed(now);
	was = atomic_exchange(&is_short, is);
	if (is != was)
		log_often(is ? LOG_WARN : LOG_INFO, "memory",
			  is ? "Above the limit of %" PRIu64 " MiB: new connections are refused"
			     : "Below the limit of %" PRIu64 " MiB again",
			  max[USAGE_RESIDENT] >> 20);
	return is;
}

/* ---- giving back ---- */

void memory_tidy(void)
{
#ifdef __GLIBC__
	static uint64_t waste_before, waste_least = UINT64_MAX;
	uint64_t used[USAGES], in_use, slack, waste;

	usage_open();
	if (!usage(used))
		return;
	struct mallinfo2 info = mallinfo2();

	in_use = info.uordblks + info.hblkhd;
	/* What is resident and no block: also programs and stacks, which are always there. */
	waste = used[USAGE_RESIDENT] > in_use ? used[USAGE_RESIDENT] - in_use : 0;
	slack = in_use / TIDY_PART > TIDY_LEAST ? in_use / TIDY_PART : TIDY_LEAST;
	if (waste < waste_least)
		waste_least = waste;
	/* Not what was needed a moment ago. */
	if (least(waste, waste_before) > waste_least + slack) {
		malloc_trim(0);
		(void)!usage(used);
		waste = waste_least =
			used[USAGE_RESIDENT] > in_use ? used[USAGE_RESIDENT] - in_use : 0;
	}
	waste_before = waste;
#endif
}
