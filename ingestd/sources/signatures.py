"""Signatures over the raw bytes of a request's URL or body.

The bytes are verified as received, never decoded and encoded again. Comparisons take constant time. The kinds
are those of config.source.SignatureConfig; config/profiles has the platforms that use them and the documents.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
from collections.abc import Callable
from hmac import compare_digest
from typing import Literal, NamedTuple

from ingestd.config.source import SignatureConfig
from ingestd.http.request import Request
from ingestd.sources import event_time, macros
from ingestd.sources.percent import unquote

Result = Literal["ok", "bad", "missing", "expired"]
_ONE_ALPHABET = bytes.maketrans(b"-_ ", b"+/+")  # of the two of base64; a space was a plus
_MACRO_STARTS = frozenset("".join(macros.FIRST).encode())


class Signed(NamedTuple):
    """The signed bytes, and the text of the signature as received (None: in a place where it must not be)."""

    content: bytes
    given: bytes | None


class Verifier:
    """Verifies the requests of one source, after they have been routed. `received_ns` is the present time."""

    __slots__ = ()

    def check(self, request: Request) -> Result:
        """Whether the request is signed by one of the keys: `ok`, `bad`, `missing` or `expired`."""
        raise NotImplementedError

    def signed(self, request: Request) -> Signed | None:
        """The signed bytes and the signature; None without a signature."""
        raise NotImplementedError

    def key_number(self, signed: Signed) -> int:
        """The number of the key that made the signature, from 0; -1 if none did."""
        raise NotImplementedError


def value_of(raw: bytes, name: bytes) -> bytes | None:
    """The first value of a parameter in a raw query, still escaped. `name`: with its `=`."""
    padded = b"&" + raw
    start = padded.find(b"&" + name)
    if start < 0:
        return None
    start += len(name) + 1
    end = padded.find(b"&", start)
    return padded[start:] if end < 0 else padded[start:end]


def decoded(value: bytes) -> bytes:
    """A raw value with percent escapes and `+` decoded."""
    return unquote(value.replace(b"+", b" "))


def _from_hex(text: bytes) -> bytes | None:
    try:
        return binascii.a2b_hex(text)
    except binascii.Error:
        return None


def from_base64(text: bytes) -> bytes | None:
    """The bytes that a text in either alphabet stands for, with padding or without; None if it is not one."""
    plain = text.translate(_ONE_ALPHABET).rstrip(b"=")
    try:
        return binascii.a2b_base64(plain + b"=" * (-len(plain) % 4), strict_mode=True)
    except binascii.Error:
        return None


def _from_escaped_base64(text: bytes) -> bytes | None:
    return from_base64(unquote(text))


_READ: dict[str, Callable[[bytes], bytes | None]] = {"hex": _from_hex, "base64": _from_escaped_base64}


def _md5(key: bytes) -> Callable[[bytes], bytes]:
    def digest(content: bytes) -> bytes:
        return hashlib.md5(content + key, usedforsecurity=False).digest()

    return digest


def _hmac(key: bytes, name: str) -> Callable[[bytes], bytes]:
    keyed = hmac.new(key, digestmod=name)  # hashes the key once, not for each event

    def digest(content: bytes) -> bytes:
        made = keyed.copy()
        made.update(content)
        return made.digest()

    return digest


def macro_left_in(given: bytes | None) -> bool:
    if not given or given[0] not in _MACRO_STARTS:  # so that a bad signature costs no more than a good one
        return False
    return macros.is_raw_macro(given.decode("latin-1")) or macros.is_macro(decoded(given).decode("latin-1"))


class _Keyed(Verifier):
    """A scheme that compares a keyed digest of the signed bytes with the signature."""

    __slots__ = ("_digests", "_expires", "_max_age_ns", "_read", "_time")

    def __init__(self, settings: SignatureConfig, keys: tuple[bytes, ...]) -> None:
        kind = settings.kind
        if kind.startswith("md5"):
            self._digests = [_md5(key) for key in keys]
        else:
            self._digests = [_hmac(key, kind.split("_")[1]) for key in keys]
        self._read = _READ[settings.encoding]
        self._expires = parameter(settings.expires_param)
        self._time = parameter(settings.time_param)
        self._max_age_ns = int(settings.max_age * 1e9)

    def check(self, request: Request) -> Result:
        """See Verifier. A left-in macro, or an empty value, counts as `missing`."""
        signed = self.signed(request)
        if signed is None:
            return "missing"
        if self.key_number(signed) < 0:
            return "missing" if macro_left_in(signed.given) else "bad"
        if (self._expires or self._time) and self._too_old(request.query, request.received_ns):
            return "expired"
        return "ok"

    def key_number(self, signed: Signed) -> int:
        """The number of the key that made the signature, from 0; -1 if none did."""
        given = self._read(signed.given) if signed.given is not None else None
        if given is not None:
            content, compare = signed.content, compare_digest
            for number, digest in enumerate(self._digests):
                if compare(digest(content), given):
                    return number
        return -1

    def _too_old(self, raw: bytes, now_ns: int) -> bool:
        """Whether the signed time is over. A time that cannot be read counts as over."""
        if self._expires:
            end = event_time.read_ns(value_of(raw, self._expires))
            if end is None or end < now_ns:
                return True
        if self._time:
            start = event_time.read_ns(value_of(raw, self._time))
            return start is None or abs(now_ns - start) > self._max_age_ns
        return False


def parameter(name: str) -> bytes:
    return name.encode() + b"=" if name else b""


class UrlSignature(_Keyed):
    """Over the URL, or over path and query, as received, without the signature's own parameter."""

    __slots__ = ("_last", "_param", "_prefix")

    def __init__(self, settings: SignatureConfig, keys: tuple[bytes, ...], public_base: str) -> None:
        super().__init__(settings, keys)
        self._prefix = b"" if settings.covers == "target" else public_base.encode()
        self._param = b"&" + parameter(settings.param)
        self._last = settings.last

    def check(self, request: Request) -> Result:
        """See Verifier. A signature at the end of the query, the usual case, is verified without `signed`."""
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
        """The last one of several signatures counts."""
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
    """Over the decoded values of configured parameters, joined without a separator."""

    __slots__ = ("_param", "_params")

    def __init__(self, settings: SignatureConfig, keys: tuple[bytes, ...]) -> None:
        super().__init__(settings, keys)
        self._param = parameter(settings.param)
        self._params = tuple(map(parameter, settings.params))

    def signed(self, request: Request) -> Signed | None:
        """A missing parameter counts as an empty one."""
        raw = request.query
        given = value_of(raw, self._param)
        if not given:
            return None
        return Signed(b"".join(decoded(value_of(raw, param) or b"") for param in self._params), given)


class BodySignature(_Keyed):
    """Over the body as received; the signature is in a header."""

    __slots__ = ("_header", "_prefix")

    def __init__(self, settings: SignatureConfig, keys: tuple[bytes, ...]) -> None:
        super().__init__(settings, keys)
        self._header = settings.header.encode()
        self._prefix = settings.prefix.encode()

    def signed(self, request: Request) -> Signed | None:
        """The header's value behind its configured prefix, and the body."""
        value = request.headers.find(self._header)
        if not value:
            return None
        return Signed(request.body, value[len(self._prefix) :] if value.startswith(self._prefix) else None)
