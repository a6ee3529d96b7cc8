"""The flusher with failing and hanging sinks, in both ack modes; every event is counted where it went."""

from __future__ import annotations

import asyncio
import logging
import random

import pytest

from ingestd.pipeline.flusher import SLICE
from tests.support.fakes import Pump, assert_conserved
from tests.support.loop import turns

# a failing sink, stored mode


async def test_stored_a_batch_that_cannot_be_stored_is_refused() -> None:
    async with Pump(acks=True) as pump:
        pump.sink.failing = "no space left"
        entry = await pump.put(count=3)
        assert entry.fates == ["storage"]
        source = pump.counters.of("demo")
        assert (source.rejected, source.unstored, source.stored) == ({"storage": 3}, 0, 0)
        assert (pump.metrics.commit_failures, pump.buffer.events) == (1, 0)


async def test_stored_what_waits_behind_a_failed_commit_is_refused_with_it() -> None:
    async with Pump(acks=True, max_events=2) as pump:
        pump.sink.gate.clear()
        for _ in range(9):
            pump.put_now()
        await turns()
        pump.sink.failing = "no space left"
        pump.sink.gate.set()
        await turns()
        assert [entry.fates for entry in pump.entries] == [["storage"]] * 9
        assert_conserved(pump.counters)


async def test_stored_new_events_are_refused_until_the_sink_could_store_again() -> None:
    async with Pump(acks=True) as pump:
        pump.sink.failing = "no space left"
        await pump.put()
        assert pump.buffer.refusing == "storage"
        assert pump.flusher.error == "no space left"
        await pump.clock.advance(5)
        assert pump.buffer.refusing == "storage"
        assert pump.sink.probes == 11  # at once, then every half second
        pump.sink.failing = ""
        await pump.clock.advance(0.5)
        assert [pump.buffer.refusing, pump.flusher.error] == [None, ""]
        entry = await pump.put(b"after\n")
        assert entry.fates == [None]
        assert pump.sink.batches == [b"after\n"]


async def test_stored_a_failed_commit_is_never_repeated() -> None:
    # After a failed fsync the kernel may have dropped the pages: the next one would succeed all the same.
    async with Pump(acks=True) as pump:
        pump.sink.failing = "input/output error"
        await pump.put(b"lost\n")
        pump.sink.failing = ""
        await pump.clock.advance(60)
        await pump.put(b"after\n")
        assert pump.sink.batches == [b"after\n"]


async def test_stored_a_drain_does_not_wait_for_a_sink_that_cannot_store() -> None:
    async with Pump(acks=True) as pump:
        pump.sink.failing = "fenced"
        await pump.put()
        drain = asyncio.ensure_future(pump.flusher.drain())
        await pump.clock.advance(1)
        assert drain.done()


async def test_the_reason_of_the_trouble_is_the_latest_one(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        async with Pump(acks=True) as pump:
            pump.sink.failing = "no space left"
            await pump.put()
            pump.sink.failing = "read-only file system"
            await pump.clock.advance(3)
            assert pump.flusher.error == "read-only file system"
            pump.sink.failing = ""
            await pump.clock.advance(1)
    messages = [record.message for record in caplog.records]
    assert messages == [
        "cannot store, refusing events",
        "still cannot store, will retry",
        "storage recovered",
    ]  # not one for every probe


# a failing sink, queued mode


async def test_queued_what_cannot_be_stored_is_kept_and_stored_later() -> None:
    async with Pump(acks=False) as pump:
        pump.sink.failing = "no space left"
        await pump.put(b"a\n")
        await pump.clock.advance(1)
        for number in range(5):
            await pump.put(b"%d\n" % number)
            await pump.clock.advance(10)
        assert pump.sink.batches == []
        assert pump.counters.of("demo").unstored == 6
        assert_conserved(pump.counters)
        pump.sink.failing = ""
        await pump.clock.advance(1)
        assert pump.sink.stored() == b"a\n0\n1\n2\n3\n4\n"
        source = pump.counters.of("demo")
        assert (source.stored, source.unstored, source.rejected) == (6, 0, {})


async def test_queued_new_events_are_taken_until_the_buffer_is_full() -> None:
    async with Pump(acks=False, buffer_bytes=1000, max_bytes=100) as pump:
        pump.sink.failing = "no space left"
        while pump.buffer.refusing is None:
            await pump.put(b"x" * 100)
            await pump.clock.advance(1)
        assert [pump.buffer.refusing, pump.buffer.bytes] == ["overload", 1000]
        assert pump.flusher.error == "no space left"
        pump.sink.failing = ""
        await pump.clock.advance(1)
        assert [pump.buffer.refusing, pump.buffer.bytes] == [None, 0]
        assert len(pump.sink.stored()) == 1000


# a commit that hangs


async def test_stored_nobody_waits_for_a_commit_that_hangs() -> None:
    async with Pump(acks=True, stall=2.5, max_events=2) as pump:
        pump.sink.gate.clear()
        writing = await pump.put(b"writing\n")
        waiting = [await pump.put(b"waiting\n") for _ in range(3)]
        await pump.clock.advance(2.4)
        assert (writing.stalls, writing.fates) == (0, [])
        await pump.clock.advance(0.1)
        assert (writing.stalls, writing.fates) == (1, [])
        assert [(entry.stalls, entry.fates) for entry in waiting] == [(0, ["stalled"])] * 3
        assert pump.buffer.refusing == "stalled"
        assert "2.5 s" in pump.flusher.error
        assert pump.metrics.stalls == 1
        assert_conserved(pump.counters)
        source = pump.counters.of("demo")
        assert (source.unstored, source.rejected) == (1, {"stalled": 3})  # one may yet be stored


async def test_stored_a_commit_that_ends_after_all_is_accounted_as_stored() -> None:
    async with Pump(acks=True, stall=2.5) as pump:
        pump.sink.gate.clear()
        entry = await pump.put(b"writing\n")
        await pump.clock.advance(10)
        assert (entry.stalls, entry.fates) == (1, [])
        pump.sink.gate.set()
        await turns()
        assert (entry.stalls, entry.fates) == (1, [None])
        source = pump.counters.of("demo")
        assert (source.stored, source.unstored, source.rejected) == (1, 0, {})
        assert (pump.buffer.refusing, pump.flusher.error, pump.buffer.events) == (None, "", 0)
        later = await pump.put()
        assert later.fates == [None]


async def test_stored_a_commit_that_hangs_and_then_fails_is_accounted_as_refused() -> None:
    async with Pump(acks=True, stall=2.5) as pump:
        pump.sink.gate.clear()
        entry = await pump.put(b"writing\n")
        await pump.clock.advance(10)
        pump.sink.failing = "input/output error"
        pump.sink.gate.set()
        await turns()
        assert (entry.stalls, entry.fates) == (1, ["storage"])
        source = pump.counters.of("demo")
        assert (source.stored, source.unstored, source.rejected) == (0, 0, {"storage": 1})
        assert pump.buffer.refusing == "storage"
        assert_conserved(pump.counters)


async def test_stored_a_process_that_was_stopped_for_long_does_not_take_that_for_a_stall() -> None:
    async with Pump(acks=True, stall=2.5) as pump:
        pump.sink.gate.clear()
        entry = await pump.put()
        pump.clock.seconds += 30  # nothing runs, so no call comes when it is due
        await pump.clock.advance(0)
        assert (entry.stalls, pump.metrics.stalls, pump.buffer.refusing) == (0, 0, None)
        await pump.clock.advance(2.5)  # and the commit has not ended all the same
        assert (entry.stalls, pump.metrics.stalls) == (1, 1)
        pump.sink.gate.set()


async def test_stored_a_commit_in_time_is_no_stall() -> None:
    async with Pump(acks=True, stall=2.5) as pump:
        await pump.put()
        await pump.clock.advance(100)
        assert (pump.metrics.stalls, pump.buffer.refusing) == (0, None)


async def test_queued_a_commit_that_hangs_refuses_nobody() -> None:
    async with Pump(acks=False, stall=2.5, interval=0.2) as pump:
        pump.sink.gate.clear()
        await pump.put(b"a\n")
        await pump.clock.advance(5)
        await pump.put(b"b\n")
        assert (pump.buffer.refusing, pump.metrics.stalls) == (None, 1)
        assert pump.flusher.error
        pump.sink.gate.set()
        await pump.clock.advance(1)
        assert pump.sink.stored() == b"a\nb\n"
        assert pump.flusher.error == ""
        assert_conserved(pump.counters)


# an entry that cannot be told, many faults


async def test_a_drain_ends_when_the_sink_is_well_again() -> None:
    async with Pump(acks=False) as pump:
        pump.sink.failing = "no space left"
        await pump.put(b"a\n")
        drain = asyncio.create_task(pump.flusher.drain())
        await pump.clock.advance(10)
        assert not drain.done()
        pump.sink.failing = ""
        await pump.clock.advance(1)
        await drain
        assert pump.sink.stored() == b"a\n"


@pytest.mark.parametrize("acks", [True, False], ids=["stored", "queued"])
@pytest.mark.parametrize("seed", range(25))
async def test_through_any_faults_every_event_is_stored_refused_or_held(acks: bool, seed: int) -> None:
    """Random faults; at every step the identity holds, and in the end nothing is missing or twice."""
    dice = random.Random(seed)

    def check(pump: Pump, acks: bool) -> None:
        stored = pump.sink.stored().split(b";")[:-1]
        assert len(stored) == len(set(stored)), "stored twice"
        assert stored == sorted(stored), "out of order"
        if acks:
            acknowledged = [entry.data[:-1] for entry in pump.entries if entry.fates[0] is None]
            assert set(acknowledged) <= set(stored)
            assert all(entry.fates for entry in pump.entries)
        else:
            assert [entry.data[:-1] for entry in pump.entries] == stored

    async with Pump(acks=acks, max_events=5, max_bytes=500, buffer_bytes=2000) as pump:
        number = 0
        for _ in range(300):
            act = dice.random()
            if act < 0.6 and pump.buffer.refusing is None:
                pump.put_now(b"%06d;" % number, dice.choice("ab"))
                number += 1
            elif act < 0.7:
                pump.sink.failing = dice.choice(["", "", "no space left", "input/output error"])
            elif act < 0.8:
                (pump.sink.gate.clear if dice.random() < 0.3 else pump.sink.gate.set)()
            else:
                await pump.clock.advance(dice.random())
            if dice.random() < 0.5:
                await turns(dice.randint(1, 3))
            assert_conserved(pump.counters)
        pump.sink.failing = ""
        pump.sink.gate.set()
        await pump.clock.advance(10)
        await pump.flusher.drain()
        assert_conserved(pump.counters)
        assert (pump.buffer.events, pump.buffer.bytes, pump.buffer.refusing) == (0, 0, None)
        check(pump, acks)


async def test_stored_of_a_great_batch_that_hangs_everyone_is_told_a_part_in_each_turn() -> None:
    """The loop turns in between: others are not kept waiting by so many replies."""

    size = 3 * SLICE + 1
    async with Pump(acks=True, stall=2.5, max_events=size, max_bytes=1 << 20, buffer_bytes=1 << 24) as pump:
        pump.sink.gate.clear()
        for _ in range(size):
            pump.put_now(b"x")
        await pump.put(b"waiting")
        told = []
        pump.clock.seconds += 2.4
        stalling = asyncio.ensure_future(pump.clock.advance(0.1))
        for _ in range(50):
            await asyncio.sleep(0)
            told.append(sum(entry.stalls or entry.fates == ["stalled"] for entry in pump.entries))
        await stalling
        assert sorted({*told, 0}) == [0, SLICE, 2 * SLICE, 3 * SLICE, size + 1]
        pump.sink.gate.set()


async def test_stored_a_commit_that_ends_while_its_stall_is_told_refuses_no_more() -> None:
    size = 3 * SLICE
    async with Pump(acks=True, stall=2.5, max_events=size, max_bytes=1 << 20, buffer_bytes=1 << 24) as pump:
        pump.sink.gate.clear()
        for _ in range(size):
            pump.put_now(b"x")
        waiting = await pump.put(b"waiting")
        pump.clock.seconds += 2.4
        stalling = asyncio.ensure_future(pump.clock.advance(0.1))
        while not pump.entries[0].stalls:
            await asyncio.sleep(0)
        pump.sink.gate.set()
        await stalling
        await turns(20)
        assert 0 < sum(entry.stalls for entry in pump.entries) < size
        assert [entry.fates for entry in pump.entries] == [[None]] * (size + 1)
        assert waiting.stalls == 0


@pytest.mark.parametrize(("late", "stalls"), [(0.5, 1), (0.625, 0)])
async def test_stored_a_watch_that_is_a_little_late_is_believed(late: float, stalls: int) -> None:
    async with Pump(acks=True, stall=2.5) as pump:
        assert pump.flusher.error == ""
        pump.sink.gate.clear()
        await pump.put()
        pump.clock.seconds += 2.5 + late
        await pump.clock.advance(0)
        assert pump.metrics.stalls == stalls
        pump.sink.gate.set()


async def test_queued_what_comes_behind_a_drain_is_stored_without_waiting_for_more() -> None:
    async with Pump(acks=False, max_events=2) as pump:
        pump.sink.gate.clear()
        await pump.put(b"before\n", count=2)
        drain = asyncio.ensure_future(pump.flusher.drain())
        await turns()
        await pump.put(b"behind\n")
        pump.sink.gate.set()
        await turns(20)
        assert drain.done()
        assert pump.sink.stored() == b"before\nbehind\n", "the clock stood still"


# a bug in a sink


@pytest.mark.parametrize("acks", [True, False])
async def test_a_bug_in_a_sink_costs_its_batch_and_not_the_daemon(
    acks: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Retried, a batch that a sink cannot take for what is in it would stop all events after it."""
    async with Pump(acks=acks) as pump:
        pump.sink.bug = ValueError("a payload is larger than 67108864 bytes")
        entry = pump.put_now(count=3)
        await pump.clock.advance(1)
        source = pump.counters.of("demo")
        assert (source.rejected, source.unstored, source.stored) == ({"internal": 3}, 0, 0)
        assert entry.fates == (["internal"] if acks else [])
        assert pump.metrics.commit_failures == 1
        [line] = [one for one in caplog.records if one.msg == "bug in a sink, refusing its batch"]
        assert line.exc_info is not None
        pump.sink.bug = None
        await pump.put(b"after\n")
        await pump.clock.advance(1)
        assert pump.sink.batches == [b"after\n"]
        assert (pump.buffer.refusing, pump.flusher.error) == (None, "")
        assert_conserved(pump.counters)


async def test_a_bug_in_a_probe_is_an_error_of_the_sink() -> None:
    async with Pump(acks=True) as pump:
        pump.sink.failing = "no space left"
        await pump.put()
        pump.sink.failing, pump.sink.bug = "", ZeroDivisionError()
        await pump.clock.advance(5)
        assert pump.buffer.refusing == "storage"
        pump.sink.bug = None
        await pump.clock.advance(1)
        assert pump.buffer.refusing is None
