/* Pins. */
#include "common/net/tls_pin.h"

#include <openssl/evp.h>
#include <string.h>

#define PIN_PREFIX "sha256//"
#define PIN_BASE64 44 /* of 32 bytes */

void tls_pin_of(X509 *cert, char pin[static TLS_PIN_TEXT])
{
	unsigned char *der = NULL, digest[EVP_MAX_MD_SIZE];
	int len = cert ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der) : -1;

	pin[0] = '\0';
	if (len > 0 && EVP_Digest(der, (size_t)len, digest, NULL, EVP_sha256(), NULL) == 1) {
		memcpy(pin, PIN_PREFIX, sizeof(PIN_PREFIX));
		EVP_EncodeBlock((unsigned char *)pin + strlen(PIN_PREFIX), digest, 32);
	}
	OPENSSL_free(der);
}

/* One of "sha256//...;sha256//..." (curl's form). Its length, 0 if it is not one. */
static size_t pin_length(const char *text)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				     "0123456789+/";
	size_t prefix = strlen(PIN_PREFIX);
	char end;

	if (strncmp(text, PIN_PREFIX, prefix) != 0)
		return 0;
	if (strspn(text + prefix, digits) != PIN_BASE64 - 1 || text[prefix + PIN_BASE64 - 1] != '=')
		return 0;
	end = text[prefix + PIN_BASE64];
	return end == '\0' || end == ';' ? prefix + PIN_BASE64 : 0;
}

bool tls_pins_valid(const char *pins)
{
	for (;;) {
		size_t len = pin_length(pins);

		if (!len)
			return false;
		pins += len;
		if (!*pins++)
			return true;
	}
}

bool tls_pin_among(const char *pin, const char *pins)
{
	size_t len;

	for (; (len = pin_length(pins)); pins += len + 1) {
		if (strlen(pin) == len && strncmp(pin, pins, len) == 0)
			return true;
		if (!pins[len])
			break;
	}
	return false;
}
