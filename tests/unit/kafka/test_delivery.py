"""Delivery by rounds, over a spool and a Kafka in memory: each payload once, in any weather."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from ingestd.errors import SinkError
from ingestd.kafka.delivery import MAX_GAPS
from ingestd.kafka.delivery_report import DeliveryReport
from ingestd.kafka.state import Progress
from ingestd.pipeline.counters import Counters
from ingestd.spool.spool import Position
from tests.support.kafka_delivery import SIZE, Rig, number_of
from tests.support.loop import turns
from tests.support.waiting import FAR


@contextlib.contextmanager
def in_time() -> Iterator[None]:
    """Fails where the loop does not turn, which no deadline inside the loop could tell."""

    def fail(number: int, frame: object) -> None:
        raise AssertionError("the loop stands still")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(int(FAR))
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


async def test_what_comes_is_sent_in_order_and_released() -> None:
    rig = Rig()
    for count in (1, 3, 2):
        rig.append(count)
        await turns()
    await rig.finish()
    assert rig.sent == list(range(6))


async def test_a_window_that_overflows_while_a_round_flies_makes_no_repeats() -> None:
    rig = Rig()
    rig.gate.clear()
    rig.append(2)
    await turns()
    assert len(rig.promised) == 1, "a round is under way"
    for _ in range(30):
        rig.append(3)
    assert rig.delivery.pending
    rig.append(1)
    await rig.finish()


async def test_fresh_events_overtake_a_backlog_and_each_round_takes_a_bounded_share_of_it() -> None:
    rig = Rig(before=40)
    await turns(2)
    rig.append(2)
    await rig.finish()
    first = next(number for number, one in enumerate(rig.rounds) if 40 in one)
    assert first <= 2, "not behind the backlog"
    assert max(len(one) for one in rig.rounds) <= 4 + 5
    assert rig.counters.of("demo").recovered == 40


async def test_a_round_that_fails_is_sent_again_whole_with_what_came_meanwhile(monkeypatch: Any) -> None:
    monkeypatch.setattr("ingestd.kafka.delivery.RETRY_PAUSE", 0.01)

    rig = Rig(before=5)
    rig.failing = 3
    for _ in range(8):
        rig.append(2)
        await turns(3)
    assert rig.delivery.error in ("", "no")
    await rig.finish()
    assert rig.delivery.error == ""


async def test_what_a_round_promises_is_what_is_left_when_it_is_done() -> None:
    rig = Rig(before=10)
    rig.gate.clear()
    await turns()
    rig.append(3)
    await turns()
    (promise,) = rig.promised
    rig.gate.set()
    while not rig.rounds:
        await asyncio.sleep(0)
    left = {n for start, stop in promise.gaps for n in range(start.offset, stop.offset)}
    left |= set(range(promise.live.offset, 13))
    assert left == set(range(13)) - set(rig.rounds[0])
    await rig.finish()


async def test_gaps_are_bounded_and_nothing_is_repeated_for_it() -> None:
    rig = Rig(window=3 * SIZE, share=SIZE)
    most = 0
    for _ in range(400):
        rig.append(5)  # each overflows the window: a gap
        rig.append(1)
        await turns(6)
        most = max(most, len(rig.delivery.progress.gaps))
    assert 4 < most <= MAX_GAPS + 2
    await rig.finish()


@pytest.mark.parametrize("arrived", [True, False])
async def test_what_is_on_its_way_by_another_way_is_held_back_until_it_is_known(arrived: bool) -> None:
    rig = Rig()
    rig.append(1)
    await asyncio.wait_for(rig.delivery.drained(), FAR)
    start = rig.spool.end
    end, fresh = rig.spool.append(2)
    rig.counters.of("demo").spooled += 2
    rig.delivery.hold(end)
    waiting = asyncio.create_task(rig.delivery.drained())
    with in_time():
        await turns()
    assert not waiting.done(), "and the loop turns meanwhile"
    rig.append(1)
    await turns(20)
    assert rig.sent == [0]
    if arrived:
        rig.rounds.append([number_of(one) for one in fresh])
        rig.counters.record(DeliveryReport({"demo": [2, 0]}).result(from_spool=True))
    rig.delivery.release((start, end) if arrived else None)
    await waiting
    await rig.finish()


async def test_what_arrived_by_another_way_is_released_though_nothing_comes_after_it() -> None:
    """Else it stays in the spool, older every second, and goes to Kafka again after a restart."""

    rig = Rig()
    await turns()
    start = rig.spool.end
    end, _ = rig.spool.append(2)
    rig.delivery.hold(end)
    rig.delivery.release((start, end))
    await asyncio.wait_for(rig.delivery.drained(), FAR)
    assert (rig.spool.released, rig.sent) == (end, [])
    rig.task.cancel()


async def test_what_the_disk_would_not_release_is_released_once_it_does(monkeypatch: Any) -> None:
    """Nothing has to come for it, and nothing is sent again."""
    monkeypatch.setattr("ingestd.kafka.delivery.RETRY_PAUSE", 0.01)

    rig = Rig()
    release = rig.spool.release
    refused: list[Position] = []

    def failing(position: Position) -> None:
        if len(refused) < 3:
            refused.append(position)
            raise SinkError("release: Input/output error")
        release(position)

    rig.spool.release = failing  # type: ignore[method-assign]
    rig.append(2)
    await rig.finish()
    assert refused == [rig.spool.end] * 3
    assert rig.delivery.error == ""


async def test_the_committed_position_counts_and_is_released_at_once() -> None:
    rig = Rig(before=10)
    rig.task.cancel()
    await rig.delivery.resume(Progress([(Position(1, 2), Position(1, 4))], Position(1, 9)))
    assert rig.spool.released == Position(1, 2)
    rig.task = asyncio.create_task(rig.delivery.run())
    await asyncio.wait_for(rig.delivery.drained(), FAR)
    assert sorted(rig.sent) == [2, 3, 9]
    rig.task.cancel()


async def test_what_is_recorded_in_the_thread_does_not_change_under_it() -> None:
    """The loop goes on while the thread writes: a window that overflows then must not be released."""

    rig = Rig()
    save, seen = rig.save, []

    def overflow_meanwhile(progress: Progress) -> None:
        before = progress.encode()
        rig.append(30)
        seen.append(progress.encode() == before)
        save(progress)

    rig.save = overflow_meanwhile  # type: ignore[method-assign]
    rig.append(1)
    while not seen:
        await asyncio.sleep(0)
    rig.save = save  # type: ignore[method-assign]
    assert seen[0]
    await rig.finish()


async def test_who_is_told_to_look_publishes_what_is_due_though_nothing_comes() -> None:
    rig = Rig()
    rig.append(1)
    await turns(20)
    before = rig.published
    await turns(20)
    assert rig.published == before, "it sleeps"
    rig.delivery.wake()
    await turns(20)
    assert rig.published > before
    await rig.finish()


def test_events_that_became_dead_letters_are_not_waited_for_any_more() -> None:
    counters = Counters()
    source = counters.of("demo")
    source.spooled = 5
    sent = DeliveryReport({"demo": [3, 300]}, {("demo", "MessageSizeTooLargeError"): 2})
    counters.record(sent.result(from_spool=True))
    assert (source.spooled, source.delivered["kafka"]) == (0, 3)
    assert source.dead_lettered == {"MessageSizeTooLargeError": 2}
