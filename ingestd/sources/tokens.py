"""Tokens: a fixed text that only the platform and ingestd know, in the path, the query or a header."""

from __future__ import annotations

import re
from hmac import compare_digest

from ingestd.config.source import SignatureConfig
from ingestd.http.request import Request
from ingestd.sources.percent import unquote
from ingestd.sources.signatures import Result, Signed, Verifier, decoded, macro_left_in, parameter, value_of

HIDDEN = b"***"
_ESCAPED_NAME = re.compile(rb"(&[^=&%]*%[^=&]*=)[^&]*")


def with_value(raw: bytes, name: bytes, value: bytes) -> bytes:
    """A raw query with all values of a parameter replaced, its name escaped or not. `name`: with its `=`."""
    padded, mark = b"&" + raw, b"&" + name
    if mark in padded:
        first, *others = padded.split(mark)
        padded = first + b"".join([mark + value + other[_value_end(other) :] for other in others])
    if _ESCAPED_NAME.search(padded):
        plain = decoded(name)
        padded = _ESCAPED_NAME.sub(
            lambda found: found[1] + value if decoded(found[1][1:]) == plain else found[0], padded
        )
    return padded[1:]


def _value_end(rest: bytes) -> int:
    end = rest.find(b"&")
    return end if end >= 0 else len(rest)


class Token(Verifier):
    """Verifies a source's token and hides it, so that it is in no event."""

    __slots__ = ("_after", "_header", "_keys", "_param", "_place", "_prefix")

    def __init__(self, settings: SignatureConfig, keys: tuple[bytes, ...], source_path: str) -> None:
        self._keys = keys
        self._place = settings.place
        self._param = parameter(settings.param)
        self._header = settings.header.encode()
        self._prefix = settings.prefix.encode()
        self._after = len(source_path) + 1

    def check(self, request: Request) -> Result:
        """See Verifier. A left-in macro, or an empty value, counts as `missing`."""
        signed = self.signed(request)
        if signed is None:
            return "missing"
        if self.key_number(signed) < 0:
            return "missing" if macro_left_in(signed.given) else "bad"
        return "ok"

    def signed(self, request: Request) -> Signed | None:
        """The token as received, still escaped; nothing else is compared."""
        if self._place == "path":
            given: bytes | None = request.path[self._after :].partition("/")[0].encode("latin-1")
        elif self._place == "query":
            given = value_of(request.query, self._param)
        else:
            given = request.headers.find(self._header)
            given = given.removeprefix(self._prefix) if given is not None else None
        return Signed(b"", given) if given else None

    def key_number(self, signed: Signed) -> int:
        """The number of the token, from 0; -1 if it is unknown."""
        given = signed.given or b""
        if b"%" in given:
            given = unquote(given)
        for number, key in enumerate(self._keys):
            if compare_digest(key, given):
                return number
        return -1

    def hide(self, request: Request) -> None:
        """Replace the token, right or wrong, by `***` in path and query. The route begins behind it."""
        if self._place == "path":
            path = request.path
            given, slash, rest = path[self._after :].partition("/")
            request.path = f"{path[: self._after]}{HIDDEN.decode() if given else ''}{slash}{rest}"
            request.route = rest
        elif self._place == "query":
            request.query = with_value(request.query, self._param, HIDDEN)
