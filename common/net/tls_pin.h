/* Pins: the SHA-256 of a certificate's public key, in curl's form. */
#ifndef COMMON_NET_TLS_PIN_H
#define COMMON_NET_TLS_PIN_H

#include <openssl/x509.h>
#include <stdbool.h>

#include "common/base/compiler.h"

#define TLS_PIN_TEXT 64 /* "sha256//" + base64 of 32 bytes and NUL fit */

/* The pin of the certificate's SubjectPublicKeyInfo; "" if cert is NULL. */
void tls_pin_of(X509 *cert, char pin[static TLS_PIN_TEXT]);
/* Is this "sha256//..." or several of them with ';' between? */
bool tls_pins_valid(const char *pins) MUSTCHECK;
/* Is it one of these? */
bool tls_pin_among(const char *pin, const char *pins) MUSTCHECK;

#endif
