"""Query strings and form bodies: decoded once, as `urllib.parse.parse_qsl(keep_blank_values=True)` would.

The common query is decoded by falcon's compiled parser; the length of the result tells whether that was
exact and lossless. Where it was not, the careful way decodes it again and says what is odd.
"""

from __future__ import annotations

import sys
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
        if _exact(query, params, encoded):
            return Decoded(params, encoded, (), False)
    return _decode_carefully(query)


def _exact(query: bytes, params: Params, encoded: bytes) -> bool:
    """Whether the compiled parser's result is right and lossless, told by lengths alone.

    Where every pair has its `=`, every `%` begins an escape and nothing was dropped, the JSON is as long
    as the query, less two for each escape, plus four for each pair and two for the braces. Whatever is
    odd makes it longer, never shorter, so nothing odd can make up for another: a missing `=` or an empty
    pair, an escape that is none, bytes that are no UTF-8. So does what JSON escapes: `\\"` and `\\n` by
    one, which is told by its backslash; where there are other escapes the careful way decides.
    """
    pairs = query.count(b"&") + 1
    surplus = len(encoded) - len(query) - 4 * pairs - 2 + 2 * query.count(b"%")
    if len(params) != pairs:
        surplus += _saved_by_lists(params, pairs)
    if surplus and (surplus != encoded.count(b"\\") or b"\\\\" in encoded):
        return False
    # Up to three bytes that are no UTF-8 became U+FFFD, which is three bytes long itself.
    return encoded.isascii() or REPLACEMENT not in encoded


def _saved_by_lists(params: Params, pairs: int) -> int:
    """By how much a list of values is shorter than a pair for each of them."""
    saved = values = 0
    for name, value in params.items():
        if isinstance(value, list):
            count = len(value)
            values += count
            saved += (count - 1) * len(name.encode()) + 3 * count - 5
        else:
            values += 1
    return saved if values == pairs else sys.maxsize  # a pair was dropped: never exact


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


def merged(first: Params, second: Params) -> Params:
    """The query's parameters, then the form's; a name in both gathers all its values."""
    params: Params = {name: [*value] if isinstance(value, list) else value for name, value in first.items()}
    for name, value in second.items():
        for one in value if isinstance(value, list) else [value]:
            add(params, name, one)
    return params


def _text(raw: bytes, flags: dict[str, None]) -> str:
    decoded = unquote_to_bytes(raw.replace(b"+", b" "))
    if decoded.count(b"%") != raw.count(b"%25"):
        flags["bad_percent"] = None
    try:
        return decoded.decode("utf-8")
    except UnicodeDecodeError:
        flags["bad_utf8"] = None
        return decoded.decode("utf-8", "replace")
