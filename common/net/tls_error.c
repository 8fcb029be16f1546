/* OpenSSL's error queue as text. */
#include "common/net/tls_error.h"

#include <openssl/err.h>
#include <stdio.h>

#include "common/base/err.h"

static void reason_text(unsigned long e, char *buf, size_t cap)
{
	const char *reason = ERR_reason_error_string(e);
	char why[ERRNO_TEXT];

	if (!e)
		snprintf(buf, cap, "%s", "");
	else if (ERR_SYSTEM_ERROR(e))
		snprintf(buf, cap, "%s", errno_text(ERR_GET_REASON(e), why));
	else if (reason)
		snprintf(buf, cap, "%s", reason);
	else
		ERR_error_string_n(e, buf, cap);
}

void tls_error_text(char err[static 256])
{
	reason_text(ERR_peek_last_error(), err, 256);
	ERR_clear_error();
}

void tls_file_error(char err[static 256], const char *what, const char *file)
{
	char why[100];

	reason_text(ERR_peek_error(), why, sizeof(why));
	ERR_clear_error();
	snprintf(err, 256, "%s %.120s: %s", what, file, why);
}
