"""Stored lines to records and back: nothing is lost between an entry, the spool and Kafka."""

from __future__ import annotations

import orjson
from hypothesis import given
from hypothesis import strategies as st

from ingestd.kafka.records import PAYLOAD_BYTES, Record, Topics, partition, payloads, records
from ingestd.pipeline.counters import SourceCounters
from tests.support.fakes import FakeEntry

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def line(number: int, source: str = "demo", kind: str = "click", size: int = 0) -> bytes:
    start = b'{"v":1,"id":"01920000-0000-7000-8000-%012x","dup_key":"%032x"' % (number, number * 7)
    rest = {
        "event_at": None,
        "source": source,
        "route": "",
        "type": kind,
        "raw": 'a#"source":"x"' + "y" * size,
    }
    return start + b',"received_at":%d,' % (1_700_000_000_000 + number) + orjson.dumps(rest)[1:] + b"\n"


def entry(
    numbers: list[int], keys: list[bytes | None] | None = None, trace: bytes | None = None, size: int = 0
) -> FakeEntry:
    made = FakeEntry(b"".join(line(n, size=size) for n in numbers), SourceCounters("demo"), len(numbers))
    made.keys, made.trace = keys, trace
    return made


def unpack(entries: list[FakeEntry]) -> list[Record]:
    topics = Topics("clicks")
    return [record for payload in payloads(entries) for record in records(payload, topics)]


keys = st.one_of(st.none(), st.text(min_size=1, max_size=20).filter(lambda t: t.isprintable()))
kinds = st.tuples(
    st.integers(1, 4),
    st.booleans(),
    st.booleans(),
    st.lists(keys, min_size=4, max_size=4),
    st.integers(0, 9000),
)


@given(st.lists(kinds, max_size=20))
def test_every_line_is_a_record_with_its_own_key_and_trace(
    made: list[tuple[int, bool, bool, list[str | None], int]],
) -> None:
    entries, wanted, number = [], [], 0
    for count, keyed, traced, names, size in made:
        numbers = list(range(number, number + count))
        number += count
        chosen = [name.encode() if name is not None else None for name in names[:count]]
        entries.append(entry(numbers, chosen if keyed else None, TRACE.encode() if traced else None, size))
        for n, key in zip(numbers, chosen, strict=True):
            wanted.append((line(n, size=size)[:-1], key if keyed else b"%032x" % (n * 7), traced, n))
    found = unpack(entries)
    assert [(r.value, r.key) for r in found] == [(value, key) for value, key, _, _ in wanted]
    for record, (_, _, traced, n) in zip(found, wanted, strict=True):
        assert record.timestamp == 1_700_000_000_000 + n
        identity = b"01920000-0000-7000-8000-%012x" % n
        headers = [("id", identity), ("source", b"demo"), ("v", b"1")]
        assert record.headers == headers + ([("traceparent", TRACE.encode())] if traced else [])


def test_payloads_are_bounded_and_never_split_an_entry() -> None:
    entries = [entry([n], size=3000) for n in range(200)]
    made = payloads(entries)
    assert b"".join(made) == b"".join(one.data for one in entries)
    assert len(made) > 5
    assert all(one.endswith(b"\n") for one in made)
    assert max(map(len, made)) < PAYLOAD_BYTES + 4000


def test_topics_by_template_and_by_source() -> None:
    topics = Topics("{type}s.{source}", {"own": "mine", "other": "{source}-x"})
    found = [topics.of(line(1, source, kind)[:-1])[1] for source, kind in [
        ("demo", "click"), ("demo2", "impression"), ("own", "click"), ("other", "click"), ("demo", "click")
    ]]  # fmt: skip
    assert found == ["clicks.demo", "impressions.demo2", "mine", "other-x", "clicks.demo"]


def test_without_a_key_records_are_spread() -> None:
    numbers = iter(range(100))
    assert [partition(None, 3, lambda: next(numbers)) for _ in range(6)] == [0, 1, 2, 0, 1, 2]
