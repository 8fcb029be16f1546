/* OpenSSL's error queue as text. */
#ifndef COMMON_NET_TLS_ERROR_H
#define COMMON_NET_TLS_ERROR_H

#include "common/base/err.h"

/* err = the newest reason in the queue, "" if there is none; empties the queue. */
void tls_error_text(struct err *err);
/*
 * err = "what file: reason", the reason being the queue's first (the later ones only say that it
 * failed); empties the queue.
 */
void tls_file_error(struct err *err, const char *what, const char *file);

#endif
