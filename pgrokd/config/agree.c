/* Options that say something together. */
#include <string.h>

#include "pgrokd/config/config.h"

bool config_agrees(const struct config *c, struct err *err)
{
	if (!c->tls_crt != !c->tls_key)
		return err_set(err, "-tlsCrt and -tlsKey: one is useless without the other");
	if (c->access_log && strcmp(c->access_log, c->log) == 0 && strcmp(c->log, "stdout") != 0)
		return err_set(err, "-accessLog: %.200s is the file of -log", c->log);
	if (!c->trusted && (c->proxy_heads[0] || c->proxy_heads[1] || c->proxy_heads[2]))
		return err_set(err, "-proxyProtocol needs -trustedProxies");
	if (c->drip_on_https && !*c->https_addr)
		return err_set(err, "-dripOnHttps: there is no -httpsAddr");
	if (c->drip_on_https && c->tunnel_client_ca)
		return err_set(err, "-dripOnHttps: clients would come there without the "
				    "certificate that -tunnelTLSClientCA asks for");
	return *c->domain ||
	       err_set(err, "no domain: -domain=NAME, below which the tunnels are to be");
}
