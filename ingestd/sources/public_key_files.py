"""Public keys: those of the configuration, of files, and of Apple."""

from __future__ import annotations

import base64
import binascii
import re
from pathlib import Path

import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from ingestd.config.source import APPLE_KINDS, SignatureConfig
from ingestd.errors import IngestdError
from ingestd.sources.public_key import Keys, PublicKeyVerifier
from ingestd.sources.public_key_kinds import KINDS

# P-256, as on developer.apple.com/documentation/adattributionkit/verifying-a-postback; the first also signs
# SKAdNetwork's postbacks from version 2.1 on.
_P256 = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE"
APPLE = {
    "apple-cas-identifier/0":
        _P256 + "Wdp8GPcGqmhgzEFj9Z2nSpQVddayaPe4FMzqM9wib1+aHaaIzoHoLN9zW4K8y4SPykE3YVK3sVqW6Af0lfx3gg==",
}  # fmt: skip
# What Apple signs with in development: anyone with a device can have it sign a postback.
APPLE_TESTS = {
    "apple-development-identifier/0":
        _P256 + "LeEDzpJEP+/qRSE5hJVC1p1J0ssUnQGMzBBbvnACBok8OVGGLgxL0myrKiy6lvRtSlLRsWit87i+vftD8AEqeQ==",
    "apple-development-identifier/1":
        _P256 + "8YzdO7eM97s/IJ25kdW5CZ3A14USE5IJ5Ha/vhWaxI6UBI1ZxCEvjrKxVluVGe6qWwF1BDFq+QHqKfH5u+wxHQ==",
}  # fmt: skip
LEAST_RSA_BITS = 2048
_PEM = re.compile(rb"-----BEGIN PUBLIC KEY-----(.*?)-----END PUBLIC KEY-----", re.DOTALL)


class PublicKeyError(IngestdError):
    """A public key that cannot be used; the message names it and says why."""


def build(signature: SignatureConfig) -> PublicKeyVerifier:
    """The verifier of a source with a kind of KINDS. Reads its files; raises PublicKeyError."""
    texts = dict(signature.public_keys)
    if signature.kind in APPLE_KINDS:
        texts |= APPLE | (APPLE_TESTS if signature.test_keys else {})
    for path in signature.key_file:
        texts |= _of_file(path)
    curve = signature.kind != "rsa_pss"
    keys: Keys = {name: _key(name, text, curve=curve) for name, text in texts.items()}
    return KINDS[signature.kind](signature, keys)


def _of_file(path: Path) -> dict[str, str]:
    """The keys of a file: PEM, or JSON as AdMob's: {"keys": [{"keyId": ..., "pem": ...}]}."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise PublicKeyError(f"{path}: {error.strerror or error}") from None
    if content.lstrip().startswith(b"{"):
        return _of_json(path, content)
    found = _PEM.findall(content)
    if not found:
        raise PublicKeyError(f"{path}: has no public key, neither PEM nor JSON")
    return {f"{path.name}, key {number}": text.decode("latin-1") for number, text in enumerate(found, 1)}


def _of_json(path: Path, content: bytes) -> dict[str, str]:
    try:
        keys = {str(one["keyId"]): one.get("base64") or one["pem"] for one in orjson.loads(content)["keys"]}
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        keys = {}
    if not keys or not all(isinstance(text, str) for text in keys.values()):
        raise PublicKeyError(f'{path}: is not of the form {{"keys": [{{"keyId": 1, "pem": "..."}}]}}')
    return keys


def _key(name: str, text: str, *, curve: bool) -> ec.EllipticCurvePublicKey | rsa.RSAPublicKey:
    """A key from PEM or from base64 of its SubjectPublicKeyInfo."""
    found = _PEM.search(text.encode("utf-8", "replace"))
    try:
        der = base64.b64decode(
            "".join((found[1].decode("latin-1") if found else text).split()), validate=True
        )
        key = load_der_public_key(der)
    except (binascii.Error, ValueError, UnsupportedAlgorithm):
        raise PublicKeyError(f"{name}: is not a public key in PEM or base64") from None
    if curve and isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    if not curve and isinstance(key, rsa.RSAPublicKey) and key.key_size >= LEAST_RSA_BITS:
        return key
    wanted = "P-256" if curve else f"RSA with {LEAST_RSA_BITS} bits or more"
    raise PublicKeyError(f"{name}: is not a key of the kind that is needed, {wanted}")
