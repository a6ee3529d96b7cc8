"""What every sink promises (pipeline/sink.py), held against each kind of it (sinks_under_test.SUBJECTS)."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from ingestd.admin import metrics
from ingestd.errors import SinkError
from ingestd.event import Batch
from ingestd.pipeline.counters import Counters
from ingestd.pipeline.sink import Sink
from tests.support.fakes import event_line
from tests.support.sinks_under_test import SUBJECTS, Subject, batch_of, subject

# Every name in a table of metrics.py.
DECLARED = {name for table in vars(metrics).values() if isinstance(table, dict) for name in table}


@pytest.fixture(params=list(SUBJECTS))
def kind(request: pytest.FixtureRequest) -> Subject:
    return subject(request.param)


def lines(*numbers: int, size: int = 200) -> bytes:
    return b"".join(event_line(number, size) for number in numbers)


async def opened(kind: Subject, directory: Path) -> Sink:
    sink = kind.make(directory)
    await sink.open()
    return sink


async def why_not(sink: Sink, batch: Batch | None = None) -> str:
    """Why a commit (or a probe) fails."""
    with pytest.raises(SinkError) as caught:
        await (sink.probe() if batch is None else sink.commit(batch))
    return str(caught.value)


async def test_what_was_committed_is_said_to_be_delivered(kind: Subject, tmp_path: Path) -> None:
    counters = Counters()
    sink = kind.make(tmp_path, counters.record)
    await sink.open()
    for numbers in ((0,), (1, 2)):
        counters.record(await sink.commit(batch_of(*numbers)))
    with kind.broken(), pytest.raises(SinkError):
        await sink.commit(batch_of(3))
    await sink.close()
    [source] = counters.by_source.values()
    assert source.delivered == dict.fromkeys(kind.delivers_to, 3)
    assert source.delivered_bytes == dict.fromkeys(kind.delivers_to, len(lines(0, 1, 2)))


async def test_what_was_committed_is_stored_in_its_order_and_once(kind: Subject, tmp_path: Path) -> None:
    sink = await opened(kind, tmp_path)
    for number in range(0, 30, 3):
        await sink.commit(batch_of(number, number + 1, number + 2))
    await sink.close()
    assert kind.stored(tmp_path) == lines(*range(30))


async def test_a_commit_is_durable_when_it_returns(kind: Subject, tmp_path: Path) -> None:
    sink = await opened(kind, tmp_path)
    for number in range(5):
        await sink.commit(batch_of(number))
        assert kind.stored(tmp_path) == lines(*range(number + 1))
    await sink.close()


async def test_rotations_and_ticks_between_commits_lose_nothing(kind: Subject, tmp_path: Path) -> None:
    sink = await opened(kind, tmp_path)
    await sink.rotate()  # of nothing
    for number in range(12):
        await sink.commit(batch_of(number))
        if number % 2:
            await sink.rotate()
        if number % 3 == 0:
            await sink.tick()
            await sink.rotate()
            await sink.rotate()
        assert kind.stored(tmp_path) == lines(*range(number + 1))
    await sink.close()
    assert kind.stored(tmp_path) == lines(*range(12))


async def test_a_large_batch_goes_through_whole(kind: Subject, tmp_path: Path) -> None:
    sink = await opened(kind, tmp_path)
    await sink.commit(batch_of(*range(3000), size=3000))
    await sink.close()
    assert kind.stored(tmp_path) == lines(*range(3000), size=3000)


async def test_a_sink_that_is_opened_again_keeps_what_was_stored(kind: Subject, tmp_path: Path) -> None:
    for number in range(3):
        sink = await opened(kind, tmp_path)
        await sink.commit(batch_of(number))
        await sink.close()
    assert kind.stored(tmp_path) == lines(0, 1, 2)


async def test_a_sink_that_stored_nothing_leaves_nothing(kind: Subject, tmp_path: Path) -> None:
    sink = await opened(kind, tmp_path)
    await sink.tick()
    await sink.rotate()
    await sink.close()
    assert kind.stored(tmp_path) == b""
    assert list(tmp_path.iterdir()) == []


async def test_a_commit_that_fails_raises_and_nothing_of_it_counts(kind: Subject, tmp_path: Path) -> None:
    sink = await opened(kind, tmp_path)
    await sink.commit(batch_of(0))
    with kind.broken():
        assert await why_not(sink, batch_of(1, 2))
    assert kind.stored(tmp_path) == lines(0)
    await sink.probe()
    await sink.commit(batch_of(3))
    await sink.close()
    assert kind.stored(tmp_path) == lines(0, 3)


async def test_a_probe_raises_as_long_as_nothing_can_be_stored(kind: Subject, tmp_path: Path) -> None:
    sink = await opened(kind, tmp_path)
    await sink.commit(batch_of(0))
    with kind.broken():
        await why_not(sink, batch_of(1))
        for _ in range(3):
            assert await why_not(sink)
    await sink.probe()
    await sink.probe()  # a probe of a sink that is well does no harm
    await sink.commit(batch_of(2))
    await sink.close()
    assert kind.stored(tmp_path) == lines(0, 2)


async def test_the_reason_of_a_failure_is_in_words(kind: Subject, tmp_path: Path) -> None:
    sink = await opened(kind, tmp_path)
    with kind.broken():
        reason = await why_not(sink, batch_of(0))
    await sink.close()
    assert "no space left" in reason.lower()


async def test_many_failures_leave_nothing_behind(kind: Subject, tmp_path: Path) -> None:
    sink = await opened(kind, tmp_path)
    for number in range(0, 20, 2):
        await sink.commit(batch_of(number))
        with kind.broken():
            await why_not(sink, batch_of(number + 1))
            await why_not(sink)
        await sink.probe()
    await sink.close()
    assert kind.stored(tmp_path) == lines(*range(0, 20, 2))
    assert not [path.name for path in tmp_path.iterdir() if path.name.endswith((".open", ".tmp", ".bad"))]


async def test_a_sink_that_cannot_store_does_not_open(kind: Subject, tmp_path: Path) -> None:
    sink = kind.make(tmp_path)
    with kind.broken(), pytest.raises(SinkError):
        await sink.open()


async def test_a_sink_says_how_it_is(kind: Subject, tmp_path: Path) -> None:
    sink = await opened(kind, tmp_path)
    for _ in range(2):
        error, numbers, status = sink.snapshot()
        orjson.dumps(status)
        assert status
        assert set(numbers) <= DECLARED
        assert error == ""
        await sink.commit(batch_of(0))
    assert sink.name
    await sink.close()
