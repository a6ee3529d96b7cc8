"""Judges a tracking link: each fault with its place, and the text that belongs there.

A link is text for a platform's console: the platform replaces its macros and calls the address that comes
out. The URL of a request can be judged as well (`of_click`); values that only a link must not have, such as
a real click id, are not faults then.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal
from urllib.parse import quote, unquote

from ingestd.config.source import SourceConfig
from ingestd.sources import links, macros, null_values
from ingestd.sources.link_macros import ValueKind, judge_value, like_macro
from ingestd.sources.link_parts import Pair, Parts, take_apart

Kind = Literal[
    "scheme", "host", "path", "token", "character", "percent", "fragment", "html", "question",
    "missing", "name", "repeated", "last",
]  # fmt: skip
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CHARACTER = re.compile(r"[^!-~]+")
_PORT = {"https": ":443", "http": ":80"}
_NEAR = 0.8
# A correction can uncover a fault: a link is judged this many times at most.
_ROUNDS = 5


@dataclass(frozen=True, slots=True)
class LinkFault:
    """One fault. `start`, `end`: the characters of the link it is about; equal where something is missing.

    `write`: the text that belongs there, "" to leave it out; None if only a person can tell. `append`: the
    parameter that belongs at the end of the query. `certain`: False for what may be right all the same.
    """

    kind: Kind | ValueKind
    start: int
    end: int
    what: str
    write: str | None = None
    append: str = ""
    param: str = ""
    certain: bool = True


def judge(link: str, source: SourceConfig, base: str = "", *, of_click: bool = False) -> list[LinkFault]:
    """The faults of a link to `source`, in the order of their places.

    `base`: the scheme and host that platforms call, "" if unknown. `of_click`: the link is the URL of a
    request, or its path and query alone. The first call reads the shipped profiles, some milliseconds.
    """
    parts = take_apart(link)
    found = [*_form(link, parts), *_path(parts, source)]
    if parts.path_at or not of_click:
        found += _origin(parts, base)
    found += _parameters(parts.pairs, source, of_click=of_click)
    found += _missing(len(link), parts.pairs, source)
    found += _last(link, parts.pairs, source)
    return sorted(found, key=lambda fault: (fault.start, fault.end))


def corrected(link: str, source: SourceConfig, base: str = "") -> str | None:
    """The link without its faults; None if a person has to decide."""
    for _ in range(_ROUNDS):
        faults = [fault for fault in judge(link, source, base) if fault.certain]
        if not faults:
            return link
        link = _with_edits(link, faults)
    return None


def _with_edits(link: str, faults: Sequence[LinkFault]) -> str:
    pieces, done = [], 0
    for fault in faults:
        if fault.write is not None and fault.start >= done:
            pieces += [link[done : fault.start], fault.write]
            done = fault.end
    text = "".join([*pieces, link[done:]]).rstrip("?&")
    for fault in faults:
        if fault.append:
            text += ("&" if "?" in text else "?") + fault.append
    return text


def is_link(url: str, source: SourceConfig) -> bool:
    """Whether a URL is a link as a console holds it: it has macros, and no needed parameter a real value."""
    needed = links.needed(source)
    pairs = take_apart(url).pairs
    if any(pair.name in needed and null_values.real(unquote(pair.value)) for pair in pairs):
        return False
    return any(like_macro(unquote(pair.value)) for pair in pairs)


# the whole


def _form(link: str, parts: Parts) -> Iterator[LinkFault]:
    """Characters that do not arrive as they are written."""
    for found in _CHARACTER.finditer(link):
        right = quote(found[0], safe="", errors="surrogateescape")
        what = f"{found[0]!r} must be percent-encoded"
        yield LinkFault("character", found.start(), found.end(), what, right)
    for found in re.finditer("#", link):
        yield LinkFault("fragment", found.start(), found.end(), "the part after # is never sent", "%23")
    values = [(pair.value_at, pair.end) for pair in parts.pairs if macros.is_macro(pair.value)]
    for found in _BAD_ESCAPE.finditer(link):
        if not any(start <= found.start() < end for start, end in values):
            yield LinkFault("percent", found.start(), found.end(), "a lone % must be written %25", "%25")
    for found in re.finditer("&amp;", link):
        right = "?" if found.start() == parts.query_at else "&"
        yield LinkFault("html", found.start(), found.end(), f"&amp; instead of {right}", right)
    at = parts.query_at
    if link[at : at + 1] == "&" and not link.startswith("&amp;", at):
        yield LinkFault("question", at, at + 1, "the first parameter begins with ?", "?")
    for pair in parts.pairs[1:]:
        if link[pair.start - 1] == "?":
            what = "only the first parameter begins with ?"
            yield LinkFault("question", pair.start - 1, pair.start, what, "&")


def _origin(parts: Parts, base: str) -> Iterator[LinkFault]:
    """Scheme and host: https, and those of `base` if it is known."""
    wanted = take_apart(base)
    scheme, given = wanted.scheme.lower() or "https", parts.scheme.lower()
    at = parts.path_at - len(parts.host)
    if not given:
        yield LinkFault("scheme", 0, 0, "the scheme is missing", f"{scheme}://")
    elif given not in (scheme, "https"):
        yield LinkFault("scheme", 0, len(given), f"{parts.scheme} instead of {scheme}", scheme)
    host = parts.host.lower().removesuffix(_PORT.get(given, ""))
    if wanted.host and host != wanted.host.lower().removesuffix(_PORT.get(scheme, "")):
        what = f"the host is not {wanted.host}, as in ingest.public_base"
        yield LinkFault("host", at, parts.path_at, what, wanted.host)
    elif not wanted.host and _is_address(host):
        yield LinkFault("host", at, parts.path_at, "platforms call a domain, not an address")


def _is_address(host: str) -> bool:
    name = host.rpartition("@")[2]
    name = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return "." not in name
    return True


def _path(parts: Parts, source: SourceConfig) -> Iterator[LinkFault]:
    path, at = parts.path, parts.path_at
    if path != source.path and not path.startswith(f"{source.path}/"):
        steps = re.sub(r"/+", "/", path).split("/")[source.path.count("/") + 1 :]
        right = "/".join([source.path, *filter(None, steps)])
        what = f"the path of source {source.name} is {source.path}"
        yield LinkFault("path", at, at + len(path), what, right)
        return
    at, route = at + len(source.path), path[len(source.path) :]
    for found in re.finditer("//+", route):
        yield LinkFault("path", at + found.start(), at + found.end(), "an empty part of the path", "/")
    if _by_token(source, "path") and not route.strip("/"):
        yield LinkFault("token", at, at + len(route), "the token is missing after the source's path")


def _by_token(source: SourceConfig, place: str) -> bool:
    signature = source.signature
    return signature.verifies and signature.kind == "token" and signature.place == place


# parameters


def _parameters(pairs: Sequence[Pair], source: SourceConfig, *, of_click: bool) -> Iterator[LinkFault]:
    renamed = _renamed(pairs, source)
    seen: set[str] = set()
    for pair in pairs:
        if right := renamed.get(pair.name):
            what = f"source {source.name} reads {right!r}, not {pair.name!r}"
            end = pair.value_at - 1 if pair.value_at > pair.start else pair.end
            yield LinkFault("name", pair.start, end, what, right, param=pair.name)
        if pair.name in seen and not of_click:
            what = f"{pair.name!r} is there twice"
            yield LinkFault("repeated", pair.start - 1, pair.end, what, "", param=pair.name)
        else:
            seen.add(pair.name)
            verdict = judge_value(pair.value, right or pair.name, source, of_click=of_click)
            if verdict is not None:
                kind, what, write, certain = verdict
                place = pair.value_at, pair.end
                yield LinkFault(kind, *place, what, write, param=pair.name, certain=certain)


def _renamed(pairs: Sequence[Pair], source: SourceConfig) -> dict[str, str]:
    """Parameters that were meant to be needed ones: their names are nearly the same, or their macros are."""
    found: dict[str, str] = {}
    there = {pair.name for pair in pairs}
    strange = {pair.name: pair.value for pair in pairs if pair.name and pair.name not in source.link}
    for name in links.needed(source):
        if name in there:
            continue
        macro = source.link.get(name)
        meant = [one for one, value in strange.items() if macro and value == macro]
        lower = {one.lower(): one for one in strange}
        near = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=_NEAR)
        if meant or near:
            given = meant[0] if meant else lower[near[0]]
            found[given] = name
            del strange[given]
    return found


def _missing(end: int, pairs: Sequence[Pair], source: SourceConfig) -> Iterator[LinkFault]:
    """Needed parameters that are not there, at the link's end."""
    renamed = _renamed(pairs, source)
    there = {renamed.get(pair.name, pair.name) for pair in pairs}
    for name, why in links.needed(source).items():
        if name not in there and not (why == "key" and there.intersection(source.key)):
            macro = source.link.get(name)
            what = f"the parameter {name!r} is missing ({why})"
            yield LinkFault("missing", end, end, what, append=f"{name}={macro}" if macro else "", param=name)
    param = source.signature.param
    if _by_token(source, "query") and param not in there:
        yield LinkFault("token", end, end, f"the token is missing, the parameter {param!r}", param=param)


def _last(link: str, pairs: Sequence[Pair], source: SourceConfig) -> Iterator[LinkFault]:
    """A signature over everything before it must be the last parameter."""
    signature = source.signature
    if not (signature.verifies and signature.kind in ("md5_url_key", "hmac_sha256_url") and signature.last):
        return
    for pair, following in pairwise(pairs):
        if pair.name == signature.param:
            what = f"the signature {pair.name!r} must be the last parameter"
            text = link[pair.start : pair.end]
            yield LinkFault("last", pair.start, following.start, what, "", text, pair.name)
