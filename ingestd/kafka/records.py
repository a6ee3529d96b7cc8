"""From stored lines to Kafka records: topic, key, partition, headers, timestamp.

A payload is what the spool keeps: event lines as they are in files. A line that starts with `#` carries,
as JSON, what the next event's record has beyond the event: `k` its key (null: none), `t` its traceparent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import orjson

from ingestd.event import DUP_KEY_SLICE, ID_SLICE, RECEIVED_AT_SLICE, SCHEMA_VERSION, Entry
from ingestd.kafka.murmur2 import murmur2

# A payload is one frame of the spool: what is lost together where a disk damages it.
PAYLOAD_BYTES = 64 * 1024
_SOURCE = b'"source":"'
_VERSION = ("v", str(SCHEMA_VERSION).encode())
# What a record has for a timestamp when it has none: no broker refuses that.
UNDATED = -1


class Record(NamedTuple):
    """One record for Kafka. `timestamp`: ms since the epoch."""

    source: str
    topic: str
    key: bytes | None
    value: bytes
    timestamp: int
    headers: list[tuple[str, bytes]]


def payloads(entries: Sequence[Entry]) -> list[bytes]:
    """Entries as payloads of about PAYLOAD_BYTES; an entry is never split."""
    result, pieces, size = [], [], 0
    for entry in entries:
        data = entry.data if entry.keys is None and entry.trace is None else _with_extras(entry)
        pieces.append(data)
        size += len(data)
        if size >= PAYLOAD_BYTES:
            result.append(b"".join(pieces))
            pieces, size = [], 0
    if pieces:
        result.append(b"".join(pieces))
    return result


def _with_extras(entry: Entry) -> bytes:
    lines = entry.data[:-1].split(b"\n")
    trace = {} if entry.trace is None else {"t": entry.trace.decode("latin-1")}
    pieces = []
    for number, line in enumerate(lines):
        extra: dict[str, str | None] = dict(trace)
        if entry.keys is not None:
            key = entry.keys[number]
            extra["k"] = None if key is None else key.decode()
        pieces.append(b"#%s\n%s\n" % (orjson.dumps(extra), line))
    return b"".join(pieces)


class Topics:
    """Where a source's events go: its own topic, or the template with `{source}` and `{type}` filled in."""

    def __init__(self, template: str, own: Mapping[str, str] = {}) -> None:
        self._template = template
        self._own = dict(own)
        self._known: dict[bytes, tuple[str, str, tuple[str, bytes]]] = {}

    def of(self, line: bytes) -> tuple[str, str, tuple[str, bytes]]:
        """The source's name, its topic, and its header, of an event line."""
        source = source_of(line)
        return self._known.get(source) or self._look_up(source, line)

    def _look_up(self, source: bytes, line: bytes) -> tuple[str, str, tuple[str, bytes]]:
        name = source.decode()
        topic = self._own.get(name, self._template)
        if "{" in topic:
            topic = topic.replace("{source}", name).replace("{type}", orjson.loads(line)["type"])
        found = self._known[source] = (name, topic, ("source", source))
        return found


def source_of(line: bytes) -> bytes:
    """The source's name in an event line; it stands before anything that came from outside."""
    start = line.index(_SOURCE, RECEIVED_AT_SLICE.start) + len(_SOURCE)
    return line[start : line.index(b'"', start)]


def _timestamp(line: bytes) -> int:
    """A record's; none where the clock said 1970: Kafka deletes what is past its time."""
    time = line[RECEIVED_AT_SLICE]
    return int(time) if time.isdigit() else UNDATED


def key_and_trace(line: bytes, extra: Mapping[str, str | None] | None) -> tuple[bytes | None, bytes | None]:
    """A record's key and traceparent (None: none), of the event line and what stood before it."""
    key: bytes | None = line[DUP_KEY_SLICE]
    if extra is None:
        return key, None
    if "k" in extra:
        chosen = extra["k"]
        key = chosen.encode() if chosen is not None else None
    trace = extra.get("t")
    return key, trace.encode() if trace else None


def record_of(line: bytes, extra: Mapping[str, str | None] | None, topics: Topics) -> Record:
    """The record of one event line."""
    source, topic, header = topics.of(line)
    key, trace = key_and_trace(line, extra)
    headers = [("id", line[ID_SLICE]), header, _VERSION]
    if trace is not None:
        headers.append(("traceparent", trace))
    return Record(source, topic, key, line, _timestamp(line), headers)


def records(payload: bytes, topics: Topics) -> Iterator[Record]:
    """The records of a payload, in order."""
    extra: dict[str, str | None] | None = None
    for line in payload.split(b"\n"):
        if line.startswith(b"#"):
            extra = orjson.loads(line[1:])
        elif line:
            yield record_of(line, extra, topics)
            extra = None


def partition(key: bytes | None, count: int, spread: Callable[[], int]) -> int:
    """The partition the Java client's default partitioner chooses for a key; `spread` for none."""
    if key is None:
        return spread() % count
    return (murmur2(key) & 0x7FFFFFFF) % count
