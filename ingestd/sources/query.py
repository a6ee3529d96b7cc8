"""Query strings and form bodies: decoded once, as `urllib.parse.parse_qsl(keep_blank_values=True)` would.

A clean query is decoded in one pass (scan.py). Any other goes the careful way, which says what is odd.
"""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import unquote_to_bytes

import orjson

from ingestd.sources import macros
from ingestd.sources.scan import scan

Params = dict[str, str | list[str]]


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
    clean = scan(query, ())
    if clean is None:
        return _decode_carefully(query)
    return Decoded(orjson.loads(clean[0]), clean[0], (), False)


def _decode_carefully(query: bytes) -> Decoded:
    params: Params = {}
    flags: dict[str, None] = {}
    lossy = False
    for pair in query.decode("latin-1").split("&"):
        if not pair:
            lossy = True
            continue
        name, equals, value = pair.partition("=")
        lossy = lossy or not equals
        add(
            params,
            name if _plain(name) else _text(name, flags),
            value if _plain(value) else _text(value, flags),
        )
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


def _plain(text: str) -> bool:
    return text.isascii() and "%" not in text and "+" not in text


def _text(text: str, flags: dict[str, None]) -> str:
    if macros.is_raw_macro(text):
        flags["bad_percent"] = None
        return text
    raw = text.encode("latin-1")
    decoded = unquote_to_bytes(raw.replace(b"+", b" "))
    if decoded.count(b"%") != raw.count(b"%25"):
        flags["bad_percent"] = None
    try:
        return decoded.decode("utf-8")
    except UnicodeDecodeError:
        flags["bad_utf8"] = None
        return decoded.decode("utf-8", "replace")
