"""Query strings and form bodies: decoded once, as `urllib.parse.parse_qsl(keep_blank_values=True)` would.

The common query is decoded by falcon's compiled parser; a few counts over the result tell whether that
was exact and lossless. Where it was not, the careful way decodes it again and says what is odd.
"""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import unquote_to_bytes

import orjson
from falcon.cyutil.uri import parse_query_string

Params = dict[str, str | list[str]]

REPLACEMENT = "�".encode()


class Decoded(NamedTuple):
    """Parameters, the same as JSON, what is odd about them, and whether bytes were lost."""

    params: Params
    encoded: bytes
    flags: tuple[str, ...]
    lossy: bool


NOTHING = Decoded({}, b"{}", (), False)


def decode(query: bytes) -> Decoded:
    """Decode a query. Never fails: what is no UTF-8 or no percent escape is flagged and kept as it can be.

    `lossy`: `params` alone does not give back the query (up to the spelling of its percent escapes).
    """
    if not query:
        return NOTHING
    if query.isascii():
        params: Params = parse_query_string(query.decode("ascii"), True, False)
        encoded = orjson.dumps(params)
        if (
            # each %25 gave one '%'; any other '%' in the result was no escape
            encoded.count(b"%") == query.count(b"%25")
            # bytes that were no UTF-8 became U+FFFD
            and (encoded.isascii() or REPLACEMENT not in encoded)
            # a blank value may have been no value at all (`a&b=1`), an empty pair (`&&`) is gone
            and (b'""' not in encoded or _complete(query))
            and query.count(b"&") + 1 == (len(params) if b'":[' not in encoded else _pairs(params))
        ):
            return Decoded(params, encoded, (), False)
    return _decode_carefully(query)


def _pairs(params: Params) -> int:
    return sum(1 if isinstance(value, str) else len(value) for value in params.values())


def _complete(query: bytes) -> bool:
    return all(b"=" in pair for pair in query.split(b"&"))


def _decode_carefully(query: bytes) -> Decoded:
    params: Params = {}
    flags: dict[str, None] = {}
    lossy = False
    for pair in query.split(b"&"):
        if not pair:
            lossy = True
            continue
        name, equals, value = pair.partition(b"=")
        lossy = lossy or not equals
        add(params, _text(name, flags), _text(value, flags))
    return Decoded(params, orjson.dumps(params), tuple(flags), lossy or bool(flags))


def add(params: Params, name: str, value: str) -> None:
    """Add a pair; a repeated name gathers its values in a list."""
    if name not in params:
        params[name] = value
        return
    present = params[name]
    if isinstance(present, list):
        present.append(value)
    else:
        params[name] = [present, value]


def _text(raw: bytes, flags: dict[str, None]) -> str:
    decoded = unquote_to_bytes(raw.replace(b"+", b" "))
    if decoded.count(b"%") != raw.count(b"%25"):
        flags["bad_percent"] = None
    try:
        return decoded.decode("utf-8")
    except UnicodeDecodeError:
        flags["bad_utf8"] = None
        return decoded.decode("utf-8", "replace")
