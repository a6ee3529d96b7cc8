"""Assembles an event's line: parts that many events share are encoded once, the rest is joined to them.

If a compiler was available at installation, `maker` makes the usual event's line in one call (_line.c).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import orjson
from uuid_utils import uuid7
from xxhash import xxh3_128_hexdigest

from ingestd.config.source import SourceConfig
from ingestd.event import LINE_START
from ingestd.sources import macros, null_values
from ingestd.sources.event_time import EventClock

if TYPE_CHECKING:
    from ingestd.sources._line import LineMaker

_START = LINE_START.decode()
# Paths come from outside: only so many are cached, and only short ones (characters).
MAX_FRAMES = 1024
MAX_FRAME_PATH = 256


class Frames:
    """Encodes the part of a line from `source` to the name of `params`; cached by method and path."""

    __slots__ = ("_by_method", "_fixed", "_type")

    def __init__(self, source: str, kind: str) -> None:
        self._fixed = b',"source":%s,"route":' % orjson.dumps(source)
        self._type = b',"type":%s,"method":' % orjson.dumps(kind)
        self._by_method: dict[bytes, dict[str, bytes]] = {}

    def get(self, method: bytes, path: str, route: str) -> bytes:
        """The frame of a request, as JSON without its braces. `route` is determined by `path`."""
        frames = self._by_method.get(method)
        if frames is None:
            frames = self._by_method[method] = {}
        frame = frames.get(path)
        if frame is None:
            frame = b'%b%b%b"%b","path":%b,"params":' % (
                self._fixed, orjson.dumps(route), self._type, method, orjson.dumps(path),
            )  # fmt: skip
            if len(path) <= MAX_FRAME_PATH:
                if len(frames) >= MAX_FRAMES:
                    frames.clear()
                frames[path] = frame
        return frame


class Tails:
    """Encodes the part of a line from `signature` to its end; prepared for events without flags."""

    __slots__ = ("_node", "_plain")

    def __init__(self, node: str) -> None:
        self._node = b',"node":%s' % orjson.dumps(node)
        self._plain = {
            result: b',"signature":"%s","flags":[]%s' % (result.encode(), self._node)
            for result in ("none", "ok", "bad", "missing")
        }

    def get(self, signature: str, flags: list[str], body: bytes | None) -> bytes:
        """The tail of an event, with its newline. `body`: as JSON, None for an event without."""
        if flags:
            tail = b',"signature":"%s","flags":%s%s' % (signature.encode(), orjson.dumps(flags), self._node)
        else:
            tail = self._plain[signature]
        return tail + b"}\n" if body is None else b'%s,"body":%s}\n' % (tail, body)


def head(dup_key: str, received_at: int, event_at: int | None) -> bytes:
    """The part of a line up to `event_at`, with a new id; the offsets are those of event.py. Times in ms."""
    at = "null" if event_at is None else event_at
    return f'{_START}{uuid7()}","dup_key":"{dup_key}","received_at":{received_at},"event_at":{at}'.encode()


def maker(settings: SourceConfig, node: str, prefix: bytes, *, keep_raw: bool) -> LineMaker | None:
    """The compiled maker of a source's usual lines; None if it was not compiled.

    `prefix`: the first bytes of what `dup_key` is a hash of.
    """
    try:
        from ingestd.sources._line import LineMaker
    except ImportError:
        return None
    clock = EventClock(settings.event_time) if settings.event_time else None
    return LineMaker(
        source=b',"source":%s,"route":' % orjson.dumps(settings.name),
        kind=b',"type":%s,"method":' % orjson.dumps(settings.type),
        node=b',"node":%s' % orjson.dumps(node),
        prefix=prefix,
        dedup=tuple(tuple(name.encode() for name in names.split("+")) for names in settings.dedup),
        volatiles=tuple(name.encode() + b"=" for name in settings.volatile),
        is_macro=macros.is_macro,
        null_like=null_values.NULL_LIKE,
        is_null=null_values.is_null,
        digest=xxh3_128_hexdigest,
        clock=clock.param.encode() if clock else None,
        unit=clock.unit if clock else "auto",
        stale_after=clock.stale_after if clock else 0,
        future_after=clock.future_after if clock else 0,
        keep_raw=keep_raw,
    )


@lru_cache(maxsize=128)
def content_type(value: bytes) -> tuple[bytes, str, tuple[str, ...]]:
    """A Content-Type as a part of a line, its media type in lower case without parameters, and flags."""
    flags: list[str] = []
    part = b',"content_type":' + header_text(value, flags)
    return part, value.partition(b";")[0].strip().lower().decode("latin-1"), tuple(flags)


def header_text(value: bytes, flags: list[str]) -> bytes:
    """A header as a JSON string: decoded as UTF-8 if possible, else as ISO-8859-1 with a flag."""
    try:
        return orjson.dumps(value.decode())
    except UnicodeDecodeError:
        if "header_not_utf8" not in flags:
            flags.append("header_not_utf8")
        return orjson.dumps(value.decode("latin-1"))
