"""Query strings and form bodies, decoded once: as `urllib.parse.parse_qsl(keep_blank_values=True)` would
(WHATWG URL, application/x-www-form-urlencoded parsing).

The compiled scan (_scan.c) decodes a clean query in one pass and declines any other; the general path in
Python decodes all, and says what is odd.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import orjson

from ingestd.sources import macros
from ingestd.sources.percent import unquote

Params = dict[str, str | list[str]]

# The parameters as a JSON object, byte for byte as `orjson.dumps` writes their dictionary; the value of each
# wanted name (a decoded name as UTF-8), None where it is absent; name and value of each parameter whose value
# begins and ends like a macro, which a regular expression must confirm.
Scanned: TypeAlias = tuple[bytes, tuple[str | None, ...], tuple[tuple[str, str], ...]]


def declines(query: bytes, wanted: tuple[bytes, ...], /) -> Scanned | None:
    """The scan where nothing was compiled: it declines every query."""
    return None


# None where the query is not clean (an empty pair, a pair without `=`, a bad percent escape, bytes that are
# not UTF-8, a repeated name, more than 256 pairs), or not surely so: None is always right.
scan: Callable[[bytes, tuple[bytes, ...]], Scanned | None]
try:
    from ingestd.sources._scan import scan
except ImportError:
    scan = declines

NATIVE = scan is not declines


class Decoded(NamedTuple):
    """Decoded parameters.

    `encoded`: the same as JSON. `flags`: `bad_percent`, `bad_utf8`. `lossy`: `params` alone does not give
    back the query, up to the spelling of its percent escapes.
    """

    params: Params
    encoded: bytes
    flags: tuple[str, ...]
    lossy: bool


NOTHING = Decoded({}, b"{}", (), False)


def decode(query: bytes) -> Decoded:
    """Decode a query or a form. Never fails: bad escapes and bytes are flagged, and kept where possible."""
    if not query:
        return NOTHING
    clean = scan(query, ())
    if clean is None:
        return general_path(query)
    return Decoded(orjson.loads(clean[0]), clean[0], (), False)


def general_path(query: bytes) -> Decoded:
    """Decode any query, at several times the cost of the scan."""
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
    decoded = unquote(raw.replace(b"+", b" "))
    if decoded.count(b"%") != raw.count(b"%25"):
        flags["bad_percent"] = None
    try:
        return decoded.decode("utf-8")
    except UnicodeDecodeError:
        flags["bad_utf8"] = None
        return decoded.decode("utf-8", "replace")
