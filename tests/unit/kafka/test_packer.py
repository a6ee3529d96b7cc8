"""Lines to batches: both paths make the same bytes, those of aiokafka's own builder."""

from __future__ import annotations

import asyncio
import itertools
import sys
from typing import Any

import orjson
import pytest
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from hypothesis import given
from hypothesis import strategies as st

from ingestd.kafka import packer as packing
from ingestd.kafka.aiokafka_internals import BATCH_HEADER, compress
from ingestd.kafka.batches import Chunk, Chunker, ready_batch
from ingestd.kafka.packer import NATIVE, packer
from ingestd.kafka.records import Record, partition, record_of
from ingestd.kafka.topics import Topics
from ingestd.spool.envelope import events, payloads
from tests.support.spooled import TRACE, MadeEntry, entries_of, line, made_entries

Patch = pytest.MonkeyPatch
TIMES = (0, 1, 40, 3_599_999, 3_600_000, 10**12)


def timed(number: int, source: str, size: int, moved: int) -> bytes:
    """A line received `moved` ms later than its number says."""
    data = line(number, source, size=size)
    moment = 1_700_000_000_000 + number + moved
    return data[:110] + b"%d" % moment + data[123:]


async def found(chunker: Chunker, payload: bytes) -> list[Chunk]:
    await chunker.add(payload)
    return chunker.take()


@pytest.mark.parametrize("moment", [b"0", b"3600000", b"978307199999"])
async def test_a_line_from_when_the_clock_was_wrong_arrives_without_a_timestamp(moment: bytes) -> None:
    """Such lines were once taken; a spool that holds one must not hold up the others for ever."""

    async def count(topic: str) -> tuple[int, str]:
        return 2, ""

    odd = line(5)
    odd = odd[:110] + moment + odd[123:]
    traced = b'#{"t":"%b"}\n' % TRACE.encode()
    chunker = Chunker(Topics("clicks", {}), 5000, count, itertools.count().__next__, with_ids=True)
    chunks = await found(chunker, line(1) + odd + line(2) + traced + odd + line(3))
    made = [record for chunk in chunks for record in chunk.records()]
    assert sorted(record.value + b"\n" for record in made) == sorted([line(1), line(2), line(3), odd, odd])
    assert [record.timestamp for record in made if record.value + b"\n" == odd] == [-1, -1]
    hours = {group.hour for chunk in chunks for group in chunk.groups}
    assert hours == {int(moment) // 3_600_000, 1_700_000_000_000 // 3_600_000}


def test_a_record_whose_timestamp_was_taken_keeps_its_hour() -> None:
    record = Record("demo", "clicks", None, line(1)[:-1], -1, [("id", b"x")])
    assert [group.hour for group in Chunk.of("clicks", 0, [record]).groups] == [
        1_700_000_000_000 // 3_600_000
    ]


lines = st.tuples(
    st.integers(0, 9999), st.sampled_from(["demo", "wei", "other", "a" * 200, "lost"]), st.integers(0, 3000),
    st.sampled_from(TIMES),
)  # fmt: skip


@pytest.mark.skipif(not NATIVE, reason="no compiled packer here: it is NOT compared with the general path")
@given(
    st.lists(lines, max_size=30), st.sampled_from([300, 5000, 900_000]),
    st.one_of(st.none(), st.text(max_size=100)), st.booleans(),
)  # fmt: skip
def test_both_paths_make_the_same_chunks(
    made: list[tuple[int, str, int, int]], limit: int, key: str | None, traced: bool
) -> None:
    data = [timed(*one) for one in made]
    envelope = orjson.dumps({"k": key, **({"t": TRACE} if traced else {})})
    # Either all have envelopes or none: within a partition the packer's lines may overtake those it declines.
    for enveloped in (False, True):
        payload = b"".join(b"#%b\n%b" % (envelope, one) if enveloped else one for one in data)
        found = []
        for native in (True, False):
            with pytest.MonkeyPatch.context() as patch:
                if not native:
                    patch.setattr(packing, "_native", None)
                chunks, lost = asyncio.run(chunked([payload.rstrip(b"\n")], OWN_TOPICS, limit=limit))
                found.append((sorted(chunks, key=lambda one: (one.topic, one.number)), lost))
        assert found[0] == found[1]


@pytest.mark.parametrize("native", [True, False])
async def test_a_batch_may_be_as_large_as_the_limit_and_no_larger(native: bool, monkeypatch: Patch) -> None:
    if not native:
        monkeypatch.setattr(packing, "_native", None)
    elif not NATIVE:
        pytest.skip("no compiled packer here: its limit is NOT looked at")
    payload = line(1) + line(2, size=300)
    [whole], _ = await chunked([payload], Topics("clicks"), 1)
    size = BATCH_HEADER + len(whole.body)
    assert len((await chunked([payload], Topics("clicks"), 1, limit=size))[0]) == 1
    assert len((await chunked([payload], Topics("clicks"), 1, limit=size - 1))[0]) == 2


OWN_TOPICS = Topics("clicks", {"wei": "others", "other": "others", "lost": "not-there"})


async def chunked(
    data: list[bytes], topics: Topics, partitions: int = 3, limit: int = 900_000
) -> tuple[list[Chunk], dict[str, list[Record]]]:
    async def count(topic: str) -> tuple[int, str]:
        return (0, "UnknownTopic") if topic == "not-there" else (partitions, "")

    chunker = Chunker(topics, limit, count, itertools.count().__next__, with_ids=True)
    for one in data:
        await chunker.add(one)
    return chunker.take(), chunker.undeliverable


@given(made_entries, st.booleans())
def test_chunks_hold_the_records_of_the_payloads(made: list[MadeEntry], native: bool) -> None:
    """With keys and traces of their own among them, each in the partition of its key."""
    entries = entries_of(made)
    data = payloads(entries)
    with pytest.MonkeyPatch.context() as patch:
        if not native:
            patch.setattr(packing, "_native", None)
        chunks, undeliverable = asyncio.run(chunked(data, Topics("clicks"), limit=8000))
    wanted = [record_of(event, "demo", "clicks") for payload in data for event in events(payload)]
    found = [record for chunk in chunks for record in chunk.records()]
    assert undeliverable == {}
    assert sorted(found, key=lambda one: one.headers) == sorted(wanted, key=lambda one: one.headers)
    for chunk in chunks:
        mine = chunk.records()
        keyed_ones = [one.key for one in mine if one.key is not None]
        assert {partition(key, 3, int) for key in keyed_ones} <= {chunk.number}
        assert len(mine) == chunk.count == sum(group.events for group in chunk.groups)
        assert sum(group.size for group in chunk.groups) == sum(len(one.value) + 1 for one in mine)
        ids = [identity for group in chunk.groups for identity in group.ids or ()]
        assert sorted(ids) == sorted(dict(one.headers)["id"] for one in mine)
        assert (mine[0].timestamp, max(one.timestamp for one in mine)) == (chunk.first, chunk.latest)
        assert chunk == Chunk.of(chunk.topic, chunk.number, mine)


async def test_a_chunk_is_sealed_before_it_is_too_large_and_one_that_is_too_large_stands_alone() -> None:
    data = [line(n, size=20_000 if n == 50 else 500) for n in range(100)]
    chunks, _ = await chunked([b"".join(data)], Topics("clicks"), partitions=1, limit=10_000)
    sizes = [len(chunk.body) + 61 for chunk in chunks]
    assert [size > 10_000 for size in sizes].count(True) == 1
    assert [chunk.count for chunk, size in zip(chunks, sizes, strict=True) if size > 10_000] == [1]
    assert min(sizes[:3]) > 9000, "and it is filled before that"
    found = [record.value for chunk in chunks for record in chunk.records()]
    assert found == [one[:-1] for one in data]


async def test_a_partitions_second_chunk_comes_after_every_partitions_first() -> None:
    data = b"".join(line(n) for n in range(300))
    chunks, _ = await chunked([data], Topics("clicks"), limit=10_000)
    assert {chunk.number for chunk in chunks[:3]} == {0, 1, 2}
    assert len(chunks) > 6


async def test_the_records_of_a_topic_that_is_not_there_are_undeliverable_and_the_others_are_not() -> None:
    topics = Topics("clicks", {"lost": "not-there"})
    keyed = b'#{"k":"mine"}\n'
    data = line(1) + line(2, "lost") + keyed + line(3, "lost") + line(4) + keyed + line(5)
    chunks, undeliverable = await chunked([data], topics)
    assert sorted(one.value for chunk in chunks for one in chunk.records()) == [
        line(n)[:-1] for n in (1, 4, 5)
    ]
    lost = undeliverable["UnknownTopic"]
    assert [(one.value, one.key) for one in lost] == [
        (line(2, "lost")[:-1], b"%032x" % 14), (line(3, "lost")[:-1], b"mine")
    ]  # fmt: skip


@pytest.mark.parametrize("damage", [b'{"v":2}\n', b'x"source":"demo"' + b" " * 200 + b"\n"])
async def test_what_is_no_event_is_an_error_and_not_left_out(damage: bytes) -> None:
    with pytest.raises(ValueError):
        await chunked([line(1) + damage + line(2)], Topics("clicks"))


@pytest.mark.parametrize("method", ["none", "gzip", "snappy", "lz4", "zstd"])
async def test_a_finished_batch_is_as_aiokafka_builds_it(method: str) -> None:
    (chunk,), _ = await chunked([b"".join(line(n) for n in range(50))], Topics("clicks"), 1)
    builder = DefaultRecordBatchBuilder(
        2, 0, is_transactional=1, producer_id=7, producer_epoch=3, base_sequence=40, batch_size=1 << 30
    )
    for number, one in enumerate(chunk.records()):
        builder.append(number, one.timestamp, one.key, one.value, one.headers)
    finished = ready_batch(chunk, *compress(chunk.body, method), transactional=True)
    finished._set_producer_state(7, 3, 40)
    built = finished._build()
    assert (finished.size(), finished.record_count(), finished.closed()) == (len(built), 50, True)
    if method == "none":
        assert built == bytes(builder.build())
    batch = DefaultRecordBatch(bytearray(built))
    assert batch.validate_crc()
    assert (batch.is_transactional, batch.producer_id, batch.producer_epoch, batch.base_sequence) == (
        True, 7, 3, 40
    )  # fmt: skip
    assert [bytes(one.value or b"") for one in batch] == [line(n)[:-1] for n in range(50)]


def test_what_does_not_compress_goes_as_it_is() -> None:
    assert compress(b"\x01\x02", "lz4") == (b"\x01\x02", 0)


@pytest.mark.skipif(not NATIVE, reason="no compiled packer here: its errors are NOT looked at")
def test_a_place_is_given_once_and_does_not_change() -> None:
    made: Any = packer(1000, with_ids=False)
    made.route(b"demo", 0, 3)
    for source, place, partitions in [(b"demo", 0, 3), (b"wei", 0, 4), (b"wei", 2, 3), (b"wei", 1, 0)]:
        with pytest.raises(ValueError):
            made.route(source, place, partitions)
    with pytest.raises(ValueError):
        made.put(line(1)[:-1], None, -1, None)
    with pytest.raises(ValueError):
        made.pack(b"", 1)
    with pytest.raises(TypeError):
        made.pack("text", 0)


@pytest.mark.skipif(not NATIVE, reason="no compiled packer here: what it declines is NOT looked at")
@pytest.mark.parametrize(
    "declined", [b'#{"k":null}', b"{}", b"", line(1, "unknown")[:-1], line(1)[:110] + b"x" + line(1)[111:-1]]
)
def test_the_fast_path_declines_what_is_unusual_and_says_where(declined: bytes) -> None:
    made: Any = packer(900_000, with_ids=False)
    made.route(b"demo", 0, 1)
    payload = line(1) + declined + b"\n" + line(2)
    expected = len(payload) if not declined else len(line(1))
    assert made.pack(payload, 0) == expected
    assert made.put(declined, None, 0, None) is False
    assert made.pack(payload, len(line(1)) + len(declined) + 1) == len(payload)
    assert sum(batch[3] for batch in made.take()) == (3 if not declined else 2)


@pytest.mark.skipif(not NATIVE, reason="no compiled packer here: its memory is NOT looked at")
def test_many_rounds_leave_no_memory_behind() -> None:
    payload = b"".join(line(n, ("demo", "wei")[n % 2]) for n in range(20))
    topics = Topics("{source}")

    def rounds(count: int) -> int:
        for _ in range(count):
            asyncio.run(chunked([payload, line(1)], topics, limit=2000))
        return sys.getallocatedblocks()

    before = rounds(20)
    assert rounds(200) - before < 200


async def test_a_payload_that_is_none_is_an_error_and_no_record() -> None:
    """Out of a spool with a line that begins as an event and is none."""
    with pytest.raises(ValueError, match="not an event"):
        await chunked([line(1), line(2)[:110] + b"x" + line(2)[111:], line(3)], Topics("clicks"))


async def test_a_batch_is_built_once_however_often_it_is_asked_for() -> None:
    [chunk], _ = await chunked([line(1)], Topics("clicks"))
    batch = ready_batch(chunk, *compress(chunk.body, "none"), transactional=False)
    assert batch._build() is batch._build()
