"""Event lines and entries as they are spooled for Kafka, with keys and traceparents of their own."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
from hypothesis import strategies as st

from ingestd.pipeline.counters import SourceCounters
from tests.support.fakes import FakeEntry

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
FIRST_MS = 1_700_000_000_000
# events, whether they have keys of their own, whether a traceparent, the keys, bytes beside
MadeEntry = tuple[int, bool, bool, list[str | None], int]

_keys = st.one_of(st.none(), st.text(min_size=1, max_size=20).filter(lambda text: text.isprintable()))
_entry = st.tuples(
    st.integers(1, 4),
    st.booleans(),
    st.booleans(),
    st.lists(_keys, min_size=4, max_size=4),
    st.integers(0, 9000),
)
made_entries = st.lists(_entry, max_size=20)


def line(number: int, source: str = "demo", kind: str = "click", size: int = 0) -> bytes:
    """An event's line, received `number` ms after FIRST_MS, of a raw query that looks like an event."""
    start = b'{"v":1,"id":"01920000-0000-7000-8000-%012x","dup_key":"%032x"' % (number, number * 7)
    rest = {
        "event_at": None,
        "source": source,
        "route": "",
        "type": kind,
        "raw": 'a#"source":"x"' + "y" * size,
    }
    return start + b',"received_at":%d,' % (FIRST_MS + number) + orjson.dumps(rest)[1:] + b"\n"


def entry(
    numbers: Sequence[int],
    keys: list[bytes | None] | None = None,
    trace: bytes | None = None,
    size: int = 0,
) -> FakeEntry:
    """One entry of these events."""
    data = b"".join(line(number, size=size) for number in numbers)
    made = FakeEntry(data, SourceCounters("demo"), len(numbers))
    made.keys, made.trace = keys, trace
    return made


def entries_of(made: Sequence[MadeEntry]) -> list[FakeEntry]:
    """Entries as hypothesis made them up, their events numbered from 0."""
    entries, number = [], 0
    for count, keyed, traced, names, size in made:
        chosen: list[bytes | None] = [name.encode() if name is not None else None for name in names[:count]]
        numbers = range(number, number + count)
        entries.append(entry(numbers, chosen if keyed else None, TRACE.encode() if traced else None, size))
        number += count
    return entries
