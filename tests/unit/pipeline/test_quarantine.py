"""The dead letters' files beside a sink: what is asked of the one is asked of both."""

from __future__ import annotations

import pytest

from ingestd.errors import SinkError
from ingestd.event import Batch
from ingestd.pipeline.counters import Counters
from ingestd.pipeline.quarantine import Quarantine
from ingestd.pipeline.sink import CommitResult
from tests.support.fakes import MemorySink
from tests.support.sinks_under_test import batch_of


async def test_both_are_rotated_ticked_and_told_of() -> None:
    sink, letters = MemorySink(), MemorySink()
    quarantine = Quarantine(sink, letters)
    await quarantine.tick()
    await quarantine.rotate()
    assert sink.calls == letters.calls == ["tick", "rotate"]
    assert quarantine.snapshot().status == {"memory": {"batches": 0}, "dead_letters": {"batches": 0}}
    assert quarantine.snapshot().error == ""
    letters.known_error = "no disk"
    assert quarantine.snapshot().error == "no disk"


@pytest.mark.parametrize("failing", [0, 1])
async def test_what_cannot_be_stored_in_one_is_not_stored(failing: int) -> None:
    sinks = MemorySink(), MemorySink()
    quarantine = Quarantine(*sinks)
    await quarantine.probe()
    sinks[failing].failing = "no space left"
    with pytest.raises(SinkError, match="no space left"):
        await quarantine.probe()


async def test_what_became_of_a_batch_is_what_its_sink_says_and_the_dead_letters() -> None:
    counters = Counters()
    batch = batch_of(1, 2, 3)
    batch.entries[1].dead_letter = "signature"
    counters.record(await Quarantine(MemorySink(), MemorySink()).commit(batch))
    source = counters.of("demo")
    assert (source.delivered, source.dead_lettered) == ({"memory": 2}, {"signature": 1})


async def test_a_batch_that_comes_again_comes_again_to_the_sink_as_the_same_batch() -> None:
    """By that a sink knows it: Kafka, where a send of it is still under way."""
    seen: list[Batch] = []

    class Recording(MemorySink):
        async def commit(self, batch: Batch) -> CommitResult:
            seen.append(batch)
            return await super().commit(batch)

    sink = Recording()
    quarantine = Quarantine(sink, MemorySink())
    batch, other = batch_of(1, 2), batch_of(3, 4)
    batch.entries[0].dead_letter = other.entries[0].dead_letter = "signature"
    sink.failing = "the spool is full"
    for one in (batch, batch, other):
        with pytest.raises(SinkError):
            await quarantine.commit(one)
    assert seen[0] is seen[1]
    assert seen[1] is not seen[2]
