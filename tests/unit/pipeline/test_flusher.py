"""The flusher while all is well: when a batch is due, who is told what, and that every event is counted."""

from __future__ import annotations

import asyncio
from itertools import pairwise

from ingestd.pipeline.buffer import Call
from ingestd.pipeline.counters import WAITS
from ingestd.pipeline.flusher import SLICE
from tests.support.fakes import Pump, assert_conserved
from tests.support.loop import turns

# stored mode: group commit


async def test_stored_an_event_is_committed_at_once_and_then_acknowledged() -> None:
    async with Pump(acks=True) as pump:
        entry = await pump.put(b"a\n")
        assert pump.sink.batches == [b"a\n"]
        assert entry.fates == [None]
        assert_conserved(pump.counters)


async def test_stored_nothing_is_acknowledged_before_its_commit_has_ended() -> None:
    async with Pump(acks=True) as pump:
        pump.sink.gate.clear()
        first = await pump.put(b"a\n")
        second = await pump.put(b"b\n")
        assert (first.fates, second.fates) == ([], [])
        assert_conserved(pump.counters)
        pump.sink.gate.set()
        await turns()
        assert (first.fates, second.fates) == ([None], [None])


async def test_stored_what_arrives_during_a_commit_shares_the_next_one() -> None:
    async with Pump(acks=True) as pump:
        pump.sink.gate.clear()
        await pump.put(b"0\n")
        for number in range(1, 10):
            await pump.put(b"%d\n" % number)
        assert pump.sink.started == 1
        pump.sink.gate.set()
        await turns()
        assert pump.sink.batches == [b"0\n", b"".join(b"%d\n" % number for number in range(1, 10))]


async def test_stored_a_batch_holds_no_more_than_its_limits() -> None:
    async with Pump(acks=True, max_events=3, max_bytes=100) as pump:
        pump.sink.gate.clear()
        await pump.put(b"first\n")
        for _ in range(7):
            pump.put_now(b"x\n")
        for _ in range(3):
            pump.put_now(b"y" * 60)
        pump.sink.gate.set()
        await turns()
        assert [len(batch) for batch in pump.sink.batches] == [6, 6, 6, 2 + 60 + 60, 60]


async def test_stored_no_timer_delays_a_commit() -> None:
    async with Pump(acks=True, interval=3600) as pump:
        await pump.put()
        assert len(pump.sink.batches) == 1
        assert pump.clock.waiting == 0


async def test_stored_the_seconds_from_request_to_reply_are_measured() -> None:
    async with Pump(acks=True) as pump:
        pump.sink.gate.clear()
        await pump.put()
        await pump.clock.advance(0.003)
        pump.sink.gate.set()
        await turns()
        assert sum(pump.metrics.ack_seconds.counts) == 1
        assert abs(pump.metrics.ack_seconds.sum - 0.003) < 1e-6
        assert abs(pump.metrics.commit_seconds.sum - 0.003) < 1e-6


# queued mode: time, events, bytes


async def test_queued_a_batch_is_due_by_time_and_not_before() -> None:
    async with Pump(acks=False, interval=0.2) as pump:
        await pump.put(b"a\n")
        await pump.clock.advance(0.1)
        await pump.put(b"b\n")
        await pump.clock.advance(0.0999)
        assert pump.sink.batches == []
        await pump.clock.advance(0.0001)
        assert pump.sink.batches == [b"a\nb\n"]


async def test_queued_the_time_runs_from_the_first_event_of_a_batch() -> None:
    async with Pump(acks=False, interval=0.2) as pump:
        await pump.clock.advance(10)
        await pump.put()
        await pump.clock.advance(0.199)
        assert pump.sink.batches == []
        await pump.clock.advance(0.001)
        assert len(pump.sink.batches) == 1
        await pump.put()
        await pump.clock.advance(0.199)
        assert len(pump.sink.batches) == 1
        await pump.clock.advance(0.001)
        assert len(pump.sink.batches) == 2


async def test_queued_a_batch_is_due_at_its_number_of_events() -> None:
    async with Pump(acks=False, max_events=5) as pump:
        await pump.put(count=4)
        assert pump.sink.batches == []
        await pump.put()
        assert len(pump.sink.batches) == 1


async def test_queued_a_batch_is_due_at_its_bytes() -> None:
    async with Pump(acks=False, max_bytes=100) as pump:
        await pump.put(b"x" * 99)
        assert pump.sink.batches == []
        await pump.put(b"x")
        assert len(pump.sink.batches) == 1


async def test_queued_a_full_batch_does_not_hurry_the_one_behind_it() -> None:
    async with Pump(acks=False, max_events=3, interval=0.2) as pump:
        for _ in range(4):
            pump.put_now(b"x")
        await turns()
        assert pump.sink.batches == [b"xxx"]
        await pump.clock.advance(0.199)
        assert pump.sink.batches == [b"xxx"]
        await pump.clock.advance(0.001)
        assert pump.sink.batches == [b"xxx", b"x"]


async def test_queued_a_call_does_not_hurry_the_batch_behind_it() -> None:
    async with Pump(acks=False, interval=0.2) as pump:
        pump.buffer.call(Call(pump.sink.tick))
        await turns()
        await pump.put()
        assert pump.sink.batches == []
        await pump.clock.advance(0.2)
        assert len(pump.sink.batches) == 1


async def test_queued_all_that_is_full_is_written_without_waiting() -> None:
    async with Pump(acks=False, max_events=2) as pump:
        for _ in range(6):
            pump.put_now(b"x")
        await turns()
        assert pump.sink.batches == [b"xx", b"xx", b"xx"]


async def test_queued_a_timer_that_was_not_needed_does_nothing_later() -> None:
    async with Pump(acks=False, max_events=2, interval=0.2) as pump:
        await pump.put()
        await pump.put()
        assert pump.clock.waiting == 0
        await pump.clock.advance(0.15)
        await pump.put()
        await pump.clock.advance(0.1)
        assert len(pump.sink.batches) == 1


async def test_queued_nobody_is_told_of_the_commit() -> None:
    async with Pump(acks=False) as pump:
        entry = await pump.put()
        await pump.clock.advance(1)
        assert entry.fates == []
        assert pump.counters.of("demo").stored == 1


# calls, draining, counters


async def test_a_call_runs_between_commits_in_its_turn() -> None:
    async with Pump(acks=True) as pump:
        order: list[str] = []

        async def call() -> None:
            order.append(f"call after {len(pump.sink.batches)} commits")

        pump.sink.gate.clear()
        await pump.put(b"a\n")
        pump.buffer.call(Call(call))
        pump.put_now(b"b\n")
        await turns()
        assert order == []
        pump.sink.gate.set()
        await turns()
        assert order == ["call after 1 commits"]
        assert pump.sink.batches == [b"a\n", b"b\n"]


async def test_the_sink_is_never_called_twice_at_once() -> None:
    async with Pump(acks=True, max_events=2) as pump:
        for number in range(50):
            pump.put_now(b"%d\n" % number)
            pump.buffer.call(Call(pump.sink.tick))
            if number % 7 == 0:
                await turns(1)
        await turns(200)
        assert not pump.sink.overlapped
        assert pump.sink.stored() == b"".join(b"%d\n" % number for number in range(50))


async def test_a_drain_waits_for_everything_that_was_taken_and_for_no_timer() -> None:
    for acks in (True, False):
        async with Pump(acks=acks, interval=3600) as pump:
            await pump.put(b"a\n")
            pump.put_now(b"b\n")
            drain = asyncio.create_task(pump.flusher.drain())
            await drain
            assert pump.sink.stored() == b"a\nb\n"
            assert pump.buffer.events == 0
            assert_conserved(pump.counters)


async def test_a_drain_of_nothing_ends() -> None:
    async with Pump(acks=False) as pump:
        await pump.flusher.drain()


async def test_every_sources_events_are_accounted_to_it() -> None:
    async with Pump(acks=True) as pump:
        pump.sink.gate.clear()
        pump.put_now(b"first\n", "a")
        await turns()
        for number in range(30):
            pump.put_now(b"x" * number, "abc"[number * number % 3], count=number % 4 + 1)
        assert_conserved(pump.counters)
        pump.sink.gate.set()
        await turns()
        assert_conserved(pump.counters)
        for source in pump.counters.by_source.values():
            assert (source.unstored, source.stored) == (0, source.received)
            assert source.stored_bytes == source.received_bytes
        assert (pump.buffer.events, pump.buffer.bytes) == (0, 0)


async def test_the_loop_turns_while_a_large_batch_is_settled() -> None:
    async with Pump(acks=True, max_events=100_000, max_bytes=10**9, buffer_bytes=10**9) as pump:
        pump.sink.gate.clear()
        await pump.put(b"first")
        for _ in range(5000):
            pump.put_now(b"x")
        pump.sink.gate.set()
        settled: list[int] = []
        while pump.buffer.events:
            await asyncio.sleep(0)
            settled.append(sum(bool(entry.fates) for entry in pump.entries))
            assert_conserved(pump.counters)
        steps = [after - before for before, after in pairwise(settled)]
        assert max(steps) <= 1001  # two slices at most, as far as one can see from outside
        assert settled[-1] == 5001


async def test_a_batch_is_counted_by_its_events_and_its_wait_by_the_seconds() -> None:
    async with Pump(acks=True) as pump:
        pump.sink.gate.clear()
        await pump.put(count=3)
        await pump.clock.advance(2.0)
        pump.sink.gate.set()
        await turns()
        assert (pump.metrics.batch_events.sum, pump.metrics.commit_seconds.sum) == (3, 2.0)
        waits = pump.counters.of("demo").waits
        assert waits == [3 * (bound == 2.5) for bound in (*WAITS, None)]


async def test_of_a_great_batch_a_part_is_settled_in_each_turn() -> None:
    size = 2 * SLICE + 1
    async with Pump(acks=True, max_events=size, max_bytes=1 << 20, buffer_bytes=1 << 24) as pump:
        for _ in range(size):
            pump.put_now(b"x")
        told = set()
        for _ in range(50):
            await asyncio.sleep(0)
            told.add(sum(entry.fates == [None] for entry in pump.entries))
        assert sorted(told - {0}) == [SLICE, 2 * SLICE, size]
