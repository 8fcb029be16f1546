"""Certificates for a test session, made with the openssl command."""

import subprocess


def _openssl(*args):
    out = subprocess.run(["openssl", *map(str, args)], stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True, check=False)
    assert out.returncode == 0, out.stdout
    return out.stdout


class Certs:
    """A CA, a server certificate of it, a client certificate of it, and strangers."""

    def __init__(self, folder, domain="pgrok.me"):
        self.folder = folder
        self.ca, ca_key = self._ca("ca")
        self.other_ca, other_key = self._ca("other-ca")
        names = f"DNS:{domain},DNS:*.{domain},DNS:localhost,IP:127.0.0.1"
        self.server, self.server_key = self._leaf("server", names, self.ca, ca_key)
        self.server2, self.server2_key = self._leaf("server2", names, self.ca, ca_key)
        self.elsewhere, self.elsewhere_key = self._leaf("elsewhere", "DNS:elsewhere.example", self.ca,
                                                        ca_key)
        self.client, self.client_key = self._leaf("client", "DNS:client", self.ca, ca_key)
        self.stranger, self.stranger_key = self._leaf("stranger", "DNS:client", self.other_ca, other_key)

    def _ca(self, name):
        crt, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                 "-keyout", key, "-out", crt, "-days", "30", "-subj", f"/CN={name}")
        return crt, key

    def _leaf(self, name, alt, ca, ca_key):
        crt, key, csr = (self.folder / f"{name}.{x}" for x in ("pem", "key", "csr"))
        ext = self.folder / f"{name}.ext"
        ext.write_text(f"subjectAltName={alt}\n")
        _openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                 key, "-out", csr, "-subj", f"/CN={name}")
        _openssl("x509", "-req", "-in", csr, "-CA", ca, "-CAkey", ca_key, "-CAcreateserial", "-days",
                 "30", "-extfile", ext, "-out", crt)
        return crt, key


def pin_of(pem_file):
    """sha256//... of a certificate's public key."""
    import base64
    import hashlib
    pub = subprocess.run(["openssl", "x509", "-in", str(pem_file), "-pubkey", "-noout"],
                         stdout=subprocess.PIPE, check=True).stdout
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "DER"], input=pub,
                         stdout=subprocess.PIPE, check=True).stdout
    return "sha256//" + base64.b64encode(hashlib.sha256(der).digest()).decode()


def serial_of(der):
    """A printable identity of a certificate as a peer showed it."""
    import hashlib
    return hashlib.sha256(der).hexdigest()


def der_of(pem_file):
    return subprocess.run(["openssl", "x509", "-in", str(pem_file), "-outform", "DER"],
                          stdout=subprocess.PIPE, check=True).stdout
