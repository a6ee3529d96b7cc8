"""Spooled events to Kafka records."""

from __future__ import annotations

from hypothesis import given

from ingestd.kafka.records import Record, partition, record_of
from ingestd.spool.envelope import events, payloads
from tests.support.fakes import FakeEntry
from tests.support.spooled import FIRST_MS, MadeEntry, entries_of, entry, made_entries


def records(entries: list[FakeEntry]) -> list[Record]:
    return [record_of(event, "demo", "clicks") for payload in payloads(entries) for event in events(payload)]


@given(made_entries)
def test_every_event_is_a_record_with_its_own_key_and_trace(made: list[MadeEntry]) -> None:
    entries = entries_of(made)
    wanted = [
        (own, one.keys[number] if one.keys is not None else own[62:94], one.trace)
        for one in entries
        for number, own in enumerate(one.data[:-1].split(b"\n"))
    ]
    found = records(entries)
    assert [(r.value, r.key) for r in found] == [(value, key) for value, key, _ in wanted]
    for number, (record, (_, _, trace)) in enumerate(zip(found, wanted, strict=True)):
        assert record.timestamp == FIRST_MS + number
        identity = b"01920000-0000-7000-8000-%012x" % number
        headers = [("id", identity), ("source", b"demo"), ("v", b"1")]
        assert record.headers == headers + ([("traceparent", trace)] if trace is not None else [])


def test_without_a_key_records_are_spread() -> None:
    [record] = records([entry([1], keys=[None])])
    assert record.key is None
    turns = iter(range(100))
    assert [partition(record.key, 3, lambda: next(turns)) for _ in range(6)] == [0, 1, 2, 0, 1, 2]
