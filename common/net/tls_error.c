/* OpenSSL's error queue as text. */
#include "common/net/tls_error.h"

#include <openssl/err.h>
#include <stdio.h>

#include "common/base/err.h"

static void reason_text(unsigned long e, struct err *err)
{
	const char *reason = ERR_reason_error_string(e);
	char why[ERRNO_TEXT];

	if (!e)
		err->text[0] = '\0';
	else if (ERR_SYSTEM_ERROR(e))
		err_set(err, "%s", errno_text(ERR_GET_REASON(e), why));
	else if (reason)
		err_set(err, "%s", reason);
	else
		ERR_error_string_n(e, err->text, sizeof(err->text));
}

void tls_error_text(struct err *err)
{
	reason_text(ERR_peek_last_error(), err);
	ERR_clear_error();
}

void tls_file_error(struct err *err, const char *what, const char *file)
{
	reason_text(ERR_peek_error(), err);
	ERR_clear_error();
	err_set(err, "%s %s: %s", what, file, err->text);
}
