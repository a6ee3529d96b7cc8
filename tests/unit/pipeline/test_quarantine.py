"""The dead letters' files beside a sink: what is asked of the one is asked of both."""

from __future__ import annotations

import pytest

from ingestd.errors import SinkError
from ingestd.pipeline.quarantine import Aside
from tests.support.fakes import MemorySink
from tests.support.sinks_under_test import batch_of


async def test_both_are_rotated_ticked_and_told_of() -> None:
    sink, letters = MemorySink(), MemorySink()
    aside = Aside(sink, letters)
    await aside.tick()
    await aside.rotate()
    assert sink.calls == letters.calls == ["tick", "rotate"]
    assert aside.status() == {"memory": {"batches": 0}, "dead_letters": {"batches": 0}}


@pytest.mark.parametrize("failing", [0, 1])
async def test_what_cannot_be_stored_in_one_is_not_stored(failing: int) -> None:
    sinks = MemorySink(), MemorySink()
    aside = Aside(*sinks)
    await aside.probe()
    sinks[failing].failing = "no space left"
    with pytest.raises(SinkError, match="no space left"):
        await aside.probe()


async def test_a_batch_is_delivered_only_where_the_sink_is_its_end() -> None:
    """To Kafka it is on its way, and is counted when it has arrived."""

    for final in (True, False):
        sink = MemorySink()
        sink.final = final
        batch = batch_of(1)
        await Aside(sink, MemorySink()).commit(batch)
        assert batch.entries[0].account.delivered == ({"memory": 1} if final else {})
