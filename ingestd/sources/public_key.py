"""The base of the verifiers by public keys, which are in public_key_kinds.py.

Needs the package cryptography (the extra `signatures`), from version 47 on: the first that releases Python's
lock while it verifies. A verification takes about 100 to 300 us, so that the intake hands it to
`verification.VerificationQueue`; what costs little, and shows a forgery, is looked at before.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, ClassVar, Literal, NamedTuple, TypeAlias

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from ingestd.config.source import SignatureConfig
from ingestd.errors import RequestRefusedError
from ingestd.http.request import Request
from ingestd.sources import body as bodies
from ingestd.sources import encoder
from ingestd.sources.query import Params
from ingestd.sources.signatures import Result, from_base64

Check: TypeAlias = Callable[[], Result]
Keys: TypeAlias = Mapping[str, ec.EllipticCurvePublicKey | rsa.RSAPublicKey]

SEPARATOR = "\u2063"
# A signed body is a few KB; what is larger is not decoded.
MAX_BODY = 64 * 1024
_ECDSA = ec.ECDSA(SHA256())
_PSS = padding.PSS(padding.MGF1(SHA256()), padding.PSS.AUTO)


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

    def signed(self, keys: dict[str, Any]) -> dict[str, Any]:
        """The keys and values that stand for the event of a JSON body. `keys`: the body's top-level keys."""
        return keys

    def beside(self, params: Params, keys: Collection[str]) -> Params:
        """The parameters that stand for an event, beside a body that has `keys`."""
        return params

    def _verify(self, statement: Statement) -> tuple[Result, str | None]:
        for key_id in statement.key_ids:
            for content in statement.contents:
                if _is_by(self._keys[key_id], statement.signature, content):
                    return "expired" if statement.expired else "ok", key_id
        return "bad", None


class JsonVerifier(PublicKeyVerifier):
    """Verifies a JSON body, of which the fields `names` are signed: only there they have a value.

    A genuine body may come again with a query, or with further keys: what is unsigned must not make another
    event of it.
    """

    __slots__ = ()
    names: frozenset[str] = frozenset()

    def beside(self, params: Params, keys: Collection[str]) -> Params:
        """The parameters whose name the body does not have, and no signed field has."""
        return {name: value for name, value in params.items() if name not in keys and name not in self.names}


def json_object(request: Request) -> dict[str, Any]:
    """The top-level keys of a body that is one JSON object, and is called JSON; of any other none."""
    body, headers = request.body, request.headers
    media_type = encoder.content_type(headers.find(b"Content-Type") or b"")[1]
    if not body or bodies.is_json_lines(media_type) or not bodies.is_json(media_type):
        return {}  # to the source it is a form, a text or a number of bodies
    encoding = headers.find(b"Content-Encoding")
    if encoding:
        try:
            body = bodies.inflate(body, encoding, MAX_BODY)
        except RequestRefusedError:
            return {}  # the source says why, when it decodes the body
    return object_of(body) if len(body) <= MAX_BODY else {}


def object_of(text: bytes) -> dict[str, Any]:
    """The keys of a JSON object; none of anything else."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def decoded_object(part: bytes) -> dict[str, Any]:
    """The keys of a JSON object in base64; none of anything else."""
    text = from_base64(part)
    return {} if text is None else object_of(text)


def joined(values: list[Any]) -> bytes | None:
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
