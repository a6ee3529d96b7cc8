"""Delivery to the byte: what fits the window and a round, how long a round gathers, what is tried again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from ingestd.errors import SinkError
from ingestd.kafka import delivery
from ingestd.kafka.delivery import RETRY_PAUSE, count_sources
from ingestd.kafka.state import Progress
from ingestd.spool.spool import Position, Stored
from tests.support.kafka_delivery import Rig, payload
from tests.support.loop import turns
from tests.support.waiting import FAR

ONE = len(payload(0))
LINGER = 0.25


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the delivery sleeps, which takes no time."""
    slept: list[float] = []
    real: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def noted(pause: float) -> None:
        if pause:
            slept.append(pause)
        await real(0)

    monkeypatch.setattr(asyncio, "sleep", noted)
    return slept


async def test_it_begins_well_and_empty() -> None:
    rig = Rig()
    assert (rig.delivery.error, rig.delivery.pending, rig.delivery.progress.gaps) == ("", False, [])
    rig.task.cancel()


async def test_the_window_holds_what_it_may_and_not_a_byte_more() -> None:
    rig = Rig(window=4 * ONE)
    rig.append(4)
    assert rig.delivery.progress.gaps == []
    rig.append(1)
    assert rig.delivery.progress.gaps == [(Position(1, 0), Position(1, 5))]
    rig.append(3)
    rig.append(1)  # what overflowed is out of it
    assert rig.delivery.progress.gaps == [(Position(1, 0), Position(1, 5))]
    await rig.finish()


async def test_what_is_sent_is_out_of_the_window() -> None:
    rig = Rig(window=4 * ONE)
    for _ in range(10):
        rig.append(3)
        assert rig.delivery.progress.gaps == []
        await asyncio.wait_for(rig.delivery.drained(), FAR)
    await rig.finish()


@pytest.mark.parametrize(
    ("share", "rounds"), [(4 * ONE, [4, 4]), (3 * ONE + 1, [4, 4]), (3 * ONE, [3, 3, 2])]
)
async def test_a_round_ends_with_the_piece_that_fills_its_share(share: int, rounds: list[int]) -> None:
    rig = Rig(window=100 * ONE, share=share)
    for _ in range(8):
        rig.append(1)
    await rig.finish()
    assert [len(one) for one in rig.rounds] == rounds


@pytest.mark.parametrize(
    ("before", "fresh", "lingers"), [(0, 1, 1), (0, 3, 1), (0, 4, 0), (1, 1, 0)],
    ids=["few events", "fewer than a round", "a whole round", "a backlog"],
)  # fmt: skip
async def test_only_a_round_that_is_not_full_gathers_for_a_while(
    before: int, fresh: int, lingers: int, pauses: list[float]
) -> None:
    rig = Rig(before, window=100 * ONE, share=4 * ONE, linger=LINGER)
    rig.append(fresh)
    await rig.finish()
    assert pauses == [LINGER] * lingers


async def test_after_a_failure_it_pauses(pauses: list[float]) -> None:
    rig = Rig()
    rig.failing = 2
    rig.append(1)
    await rig.finish()
    assert pauses == [RETRY_PAUSE] * 2


async def test_every_round_publishes_what_is_due_though_another_follows() -> None:
    rig = Rig(before=40)
    await rig.finish()
    assert rig.published >= len(rig.rounds) > 5


async def test_what_is_saved_is_what_is_released() -> None:
    rig = Rig()
    rig.append(2)
    await rig.finish()
    assert rig.saved == Progress([], rig.spool.end).encode()


async def test_a_gap_of_which_nothing_can_be_read_is_done() -> None:
    """It lies behind the end of a spool that was wiped since; else it would be tried for ever."""

    rig = Rig(before=3)

    def nothing(position: Position, max_bytes: int) -> tuple[list[Stored], Position]:
        return [], position

    rig.spool.read = nothing  # type: ignore[method-assign]
    await asyncio.wait_for(rig.delivery.drained(), FAR)
    assert (rig.sent, rig.delivery.progress.gaps) == ([], [])
    rig.task.cancel()


async def test_what_arrived_by_another_way_is_released_though_the_disk_refuses_it_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(delivery, "RETRY_PAUSE", 0.01)

    rig = Rig()
    await turns()
    release = rig.spool.release

    def refuse_once(position: Position) -> None:
        rig.spool.release = release  # type: ignore[method-assign]
        raise SinkError("release: Input/output error")

    start = rig.spool.end
    end, _ = rig.spool.append(2)
    rig.delivery.hold(end)
    rig.spool.release = refuse_once  # type: ignore[method-assign]
    rig.delivery.release((start, end))
    await asyncio.wait_for(rig.delivery.drained(), FAR)
    assert (rig.spool.released, rig.sent) == (end, [])
    rig.task.cancel()


def test_events_are_counted_by_source_and_what_a_record_has_beside_them_is_none() -> None:
    assert count_sources([payload(1) + b'#{"k":null}\n' + payload(2), payload(3)]) == {"demo": 3}
