"""A certificate authority made on the fly, and one server certificate for the loopback address."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.support.waiting import FAR

P256 = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc")
# Every extension is named because Python 3.13 verifies strictly (RFC 5280), where 3.11 did not.
EXTENSIONS = """
[req]
distinguished_name = dn
[dn]
[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = IP:127.0.0.1, DNS:localhost
"""


class TestCa:
    """`ca_file` is what a client trusts, `server_pem` the broker's key and chain in one PEM file."""

    __test__ = False

    def __init__(self, directory: Path, days: int = 2) -> None:
        """Raises FileNotFoundError where there is no openssl."""
        directory.mkdir(parents=True, exist_ok=True)
        self.ca_file = directory / "ca.pem"
        self.server_pem = directory / "server.pem"
        config, ca_key, key, certificate = (
            directory / name for name in ("extensions.cnf", "ca.key", "server.key", "server.crt")
        )
        config.write_text(EXTENSIONS)
        common = ("req", "-x509", *P256, "-days", str(days), "-config", config)
        _openssl(
            *common, "-extensions", "ca", "-subj", "/CN=test CA", "-keyout", ca_key, "-out", self.ca_file
        )
        issuer = ("-CA", self.ca_file, "-CAkey", ca_key)
        subject = ("-extensions", "server", "-subj", "/CN=127.0.0.1")
        _openssl(*common, *issuer, *subject, "-keyout", key, "-out", certificate)
        chain = (key, certificate, self.ca_file)
        self.server_pem.write_text("".join(part.read_text() for part in chain))


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=FAR)
