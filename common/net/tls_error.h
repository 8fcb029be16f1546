/* OpenSSL's error queue as text. */
#ifndef COMMON_NET_TLS_ERROR_H
#define COMMON_NET_TLS_ERROR_H

/* err = the newest reason in the queue, "" if there is none; empties the queue. */
void tls_error_text(char err[static 256]);
/*
 * err = "what file: reason", the reason being the queue's first (the later ones only say that it
 * failed); empties the queue.
 */
void tls_file_error(char err[static 256], const char *what, const char *file);

#endif
