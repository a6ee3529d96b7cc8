"""A URL in pieces for people, each with what it is, and the mistakes in it with the pieces they are about.

The pieces joined are the URL again, except for credentials, which are masked. It is judged as `ingestd link`
judges one (`sources.link_faults`): as the URL of a click, or as a tracking link if it is one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import unquote, unquote_to_bytes

from ingestd.admin import redaction
from ingestd.config.source import SourceConfig
from ingestd.sources import link_faults, links, macros, null_values
from ingestd.sources.link_parts import Pair, near_source, source_of, take_apart

_ESCAPED_TWICE = re.compile(r"%25[0-9A-Fa-f]{2}")
# Parameters that are marked; the rest of the URL is one piece. A URL of 32 KiB could have 16,000.
MAX_PAIRS = 500


class Piece(NamedTuple):
    """A stretch of the URL. `kind`: base, path, mark, name, value, macro, secret, empty or rest."""

    text: str
    kind: str
    start: int


@dataclass(frozen=True, slots=True)
class Mistake:
    """Something wrong in characters `start` to `end`. `code` is for translations, `what` is in English.

    `write`: the text that belongs there; `append`: what belongs at the end. `grave`: clicks suffer from it.
    """

    code: str
    start: int
    end: int
    what: str
    param: str = ""
    write: str = ""
    append: str = ""
    grave: bool = True


def marked(url: bytes, sources: Sequence[SourceConfig], base: str) -> dict[str, Any]:
    """The pieces `[text, kind, numbers of mistakes]`, the mistakes, and for a link the corrected one.

    `base`: the configured scheme and host.
    """
    text = url.decode("utf-8", "backslashreplace")
    own = source_of(text, sources)
    source = own or near_source(text, sources)
    is_link = source is not None and link_faults.is_link(text, source)
    found = list(_mistakes(text, source, base, is_link=is_link)) if source is not None else []
    right = link_faults.corrected(text, source, base) if source is not None and is_link else None
    return {
        "link": is_link,
        "pieces": [
            (piece.text, piece.kind, _numbers(piece, found, len(text)))
            for piece in pieces(text, source, masked=not is_link)
        ],
        "mistakes": [
            {"code": one.code, "what": one.what, "param": one.param, "write": one.write, "append": one.append,
             "grave": one.grave}
            for one in found
        ],
        "corrected": right if right != text else None,
    }  # fmt: skip


def _numbers(piece: Piece, found: Sequence[Mistake], end: int) -> list[int]:
    """The numbers of the mistakes that overlap a piece. A mistake about what is missing overlaps none."""
    until = piece.start + max(1, len(piece.text))

    def overlaps(one: Mistake) -> bool:
        inside = one.end > piece.start or one.start == one.end == piece.start
        return one.start < min(until, end) and inside

    return [number for number, one in enumerate(found) if overlaps(one)]


def pieces(url: str, source: SourceConfig | None, *, masked: bool = True) -> list[Piece]:
    """The URL in pieces, with the credentials of its source masked."""
    hidden = redaction.names(source) if source is not None else redaction.ALWAYS
    if not masked:
        hidden = frozenset()
    parts = take_apart(url)
    path = _path(parts.path, source) if masked else parts.path
    found = [Piece(url[: parts.path_at], "base", 0), Piece(path, "path", parts.path_at)]
    done = parts.query_at
    for pair in parts.pairs[:MAX_PAIRS]:
        found.append(Piece(url[done : pair.start], "mark", done))
        found += _of_pair(url, pair, hidden)
        done = pair.end
    if len(parts.pairs) > MAX_PAIRS:
        found.append(Piece(redaction.MASK, "rest", done))
    else:
        found.append(Piece(url[done:], "mark", done))
    return [piece for piece in found if piece.text]


def _of_pair(url: str, pair: Pair, hidden: frozenset[str]) -> Iterator[Piece]:
    equals = url[pair.value_at - 1 : pair.value_at] == "=" and pair.value_at > pair.start
    name_end = pair.value_at - 1 if equals else pair.end
    yield Piece(url[pair.start : name_end], "name", pair.start)
    if equals:
        yield Piece("=", "mark" if pair.value else "empty", name_end)
    value = unquote(pair.value.replace("+", " "))
    if macros.is_macro(value):
        yield Piece(pair.value, "macro", pair.value_at)
    elif pair.value and pair.name.lower() in hidden:
        yield Piece(redaction.MASK, "secret", pair.value_at)
    elif equals:
        yield Piece(pair.value, "value" if null_values.real(value) else "empty", pair.value_at)


def _path(path: str, source: SourceConfig | None) -> str:
    """The path without a token that stands in it."""
    if source is None or source.signature.kind != "token" or source.signature.place != "path":
        return path
    rest = path.removeprefix(f"{source.path}/") if path.startswith(f"{source.path}/") else ""
    _, slash, route = rest.partition("/")
    return f"{source.path}/{redaction.MASK}{slash}{route}" if rest else path


def _mistakes(url: str, source: SourceConfig, base: str, *, is_link: bool) -> Iterator[Mistake]:
    """The grave ones first, each kind in the order of its places."""
    found = []
    for one in link_faults.judge(url, source, base, of_click=not is_link):
        append = "" if one.kind == "last" else one.append  # it would show the signature
        place = one.start, one.end
        found.append(Mistake(one.kind, *place, one.what, one.param, one.write or "", append, one.certain))
    if not is_link:
        for pair in take_apart(url).pairs[:MAX_PAIRS]:
            found += _of_click(pair, source)
    yield from sorted(found, key=lambda one: (not one.grave, one.start))


def _of_click(pair: Pair, source: SourceConfig) -> Iterator[Mistake]:
    """Faults of a value that came, which only a click can have."""
    place, needed = (pair.value_at, pair.end), pair.name in links.needed(source)
    value = unquote(pair.value.replace("+", " "))
    if macros.is_macro(value):
        what = f"the macro was left in {pair.name!r}" + (
            ", which this platform's clicks need" if needed else ""
        )
        yield Mistake("macro_needed" if needed else "macro", *place, what, pair.name, grave=needed)
    elif needed and null_values.real(value) is None:
        what = f"{pair.name!r} says nothing, and this platform's clicks need it"
        yield Mistake("empty_needed", *place, what, pair.name)
    if _ESCAPED_TWICE.search(pair.value) and "://" not in value:
        yield Mistake(
            "escaped_twice", *place, f"{pair.name!r} is percent-encoded twice", pair.name, grave=False
        )
    try:
        unquote_to_bytes(pair.value).decode()
    except UnicodeDecodeError:
        what = f"{pair.name!r} is not UTF-8, perhaps GBK"
        yield Mistake("not_utf8", *place, what, pair.name, grave=False)
