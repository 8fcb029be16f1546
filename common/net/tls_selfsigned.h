/* The certificate that a server makes for itself, once, and keeps with its key. */
#ifndef COMMON_NET_TLS_SELFSIGNED_H
#define COMMON_NET_TLS_SELFSIGNED_H

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdbool.h>

#include "common/base/compiler.h"
#include "common/base/err.h"

/*
 * Loads dir/cert.pem and dir/key.pem, or makes what is missing or broken: a P-256 key (0600) and a
 * certificate for domain and *.domain (for the address if domain is one), ten years, written by tmp
 * + rename; dir is created 0700. A good key is always kept, so that its pin stays. dir NULL or not
 * writable: the pair lives in memory. note: "", or what the operator should know. *key and *cert
 * are owned. False only with err, and if OpenSSL itself fails.
 */
bool tls_selfsigned(const char *dir, const char *domain, EVP_PKEY **key, X509 **cert,
		    char note[static 256], struct err *err) MUSTCHECK;

#endif
