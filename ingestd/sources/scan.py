"""A clean query in one pass: its JSON, the values a source asks for, and what may be an unreplaced macro.

Compiled (_scan.c) where a compiler was at hand at installation, else in Python: the same results, at several
times the cost. `NATIVE` tells which.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

import orjson

from ingestd.sources import macros

MAX_PAIRS: Final = 256
# What separates names and values, while the escapes among them are decoded: bytes that UTF-8 never has.
_AMPERSAND, _EQUALS = b"\xff", b"\xfe"
_MARKED = bytes.maketrans(b"+&=", b" " + _AMPERSAND + _EQUALS)

# The parameters as a JSON object; the value of each wanted name, None where it is absent; name and value of
# each parameter whose value begins and ends like a macro (a regular expression must confirm it).
Scanned: TypeAlias = tuple[bytes, tuple[str | None, ...], tuple[tuple[str, str], ...]]


def scan_in_python(query: bytes, wanted: tuple[bytes, ...], /) -> Scanned | None:
    """Decode a clean query and encode it as JSON, byte for byte as `orjson.dumps` of its dictionary.

    `wanted`: decoded names, as UTF-8. None where the query is not clean, so that a careful decoder must say
    what is odd about it: an empty pair, a pair without `=`, a bad percent escape, bytes that are no UTF-8, a
    repeated name, more than MAX_PAIRS pairs. (The compiled `scan` also takes names of one 64-bit hash for
    repeated. None is always safe.)
    """
    params: dict[str, str] = {}
    if query:
        if query.count(b"&") >= MAX_PAIRS:
            return None
        try:
            for pair in _decoded_pairs(query):
                name, equals, value = pair.partition(_EQUALS)
                if not equals:
                    return None
                params[name.decode()] = value.replace(_EQUALS, b"=").decode()
        except UnicodeError:
            return None
        if len(params) <= query.count(b"&"):
            return None
    return (
        orjson.dumps(params),
        # a name that is no UTF-8 becomes one that no parameter can have
        tuple([params.get(name.decode("utf-8", "surrogateescape")) for name in wanted]),
        tuple(
            [
                (name, value)
                for name, value in params.items()
                if value[:1] in macros.FIRST and value[-1] in macros.LAST and len(value) >= 3
            ]
        ),
    )


def _decoded_pairs(query: bytes) -> list[bytes]:
    """Decode all percent escapes at once and cut where `&` was. Raises UnicodeError for a bad escape.

    Python's own `\\x` escapes stand in for those of the query: a codec in C, as strict as is needed here.
    """
    marked = query.translate(_MARKED).replace(b"\\", b"\\\\").replace(b"%", b"\\x")
    decoded = marked.decode("unicode_escape").encode("latin-1")
    if decoded.count(_AMPERSAND) != query.count(b"&") or decoded.count(_EQUALS) != query.count(b"="):
        raise UnicodeError("a byte that is no UTF-8")
    return decoded.split(_AMPERSAND)


scan: Callable[[bytes, tuple[bytes, ...]], Scanned | None]
NATIVE: bool
try:
    from ingestd.sources._scan import scan
except ImportError:
    scan = scan_in_python
    NATIVE = False
else:
    NATIVE = True
