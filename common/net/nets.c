/* A list of ranges of addresses. */
#include "common/net/nets.h"

#include <stdlib.h>

#include "common/base/words.h"
#include "common/base/xalloc.h"

struct nets {
	size_t n;
	struct cidr range[];
};

struct nets *nets_read(const char *list, struct err *err)
{
	struct nets *n = xcalloc(1, sizeof(*n));
	char *entry;
	bool ok = true;

	while (ok && (entry = words_next(&list))) {
		n = xrealloc(n, sizeof(*n) + (n->n + 1) * sizeof(n->range[0]));
		ok = n->n < NETS_MAX ? cidr_parse(entry, &n->range[n->n++], err)
				     : err_set(err, "more than %d ranges", NETS_MAX);
		free(entry);
	}
	if (ok)
		return n;
	free(n);
	return NULL;
}

void nets_free(struct nets *n)
{
	free(n);
}

size_t nets_count(const struct nets *n)
{
	return n ? n->n : 0;
}

bool nets_have(const struct nets *n, const struct addr *a)
{
	for (size_t i = 0; n && i < n->n; i++)
		if (cidr_has(&n->range[i], a))
			return true;
	return false;
}
