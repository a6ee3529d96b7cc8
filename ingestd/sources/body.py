"""Request bodies: decompressed under a cap, then split into the events they hold.

JSON goes into the event byte for byte. It is parsed only to be validated and to look keys up, so no number
loses digits and no repeated key is dropped.
"""

from __future__ import annotations

import json
import zlib
from typing import Any, NamedTuple

import orjson
import zstandard

from ingestd.errors import RequestRefusedError

FORM = "application/x-www-form-urlencoded"

# Members or frames of a compressed body. More of them would only be an attack: each costs a new decompressor.
MAX_MEMBERS = 100
# So many percent escapes of a form take as long to read as a value.
ESCAPES_OF_A_VALUE = 8

# Used to find where values end: numbers are not converted, however long they are.
_scan_json = json.JSONDecoder(parse_int=str, parse_float=str).raw_decode


class BodyPart(NamedTuple):
    """The part of a body that is one event. `encoded`: as JSON, None for a form. `keys`: of a JSON object."""

    encoded: bytes | None
    keys: dict[str, Any]
    raw: bytes
    flags: tuple[str, ...] = ()


NOTHING = BodyPart(None, {}, b"")
NO_PARTS: list[BodyPart] = []


def inflate(body: bytes, encoding: bytes, limit: int, window: int = 0) -> bytes:
    """Decompress a body: gzip (RFC 1952), zstd (RFC 8878) or identity.

    `window`: bytes that a zstd frame may refer back to, never less than `limit` and 1 MiB: who does not know
    the size of a body beforehand asks for more than it needs. Raises RequestRefusedError for an unknown
    encoding, for broken data, and over `limit` bytes.
    """
    encoding = encoding.strip().lower()
    if encoding in (b"", b"identity"):
        return body
    if encoding in (b"gzip", b"x-gzip"):
        return _gunzip(body, limit)
    if encoding == b"zstd":
        return _unzstd(body, limit, window)
    raise RequestRefusedError("encoding")


def _gunzip(body: bytes, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while body:
        if len(parts) >= MAX_MEMBERS:
            raise RequestRefusedError("bad_encoding")
        member = zlib.decompressobj(wbits=31)
        try:
            part = member.decompress(body, limit - size + 1)
        except zlib.error:
            raise RequestRefusedError("bad_encoding") from None
        size += len(part)
        if size > limit:
            raise RequestRefusedError("inflated_too_large")
        if not member.eof:
            raise RequestRefusedError("bad_encoding")
        parts.append(part)
        body = member.unused_data
    return b"".join(parts)


def _unzstd(body: bytes, limit: int, window: int) -> bytes:
    # A window larger than the cap would only cost memory.
    unpacker = zstandard.ZstdDecompressor(max_window_size=max(limit, window, 1 << 20))
    try:
        inflated: bytes = unpacker.stream_reader(body, read_across_frames=True).read(limit + 1)
        if len(inflated) > limit:
            raise RequestRefusedError("inflated_too_large")
        whole = _is_whole(unpacker, body)
    except zstandard.ZstdError:
        raise RequestRefusedError("bad_encoding") from None
    if not whole:
        raise RequestRefusedError("bad_encoding")
    return inflated


def _is_whole(unpacker: zstandard.ZstdDecompressor, body: bytes) -> bool:
    """Whether no frame is truncated, which the stream reader does not tell. All of it is within the cap."""
    rest = body
    for _ in range(MAX_MEMBERS):
        if not rest:
            break
        frame = unpacker.decompressobj()
        frame.decompress(rest)
        if not frame.eof:
            return False
        rest = frame.unused_data
    return bool(body) and not rest


def limit_values(body: bytes, media_type: str, most: int) -> None:
    """Raises RequestRefusedError for a form or JSON of more than `most` values, before it is read.

    They are counted by the bytes that precede one, which a text may hold, too: never less than there are.
    """
    if len(body) <= most:
        return
    if media_type == FORM:
        if body.count(b"&") + body.count(b"%") // ESCAPES_OF_A_VALUE > most:
            raise RequestRefusedError("too_many_values")
        return
    before = (b",", b"[", b"{", b"\n")
    if not (is_json(media_type) or is_json_lines(media_type)):
        return
    if sum(map(body.count, before)) > most:
        raise RequestRefusedError("too_many_values")


def is_json_lines(media_type: str) -> bool:
    """Whether a media type holds one JSON value a line. `media_type`: in lower case, without parameters."""
    return "ndjson" in media_type or "jsonl" in media_type or "json-seq" in media_type


def is_json(media_type: str) -> bool:
    """Whether a media type holds one JSON value. `media_type`: in lower case, without parameters."""
    return media_type.endswith("json")


def split(body: bytes, media_type: str, max_events: int) -> list[BodyPart]:
    """A body that is not a form, a part for each event: an array's elements, NDJSON's lines, else the whole.

    An empty array is one event, since nothing that was sent is dropped. Raises RequestRefusedError for more
    than `max_events`, of which none is taken.
    """
    if media_type == "application/json":  # nearly all
        return _json_parts(body, max_events)
    if is_json_lines(media_type):
        lines = [line for line in body.replace(b"\x1e", b"").split(b"\n") if line.strip()]
        _limit_events(len(lines), max_events)
        return [part for line in lines for part in [_json_or_text(line)]] or [_text(body)]
    if is_json(media_type):
        return _json_parts(body, max_events)
    return [_text(body)]


def _json_parts(body: bytes, max_events: int) -> list[BodyPart]:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return [_text(body, "bad_json")]
    if not isinstance(value, list) or not value:
        return [_json_part(value, body)]
    _limit_events(len(value), max_events)
    try:
        return [_json_part(*pair) for pair in zip(value, _elements(body), strict=True)]
    except RecursionError:  # nested deeper than Python's scanner follows
        return [_text(body, "bad_json")]


def _limit_events(events: int, max_events: int) -> None:
    if events > max_events:
        raise RequestRefusedError("too_many_events")


def _json_or_text(line: bytes) -> BodyPart:
    try:
        return _json_part(orjson.loads(line), line)
    except orjson.JSONDecodeError:
        return _text(line.removesuffix(b"\r"), "bad_json")


def _json_part(value: Any, raw: bytes) -> BodyPart:
    # In valid JSON a raw newline is always between tokens. A line of NDJSON cannot have one.
    line = raw.strip().replace(b"\n", b" ").replace(b"\r", b" ")
    return BodyPart(line, value if isinstance(value, dict) else {}, raw)


def _elements(body: bytes) -> list[bytes]:
    """The bytes of each element of a valid JSON array, unchanged."""
    text = body.decode("utf-8")
    position = text.index("[") + 1
    elements: list[bytes] = []
    while True:
        while text[position] in " \t\r\n,":
            position += 1
        if text[position] == "]":
            return elements
        _, end = _scan_json(text, position)
        elements.append(text[position:end].encode())
        position = end


def _text(body: bytes, *flags: str) -> BodyPart:
    try:
        return BodyPart(orjson.dumps(body.decode("utf-8")), {}, body, flags)
    except UnicodeDecodeError:
        return BodyPart(orjson.dumps(body.decode("latin-1")), {}, body, (*flags, "body_not_utf8"))
