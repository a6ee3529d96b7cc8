"""Signatures by public keys: only the platform can make them, and no key of ours is a secret.

Needs the package cryptography (the extra `signatures`), from version 47 on: the first that releases Python's
lock while it verifies. A verification takes about 100 to 300 us, so that the intake hands it to
`verification.VerificationQueue`; what costs little, and shows a forgery, is looked at before.

| kind | signature | signed content |
|---|---|---|
| `apple_aak` | JWS, ES256 (RFC 7515, RFC 7518), in the body's `jws-string` | its header and payload |
| `apple_skan` | ECDSA P-256, SHA-256, base64 of DER, in `attribution-signature` | fields joined by U+2063 |
| `rsa_pss` | RSASSA-PSS, SHA-256, base64, in the body's `param` | the fields of `params` joined by U+2063 |
| `ecdsa_query` | ECDSA P-256, SHA-256, base64url of DER, in the query's `param` | the query before it |

Sources:

- AdAttributionKit: developer.apple.com/documentation/adattributionkit/verifying-a-postback. Key ids
  `apple-cas-identifier/0` (production), `apple-development-identifier/0` and `/1` (tests). The header's `kid`
  chooses the key; its `alg` is ignored.
- SKAdNetwork: developer.apple.com/documentation/storekit/verifying-an-install-validation-postback (4),
  /combining-parameters-for-skadnetwork-3-postbacks and
  /combining-parameters-for-previous-skadnetwork-postback-versions. One production key for versions 2.1 to 4.
- Huawei: developer.huawei.com/consumer/cn/doc/harmonyOS-Guides/store-attribution-receive. Fields that are
  absent or empty are not signed.
- AdMob: developers.google.com/admob/android/ssv. `signature` and `key_id` end the query. The keys change;
  they are at https://www.gstatic.com/admob/reward/verifier-keys.json. The page says that the query is signed
  as it comes; verifiers in public had to decode it first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, NamedTuple, TypeAlias

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.hashes import SHA256

from ingestd.config.source import SignatureConfig
from ingestd.errors import RequestRefusedError
from ingestd.http.request import Request
from ingestd.sources import body as bodies
from ingestd.sources import event_time, macros
from ingestd.sources.percent import unquote
from ingestd.sources.signatures import Result, from_base64, value_of

Check: TypeAlias = Callable[[], Result]
Keys: TypeAlias = Mapping[str, ec.EllipticCurvePublicKey | rsa.RSAPublicKey]

SEPARATOR = "\u2063"
# A signed body is a few KB; what is larger is not decoded.
MAX_BODY = 64 * 1024
_ECDSA = ec.ECDSA(SHA256())
_PSS = padding.PSS(padding.MGF1(SHA256()), padding.PSS.AUTO)
# The fields that SKAdNetwork signs, in their order, by `version`. The two sources are only there if they are.
_SKAN_2 = (
    "version", "ad-network-id", "campaign-id", "app-id", "transaction-id", "redownload", "source-app-id",
)  # fmt: skip
SKAN_FIELDS = {
    "2.1": _SKAN_2,
    "2.2": (*_SKAN_2, "fidelity-type"),
    "3.0": (*_SKAN_2, "fidelity-type", "did-win"),
    "4.0": (
        "version", "ad-network-id", "source-identifier", "app-id", "transaction-id", "redownload",
        "source-app-id", "source-domain", "fidelity-type", "did-win", "postback-sequence-index",
    ),
}  # fmt: skip
_SKAN_SOURCES = ("source-app-id", "source-domain")


class Statement(NamedTuple):
    """The claim of one request: a signature, and what it may be over.

    `contents`: the forms of the signed content, any of which may be the one. `key_ids`: the keys that may
    have made it. `expired`: the time in it is out of bounds.
    """

    contents: tuple[bytes, ...]
    signature: bytes
    key_ids: tuple[str, ...]
    expired: bool = False


class PublicKeyVerifier:
    """One source's way to verify. `keys`: by their ids."""

    __slots__ = ("_keys", "_settings")
    # What is signed, for people.
    over: ClassVar[str] = ""

    def __init__(self, settings: SignatureConfig, keys: Keys) -> None:
        self._settings = settings
        self._keys = keys

    def read(self, request: Request) -> Statement | Literal["bad", "missing"]:
        """The statement of a request, or what is wrong with it at first sight."""
        raise NotImplementedError

    def prepare(self, request: Request) -> Result | Check:
        """The result if it costs nothing, else what finds it: in any thread, and without the request."""
        statement = self.read(request)
        if isinstance(statement, str):
            return statement
        return lambda: self._verify(statement)[0]

    def check(self, request: Request) -> Result:
        """Whether the request is signed, and by one of the keys."""
        return self.verdict(request)[0]

    def verdict(self, request: Request) -> tuple[Result, str | None]:
        """The result, and the id of the key that made the signature."""
        statement = self.read(request)
        return (statement, None) if isinstance(statement, str) else self._verify(statement)

    def claims(self, keys: dict[str, Any]) -> dict[str, Any]:
        """The names and values in a signed part of a body. `keys`: the body's top-level keys."""
        return {}

    def _verify(self, statement: Statement) -> tuple[Result, str | None]:
        for key_id in statement.key_ids:
            for content in statement.contents:
                if _is_by(self._keys[key_id], statement.signature, content):
                    return "expired" if statement.expired else "ok", key_id
        return "bad", None


class AppleSkan(PublicKeyVerifier):
    """SKAdNetwork's install-validation postbacks, versions 2.1 to 4."""

    __slots__ = ()
    over = "the fields that the postback's version signs, joined by U+2063"

    def read(self, request: Request) -> Statement | Literal["bad", "missing"]:
        """The statement of a postback; bad for a version that SKAN_FIELDS does not have."""
        keys = json_object(request)
        given = keys.get("attribution-signature")
        if not isinstance(given, str) or not given or macros.is_macro(given):
            return "missing"
        version = keys.get("version")
        fields = SKAN_FIELDS.get(version) if isinstance(version, str) else None
        signature = from_base64(given.encode())
        if fields is None or signature is None:
            return "bad"
        sources = sum(name in keys for name in _SKAN_SOURCES)
        content = _joined([keys.get(name) for name in fields if name in keys or name not in _SKAN_SOURCES])
        return (
            "bad" if content is None or sources > 1 else Statement((content,), signature, tuple(self._keys))
        )


class AppleAak(PublicKeyVerifier):
    """AdAttributionKit's postbacks. The claims are the JWS' payload."""

    __slots__ = ()
    over = "the header and the payload of jws-string"

    def read(self, request: Request) -> Statement | Literal["bad", "missing"]:
        """The statement of `jws-string`; bad for a key that is not known by its id."""
        jws = json_object(request).get("jws-string")
        if not isinstance(jws, str) or not jws or macros.is_macro(jws):
            return "missing"
        content, _, last = jws.encode("utf-8", "replace").rpartition(b".")
        header = _from_json(content.partition(b".")[0])
        signature = from_base64(last)
        key_id = header.get("kid")
        if content.count(b".") != 1 or signature is None or len(signature) != 64 or "crit" in header:
            return "bad"
        if not isinstance(key_id, str) or key_id not in self._keys:
            return "bad"
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
        return Statement((content,), utils.encode_dss_signature(r, s), (key_id,))

    def claims(self, keys: dict[str, Any]) -> dict[str, Any]:
        """The JWS' payload; empty if it is not one. `keys`: the body's top-level keys."""
        jws = keys.get("jws-string")
        parts = jws.split(".") if isinstance(jws, str) else []
        return _from_json(parts[1].encode("utf-8", "replace")) if len(parts) == 3 else {}


class RsaPss(PublicKeyVerifier):
    """The values of a JSON body's fields, those that are there and not empty, signed by RSASSA-PSS."""

    __slots__ = ()
    over = "the fields of params that are there, joined by U+2063"

    def read(self, request: Request) -> Statement | Literal["bad", "missing"]:
        """The statement of a JSON body; bad if a field is not text, a number or a boolean."""
        settings = self._settings
        keys = json_object(request)
        given = keys.get(settings.param)
        if not isinstance(given, str) or not given or macros.is_macro(given):
            return "missing"
        signature = from_base64(given.encode("utf-8", "replace"))
        content = _joined([keys[name] for name in settings.params if keys.get(name) not in (None, "")])
        if signature is None or content is None:
            return "bad"
        return Statement((content,), signature, tuple(self._keys), self._expired(keys, request.received_ns))

    def _expired(self, keys: dict[str, Any], now_ns: int) -> bool:
        settings = self._settings
        if not settings.time_param:
            return False
        start = event_time.read_ns(str(keys.get(settings.time_param)).encode("utf-8", "replace"))
        return start is None or abs(now_ns - start) > settings.max_age * 1e9


class EcdsaQuery(PublicKeyVerifier):
    """The query before its last two parameters, the signature and `key_id`."""

    __slots__ = ()
    over = "the query before the signature"

    def read(self, request: Request) -> Statement | Literal["bad", "missing"]:
        """The statement of a query; bad if anything stands behind the signature and `key_id`."""
        name = self._settings.param.encode() + b"="
        raw = request.query
        start = raw.rfind(b"&" + name)
        if start < 0:
            return "missing"
        last = raw[start + 1 :]
        given, key_id = value_of(last, name), value_of(last, b"key_id=")
        if not given or macros.is_raw_macro(given.decode("latin-1")):
            return "missing"
        signature = from_base64(unquote(given))
        wanted = (key_id or b"").decode("latin-1")
        if signature is None or wanted not in self._keys or last.count(b"&") != 1:
            return "bad"
        return Statement(_forms(raw[:start]), signature, (wanted,))


def _forms(query: bytes) -> tuple[bytes, ...]:
    """The forms of a query that may be signed: as it came and, of one with escapes, decoded.

    Decoded, a value may look like a further parameter: `a=1%26b=2` and `a=1&b=2` are one. It only counts if
    the names stand in the order that the platform gives them, each once.
    """
    names = [pair.partition(b"=")[0] for pair in query.split(b"&")]
    if b"%" not in query or names != sorted(set(names)):
        return (query,)
    return unquote(query), query


KINDS: dict[str, type[PublicKeyVerifier]] = {
    "apple_aak": AppleAak,
    "apple_skan": AppleSkan,
    "rsa_pss": RsaPss,
    "ecdsa_query": EcdsaQuery,
}


def json_object(request: Request) -> dict[str, Any]:
    """The top-level keys of a body that is one JSON object; of any other none."""
    body = request.body
    encoding = request.headers.find(b"Content-Encoding")
    if encoding and body:
        try:
            body = bodies.inflate(body, encoding, MAX_BODY)
        except RequestRefusedError:
            return {}  # the source says why, when it decodes the body
    return _object(body) if len(body) <= MAX_BODY else {}


def _object(text: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def _from_json(part: bytes) -> dict[str, Any]:
    text = from_base64(part)
    return {} if text is None else _object(text)


def _joined(values: list[Any]) -> bytes | None:
    """Texts as they are, numbers as digits, true and false as words; None for anything else.

    A text that holds the separator could stand for two fields.
    """
    texts = []
    for value in values:
        if isinstance(value, bool):
            texts.append("true" if value else "false")
        elif isinstance(value, int):
            texts.append(str(value))
        elif isinstance(value, str) and SEPARATOR not in value:
            texts.append(value)
        else:
            return None
    return SEPARATOR.join(texts).encode("utf-8", "replace")


def _is_by(key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey, signature: bytes, content: bytes) -> bool:
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, content, _PSS, SHA256())
        else:
            key.verify(signature, content, _ECDSA)
    except InvalidSignature:
        return False
    return True
