"""Event lines to the payloads of spool frames and back: the codec of what a Kafka record has beside its line.

A payload is event lines as they stand in files. An event whose record differs from what its line alone says
is preceded by its envelope, a line of `#` and JSON: `k`, the record's key (null: no key; absent: the line's
`dup_key`), and `t`, its traceparent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import orjson

from ingestd.event import DUP_KEY_SLICE, Entry

# A payload is what is lost together where a disk damages a frame.
PAYLOAD_BYTES = 64 * 1024
_MARK = b"#"
_TRACE = re.compile(rb'^#\{[^\n]*"t":"([0-9a-f-]+)"', re.MULTILINE)


class SpooledEvent(NamedTuple):
    """An event line without its newline, its record's key (None: no key) and traceparent (None: none).

    `enveloped`: the key or the traceparent stand before the line in the payload.
    """

    line: bytes
    key: bytes | None
    trace: bytes | None
    enveloped: bool


def payloads(entries: Sequence[Entry]) -> list[bytes]:
    """Entries as payloads of about PAYLOAD_BYTES; an entry is never split."""
    result, pieces, size = [], [], 0
    for entry in entries:
        data = entry.data if entry.keys is None and entry.trace is None else _enveloped(entry)
        pieces.append(data)
        size += len(data)
        if size >= PAYLOAD_BYTES:
            result.append(b"".join(pieces))
            pieces, size = [], 0
    if pieces:
        result.append(b"".join(pieces))
    return result


def _enveloped(entry: Entry) -> bytes:
    lines = entry.data[:-1].split(b"\n")
    trace = {} if entry.trace is None else {"t": entry.trace.decode("latin-1")}
    pieces = []
    for number, line in enumerate(lines):
        fields: dict[str, str | None] = dict(trace)
        if entry.keys is not None:
            key = entry.keys[number]
            fields["k"] = None if key is None else key.decode()
        pieces.append(b"%b%b\n%b\n" % (_MARK, orjson.dumps(fields), line))
    return b"".join(pieces)


def event_at(payload: bytes, start: int) -> tuple[SpooledEvent | None, int]:
    """The event whose envelope or line begins at offset `start`, and the offset behind it.

    None where only an empty line or an envelope without an event is left. Raises ValueError for an envelope
    that is not JSON.
    """
    fields: dict[str, str | None] | None = None
    line = b""
    while start < len(payload):
        end = payload.find(b"\n", start)
        end = end if end >= 0 else len(payload)
        line, start = payload[start:end], min(end + 1, len(payload))
        if not line.startswith(_MARK):
            break
        fields, line = orjson.loads(line[1:]), b""
    if not line:
        return None, start
    if fields is None:
        return SpooledEvent(line, line[DUP_KEY_SLICE], None, False), start
    key: bytes | None = line[DUP_KEY_SLICE]
    if "k" in fields:
        chosen = fields["k"]
        key = chosen.encode() if chosen is not None else None
    trace = fields.get("t")
    return SpooledEvent(line, key, trace.encode() if trace else None, True), start


def events(payload: bytes) -> Iterator[SpooledEvent]:
    """The events of a payload, in order. Raises ValueError for an envelope that is not JSON."""
    start = 0
    while start < len(payload):
        event, start = event_at(payload, start)
        if event is not None:
            yield event


def lines(payload: bytes) -> Iterator[bytes]:
    """The event lines of a payload without their newlines and envelopes, in order."""
    for line in payload.split(b"\n"):
        if line and not line.startswith(_MARK):
            yield line


def is_envelope(line: bytes) -> bool:
    """Whether a payload's line belongs to the event of the line after it."""
    return line.startswith(_MARK)


def traces(stored: Iterable[bytes]) -> Iterator[str]:
    """The traceparents in payloads, as `version-trace id-span id-flags`."""
    for payload in stored:
        for found in _TRACE.finditer(payload):
            yield found[1].decode()
