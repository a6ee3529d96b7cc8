"""The buffer: batches that fill, a cap in bytes with a high and a low water mark."""

from __future__ import annotations

import pytest

from ingestd.event import Batch
from ingestd.pipeline.buffer import Buffer, Call
from ingestd.pipeline.counters import SourceCounters
from tests.support.fakes import FakeEntry

COUNTERS = SourceCounters("demo")


def entry(size: int = 10, count: int = 1) -> FakeEntry:
    return FakeEntry(b"x" * size, COUNTERS, count)


async def next_batch(buffer: Buffer) -> Batch:
    item = await buffer.next()
    assert isinstance(item, Batch)
    buffer.seal(item)
    return item


async def nothing() -> None:
    pass


# high and low water


def test_events_are_taken_to_the_last_byte_below_the_cap() -> None:
    buffer = Buffer(max_bytes=1000, batch_events=5, batch_bytes=10_000)
    for _ in range(99):
        buffer.put(entry(10))
    assert (buffer.bytes, buffer.refusing) == (990, None)
    buffer.put(entry(9))
    assert (buffer.bytes, buffer.refusing) == (999, None)


def test_at_the_cap_new_events_are_refused() -> None:
    buffer = Buffer(max_bytes=1000, batch_events=5, batch_bytes=10_000)
    buffer.put(entry(999))
    buffer.put(entry(1))
    assert (buffer.bytes, buffer.refusing) == (1000, "overload")


def test_an_entry_that_passes_the_cap_is_taken_whole() -> None:
    buffer = Buffer(max_bytes=1000, batch_events=5, batch_bytes=10_000)
    buffer.put(entry(999))
    buffer.put(entry(5000, count=50))
    assert (buffer.bytes, buffer.events, buffer.refusing) == (5999, 51, "overload")


async def test_refusing_ends_at_the_low_water_mark_and_not_before() -> None:
    # 900 and 801 bytes are above 80 percent of 1000, 800 is not
    buffer = Buffer(max_bytes=1000, batch_events=1, batch_bytes=10_000)
    for size in (100, 99, 1, 800):
        buffer.put(entry(size))
    seen = [buffer.refusing]
    for _ in range(3):
        buffer.release(await next_batch(buffer))
        seen.append(buffer.refusing)
    assert buffer.bytes == 800
    assert seen == ["overload", "overload", "overload", None]


async def test_what_is_being_written_is_held_until_it_is_released() -> None:
    buffer = Buffer(max_bytes=1000, batch_events=10, batch_bytes=10_000)
    buffer.put(entry(1000, count=3))
    batch = await next_batch(buffer)
    assert (buffer.bytes, buffer.events, buffer.refusing) == (1000, 3, "overload")
    buffer.release(batch)
    assert (buffer.bytes, buffer.events, buffer.refusing) == (0, 0, None)


async def test_refusing_begins_anew_after_it_has_ended() -> None:
    buffer = Buffer(max_bytes=100, batch_events=1, batch_bytes=100)
    seen = []
    for _ in range(3):
        buffer.put(entry(100))
        seen.append(buffer.refusing)
        buffer.release(await next_batch(buffer))
        seen.append(buffer.refusing)
    assert seen == ["overload", None] * 3


def test_a_block_says_why_and_the_cap_shows_behind_it() -> None:
    buffer = Buffer(max_bytes=100, batch_events=1, batch_bytes=100)
    buffer.block("storage")
    assert buffer.refusing == "storage"
    buffer.put(entry(100))
    assert buffer.refusing == "storage"
    buffer.block(None)
    assert buffer.refusing == "overload"


# batches


async def test_entries_join_the_open_batch_in_their_order() -> None:
    buffer = Buffer(max_bytes=1000, batch_events=10, batch_bytes=1000)
    entries = [entry(5, count=2) for _ in range(4)]
    for one in entries:
        buffer.put(one)
    batch = await next_batch(buffer)
    assert batch.entries == entries
    assert (batch.events, batch.bytes) == (8, 20)


@pytest.mark.parametrize(
    ("sizes", "counts", "expected"),
    [
        ([10] * 7, [1] * 7, [3, 3, 1]),  # by events
        ([10] * 4, [2, 2, 2, 2], [2, 2]),  # by events, several an entry
        ([50, 49, 1, 10], [1] * 4, [3, 1]),  # by bytes: 99 are not enough, 100 are
        ([500, 10], [1, 1], [1, 1]),  # one entry past the limit is a batch of its own
    ],
)
async def test_a_batch_closes_when_it_is_full(
    sizes: list[int], counts: list[int], expected: list[int]
) -> None:
    buffer = Buffer(max_bytes=10_000, batch_events=3, batch_bytes=100)
    for size, count in zip(sizes, counts, strict=True):
        buffer.put(entry(size, count))
    assert [len((await next_batch(buffer)).entries) for _ in expected] == expected


def test_a_full_batch_is_ripe_and_one_that_is_not_full_is_not() -> None:
    buffer = Buffer(max_bytes=1000, batch_events=2, batch_bytes=1000)
    buffer.put(entry())
    assert not buffer.due.is_set()
    buffer.put(entry())
    assert buffer.due.is_set()


async def test_a_batch_that_was_taken_takes_no_more_entries() -> None:
    buffer = Buffer(max_bytes=1000, batch_events=10, batch_bytes=1000)
    first = entry()
    buffer.put(first)
    item = await buffer.next()
    assert isinstance(item, Batch)
    assert buffer.is_open(item)
    late = entry()
    buffer.put(late)  # it was taken out, and is open still
    buffer.seal(item)
    assert not buffer.is_open(item)
    later = entry()
    buffer.put(later)
    assert item.entries == [first, late]
    assert (await next_batch(buffer)).entries == [later]


async def test_a_call_comes_after_what_was_taken_before_it_and_before_what_comes_later() -> None:
    buffer = Buffer(max_bytes=1000, batch_events=10, batch_bytes=1000)
    buffer.put(entry(1))
    buffer.call(Call(nothing))
    buffer.put(entry(2))
    items = [await buffer.next() for _ in range(3)]
    assert [item.bytes if isinstance(item, Batch) else "call" for item in items] == [1, "call", 2]


async def test_taking_everything_leaves_the_calls_in_their_order() -> None:
    buffer = Buffer(max_bytes=1000, batch_events=2, batch_bytes=1000)
    calls = [Call(nothing), Call(nothing)]
    entries = [entry() for _ in range(5)]
    for one in entries[:3]:
        buffer.put(one)
    buffer.call(calls[0])
    for one in entries[3:]:
        buffer.put(one)
    buffer.call(calls[1])
    taken = buffer.take_waiting()
    assert [entry for batch in taken for entry in batch.entries] == entries
    assert [(batch.events, batch.bytes) for batch in taken] == [(2, 20), (1, 10), (2, 20)]
    assert [await buffer.next(), await buffer.next()] == calls
    late = entry()
    buffer.put(late)
    assert (await next_batch(buffer)).entries == [late]


def test_a_call_holds_no_bytes() -> None:
    buffer = Buffer(max_bytes=1000, batch_events=2, batch_bytes=1000)
    buffer.call(Call(nothing))
    assert (buffer.bytes, buffer.events, buffer.refusing) == (0, 0, None)
