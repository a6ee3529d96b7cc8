"""Signatures: whether a request comes from whom it says, told from the raw bytes of its URL or body.

Nothing is decoded and encoded again on the way: what a platform signed is what stands in the request
line. Comparisons take the same time whether they fail early, late or not at all.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Sequence
from hmac import compare_digest
from typing import Literal, NamedTuple
from urllib.parse import unquote_to_bytes

from ingestd.config.secrets import Secret
from ingestd.config.source import SignatureConfig, SourceConfig
from ingestd.http.request import Request
from ingestd.sources import event_time, macros

Result = Literal["ok", "bad", "missing", "expired"]
HIDDEN = b"***"
_ESCAPED_NAME = re.compile(rb"(&[^=&%]*%[^=&]*=)[^&]*")
_MACRO_STARTS = frozenset("".join(macros.FIRST).encode())


class Signed(NamedTuple):
    """What of a request is signed, and the text of the signature (None: it stands where it must not)."""

    content: bytes
    given: bytes | None


class Verifier:
    """One source's way to verify. Requests have been routed; signatures expire by `request.received_ns`."""

    __slots__ = ()

    def check(self, request: Request) -> Result:
        """Whether the request is signed, and by one of the keys."""
        raise NotImplementedError

    def signed(self, request: Request) -> Signed | None:
        """What would be compared; None where there is no signature."""
        raise NotImplementedError

    def key_number(self, signed: Signed) -> int:
        """Which key made it, from 0; -1: none."""
        raise NotImplementedError


def build(settings: SourceConfig, keys: Sequence[Secret], public_base: str) -> Verifier:
    """The verifier a source's configuration asks for. `keys`: at least one."""
    signature = settings.signature
    values = tuple(key.reveal() for key in keys)
    if signature.kind == "token":
        return Token(signature, values, settings.path)
    if signature.kind == "hmac_sha256_body":
        return BodySignature(signature, values)
    if signature.kind == "md5_concat":
        return ConcatSignature(signature, values)
    return UrlSignature(signature, values, signature.public_base or public_base)


def value_of(raw: bytes, name: bytes) -> bytes | None:
    """The first value in a raw query, still escaped. `name`: as the platform spells it, with its `=`."""
    padded = b"&" + raw
    start = padded.find(b"&" + name)
    if start < 0:
        return None
    start += len(name) + 1
    end = padded.find(b"&", start)
    return padded[start:] if end < 0 else padded[start:end]


def with_value(raw: bytes, name: bytes, value: bytes) -> bytes:
    """A raw query with every value of a parameter replaced, its name escaped or not. `name`: with its `=`."""
    padded, start = b"&" + raw, 0
    while (found := padded.find(b"&" + name, start)) >= 0:
        start = found + 1 + len(name)
        end = padded.find(b"&", start)
        padded = padded[:start] + value + (b"" if end < 0 else padded[end:])
    if _ESCAPED_NAME.search(padded):
        plain = decoded(name)
        padded = _ESCAPED_NAME.sub(
            lambda found: found[1] + value if decoded(found[1][1:]) == plain else found[0], padded
        )
    return padded[1:]


def decoded(value: bytes) -> bytes:
    """A raw value without its escapes."""
    return unquote_to_bytes(value.replace(b"+", b" "))


def _from_hex(text: bytes) -> bytes | None:
    try:
        return binascii.a2b_hex(text)
    except binascii.Error:
        return None


def _from_base64(text: bytes) -> bytes | None:
    plain = unquote_to_bytes(text).translate(bytes.maketrans(b"-_ ", b"+/+")).rstrip(b"=")
    try:
        return binascii.a2b_base64(plain + b"=" * (-len(plain) % 4), strict_mode=True)
    except binascii.Error:
        return None


_READ: dict[str, Callable[[bytes], bytes | None]] = {"hex": _from_hex, "base64": _from_base64}


def _md5(key: bytes) -> Callable[[bytes], bytes]:
    def digest(content: bytes) -> bytes:
        return hashlib.md5(content + key, usedforsecurity=False).digest()

    return digest


def _hmac(key: bytes) -> Callable[[bytes], bytes]:
    keyed = hmac.new(key, digestmod="sha256")  # the key's own blocks are hashed once, not once an event

    def digest(content: bytes) -> bytes:
        made = keyed.copy()
        made.update(content)
        return made.digest()

    return digest


def _left_in(given: bytes | None) -> bool:
    if not given or given[0] not in _MACRO_STARTS:  # a bad signature costs no more than a good one
        return False
    return macros.is_raw_macro(given.decode("latin-1")) or macros.is_macro(decoded(given).decode("latin-1"))


class _Keyed(Verifier):
    """What all schemes share that compare a digest of something with what came."""

    __slots__ = ("_digests", "_expires", "_max_age_ns", "_read", "_time")

    def __init__(self, settings: SignatureConfig, keys: tuple[bytes, ...]) -> None:
        self._digests = [(_md5 if settings.kind.startswith("md5") else _hmac)(key) for key in keys]
        self._read = _READ[settings.encoding]
        self._expires = _parameter(settings.expires_param)
        self._time = _parameter(settings.time_param)
        self._max_age_ns = int(settings.max_age * 1e9)

    def check(self, request: Request) -> Result:
        """See Verifier. A macro left in, or no value at all, is no signature."""
        signed = self.signed(request)
        if signed is None:
            return "missing"
        if self.key_number(signed) < 0:
            return "missing" if _left_in(signed.given) else "bad"
        if (self._expires or self._time) and self._too_old(request.query, request.received_ns):
            return "expired"
        return "ok"

    def key_number(self, signed: Signed) -> int:
        """Which key made it, from 0; -1: none."""
        given = self._read(signed.given) if signed.given is not None else None
        if given is not None:
            content, compare = signed.content, compare_digest
            for number, digest in enumerate(self._digests):
                if compare(digest(content), given):
                    return number
        return -1

    def _too_old(self, raw: bytes, now_ns: int) -> bool:
        """A signed time that cannot be read has not been kept either."""
        if self._expires:
            end = event_time.read_ns(value_of(raw, self._expires))
            if end is None or end < now_ns:
                return True
        if self._time:
            start = event_time.read_ns(value_of(raw, self._time))
            return start is None or abs(now_ns - start) > self._max_age_ns
        return False


def _parameter(name: str) -> bytes:
    return name.encode() + b"=" if name else b""


class UrlSignature(_Keyed):
    """Over the URL (or path and query) as sent, less the signature's own parameter."""

    __slots__ = ("_last", "_param", "_prefix")

    def __init__(self, settings: SignatureConfig, keys: tuple[bytes, ...], public_base: str) -> None:
        super().__init__(settings, keys)
        self._prefix = b"" if settings.covers == "target" else public_base.encode()
        self._param = b"&" + _parameter(settings.param)
        self._last = settings.last

    def check(self, request: Request) -> Result:
        """See Verifier. What nearly every request is, a signature at the end, is told in one go."""
        raw = request.query
        start = raw.rfind(self._param)
        given = self._read(raw[start + len(self._param) :]) if start >= 0 else None
        if not given:
            return super().check(request)
        path, compare = request.path.encode("latin-1"), compare_digest
        content = b"%b%b?%b" % (self._prefix, path, raw[:start])
        for digest in self._digests:
            if compare(digest(content), given):
                break
        else:
            return "bad"
        return (
            "expired" if (self._expires or self._time) and self._too_old(raw, request.received_ns) else "ok"
        )

    def signed(self, request: Request) -> Signed | None:
        """The last one counts where there are several."""
        path, raw = request.path.encode("latin-1"), request.query
        start = raw.rfind(self._param)
        if start >= 0:
            before, given = b"%s%s?%s" % (self._prefix, path, raw[:start]), raw[start + len(self._param) :]
        elif raw.startswith(self._param[1:]):
            before, given = self._prefix + path, raw[len(self._param) - 1 :]
        else:
            return None
        if b"&" in given:
            if self._last:
                return Signed(b"", None)
            given, _, after = given.partition(b"&")
            before += (b"?" if start < 0 else b"&") + after
        return Signed(before, given) if given else None


class ConcatSignature(_Keyed):
    """Over the decoded values of some parameters, one after the other."""

    __slots__ = ("_param", "_params")

    def __init__(self, settings: SignatureConfig, keys: tuple[bytes, ...]) -> None:
        super().__init__(settings, keys)
        self._param = _parameter(settings.param)
        self._params = tuple(map(_parameter, settings.params))

    def signed(self, request: Request) -> Signed | None:
        """A parameter that is not there counts as an empty one."""
        raw = request.query
        given = value_of(raw, self._param)
        if not given:
            return None
        return Signed(b"".join(decoded(value_of(raw, param) or b"") for param in self._params), given)


class BodySignature(_Keyed):
    """Over the body as sent, in a header."""

    __slots__ = ("_header", "_prefix")

    def __init__(self, settings: SignatureConfig, keys: tuple[bytes, ...]) -> None:
        super().__init__(settings, keys)
        self._header = settings.header.encode()
        self._prefix = settings.prefix.encode()

    def signed(self, request: Request) -> Signed | None:
        """What stands in the header after its prefix."""
        value = request.headers.find(self._header)
        if not value:
            return None
        return Signed(request.body, value[len(self._prefix) :] if value.startswith(self._prefix) else None)


class Token(Verifier):
    """A fixed text that only the platform and we know. It is hidden before the event is made."""

    __slots__ = ("_after", "_header", "_keys", "_param", "_place", "_prefix")

    def __init__(self, settings: SignatureConfig, keys: tuple[bytes, ...], source_path: str) -> None:
        self._keys = keys
        self._place = settings.place
        self._param = _parameter(settings.param)
        self._header = settings.header.encode()
        self._prefix = settings.prefix.encode()
        self._after = len(source_path) + 1

    def check(self, request: Request) -> Result:
        """See Verifier. A macro left in, or no value at all, is no token."""
        signed = self.signed(request)
        if signed is None:
            return "missing"
        if self.key_number(signed) < 0:
            return "missing" if _left_in(signed.given) else "bad"
        return "ok"

    def signed(self, request: Request) -> Signed | None:
        """The token that came."""
        if self._place == "path":
            given: bytes | None = request.path[self._after :].partition("/")[0].encode("latin-1")
        elif self._place == "query":
            given = value_of(request.query, self._param)
        else:
            given = request.headers.find(self._header)
            given = given.removeprefix(self._prefix) if given is not None else None
        return Signed(b"", given) if given else None

    def key_number(self, signed: Signed) -> int:
        """Which token it is, from 0; -1: none."""
        given = signed.given or b""
        if b"%" in given:
            given = unquote_to_bytes(given)
        for number, key in enumerate(self._keys):
            if compare_digest(key, given):
                return number
        return -1

    def hide(self, request: Request) -> None:
        """Take the token, be it right or wrong, out of the path (in which it is no route) and the query."""
        if self._place == "path":
            path = request.path
            given, slash, rest = path[self._after :].partition("/")
            request.path = f"{path[: self._after]}{HIDDEN.decode() if given else ''}{slash}{rest}"
            request.route = rest
        elif self._place == "query":
            request.query = with_value(request.query, self._param, HIDDEN)
