/* Words of a list in one text. */
#include "common/base/words.h"

#include <string.h>

#include "common/base/xalloc.h"

#define SEPARATORS ", \t\r\n"

char *words_next(const char **list)
{
	const char *word = *list + strspn(*list, SEPARATORS);
	size_t len = strcspn(word, SEPARATORS);

	*list = word + len;
	return len ? xstrndup(word, len) : NULL;
}
