"""Private keys of our own, and requests signed with them as platforms sign theirs."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ingestd.sources.public_key import SEPARATOR
from ingestd.sources.public_key_kinds import SKAN_FIELDS

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
CURVE = ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(65537, 2048)


def public(key: PrivateKey) -> str:
    """Base64 of the key's public part."""
    der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(der).decode()


def pem(key: PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def jws(header: dict[str, Any], payload: dict[str, Any], key: ec.EllipticCurvePrivateKey = CURVE) -> str:
    """A compact JWS by ES256, whatever its header says."""

    def part(value: bytes) -> str:
        return base64.urlsafe_b64encode(value).decode().rstrip("=")

    content = f"{part(json.dumps(header).encode())}.{part(json.dumps(payload).encode())}"
    r, s = decode_dss_signature(key.sign(content.encode(), ec.ECDSA(SHA256())))
    return f"{content}.{part(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def skan(postback: dict[str, Any], key: ec.EllipticCurvePrivateKey = CURVE) -> dict[str, Any]:
    """A SKAdNetwork postback with a signature of ours."""
    texts = [
        json.dumps(postback[name]).strip('"') for name in SKAN_FIELDS[postback["version"]] if name in postback
    ]
    made = key.sign(SEPARATOR.join(texts).encode(), ec.ECDSA(SHA256()))
    return postback | {"attribution-signature": base64.b64encode(made).decode()}


def with_pss(body: dict[str, Any], *values: object, salt: int = 32) -> dict[str, Any]:
    """A body with an RSASSA-PSS signature over values."""
    content = SEPARATOR.join(map(str, values)).encode()
    made = RSA.sign(content, padding.PSS(padding.MGF1(SHA256()), salt), SHA256())
    return body | {"signature": base64.b64encode(made).decode()}


def key_file(place: Path, *keys: tuple[int, ec.EllipticCurvePrivateKey], form: str = "base64") -> str:
    """AdMob's file of keys, and its path."""
    rows = [
        {"keyId": number, form: public(key) if form == "base64" else pem(key).decode()}
        for number, key in keys
    ]
    (place / "keys.json").write_text(json.dumps({"keys": rows}))
    return str(place / "keys.json")


def with_ecdsa(query: bytes, signed: bytes = b"", key_id: bytes = b"7") -> bytes:
    """A query signed as AdMob signs it."""
    made = CURVE.sign(signed or query, ec.ECDSA(SHA256()))
    given = base64.urlsafe_b64encode(made).rstrip(b"=")
    return b"%b&signature=%b&key_id=%b" % (query, given, key_id)
