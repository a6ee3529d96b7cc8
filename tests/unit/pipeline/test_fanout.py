"""Two sinks as one: what one has is stored; one that fails or hangs is left out, and takes part again."""

from __future__ import annotations

import asyncio

import pytest

from ingestd.errors import SinkError
from ingestd.event import Batch
from ingestd.pipeline.counters import Counters
from ingestd.pipeline.fanout import PROBE_PERIOD, Fanout
from ingestd.pipeline.sink import CommitResult, Snapshot
from tests.support.fakes import FakeEntry, MemorySink
from tests.support.loop import turns
from tests.support.waiting import FAR


class Named(MemorySink):
    """A memory sink with a name and a number."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def snapshot(self) -> Snapshot:
        return super().snapshot()._replace(metrics={f"{self.name}_number": 1.0})


class Spooling(Named):
    """... that only puts events on their way."""

    async def commit(self, batch: Batch) -> CommitResult:
        await super().commit(batch)
        return CommitResult(spooled={"demo": batch.events})


class Rig:
    def __init__(self) -> None:
        self.file, self.kafka = Named("file"), Spooling("kafka")
        self.seconds = 0.0
        self.counters = Counters()
        self.demo = self.counters.of("demo")
        self.fanout = Fanout([self.file, self.kafka], 0.05, self.counters.record, lambda: self.seconds)

    def batch(self, data: bytes = b"event\n") -> Batch:
        batch = Batch()
        batch.entries = [FakeEntry(data, self.demo)]
        batch.events, batch.bytes = 1, len(data)
        return batch

    async def commit(self, data: bytes = b"event\n") -> None:
        result = await asyncio.wait_for(self.fanout.commit(self.batch(data)), FAR)
        assert result == CommitResult(), "or it would be counted twice"

    def missed(self, name: str) -> float:
        return self.fanout.snapshot().metrics[f"{name}_missed_events"]


async def test_an_error_known_beforehand_is_one_only_where_every_sink_has_it() -> None:
    """With one sink that stores, events are taken."""
    rig = Rig()
    assert rig.fanout.snapshot().error == ""
    rig.kafka.known_error = "another process delivers"
    assert rig.fanout.snapshot().error == ""
    rig.file.known_error = "no disk"
    assert rig.fanout.snapshot().error == "no disk; another process delivers"


async def test_a_batch_goes_to_both_and_what_became_of_it_in_each_is_counted() -> None:
    rig = Rig()
    await rig.fanout.open()
    await rig.commit(b"one\n")
    assert rig.file.batches == rig.kafka.batches == [b"one\n"]
    assert (rig.demo.delivered, rig.demo.spooled) == ({"file": 1}, 1)
    assert (rig.missed("file"), rig.missed("kafka")) == (0, 0)


@pytest.mark.parametrize("dead", ["file", "kafka"])
async def test_one_that_fails_is_left_out_counted_and_taken_back(dead: str) -> None:
    rig = Rig()
    broken, whole = (rig.file, rig.kafka) if dead == "file" else (rig.kafka, rig.file)
    broken.failing = "disk full"
    await rig.commit(b"1\n")
    await rig.commit(b"2\n")
    assert broken.started == 1, "left out, not tried with every batch"
    assert rig.fanout.snapshot().status[dead]["excluded_because"] == "disk full"
    broken.failing = ""
    await rig.commit(b"3\n")
    assert broken.started == 1, "not before its time"
    rig.seconds += PROBE_PERIOD
    await rig.commit(b"4\n")
    assert broken.batches == [b"4\n"]
    assert whole.batches == [b"1\n", b"2\n", b"3\n", b"4\n"]
    assert rig.missed(dead) == 3
    assert rig.fanout.snapshot().status[dead]["excluded_because"] == ""


async def test_one_that_still_fails_when_it_is_tried_is_left_alone_for_as_long_again() -> None:
    rig = Rig()
    rig.kafka.failing = "spool full"
    await rig.commit()
    rig.seconds += PROBE_PERIOD
    rig.kafka.failing = "disk gone"
    for _ in range(3):
        await rig.commit()
    assert rig.kafka.probes == 1
    assert rig.fanout.snapshot().status["kafka"]["excluded_because"] == "disk gone"


async def test_what_was_stored_before_is_not_missed_with_what_fails() -> None:
    rig = Rig()
    await rig.commit()
    rig.kafka.failing = "spool full"
    await rig.commit()
    assert rig.missed("kafka") == 1


async def test_one_that_hangs_costs_one_wait_and_is_not_given_a_second_batch() -> None:
    rig = Rig()
    rig.kafka.gate.clear()
    await rig.commit(b"1\n")
    rig.seconds += PROBE_PERIOD
    loop = asyncio.get_running_loop()
    began = loop.time()
    for _ in range(20):
        await rig.commit(b"2\n")
    assert loop.time() - began < 0.05, "the others do not wait for it again"
    assert rig.kafka.started == 1
    rig.kafka.gate.set()
    await turns()
    await rig.commit(b"3\n")
    assert rig.kafka.batches == [b"1\n", b"3\n"]
    assert not rig.kafka.overlapped
    assert rig.missed("kafka") == 20, "what came late is not missed"
    assert (rig.demo.delivered, rig.demo.spooled) == ({"file": 22}, 2)


async def test_one_that_hangs_and_then_fails_has_missed_the_batch() -> None:
    rig = Rig()
    rig.kafka.gate.clear()
    rig.kafka.failing = "spool full"
    await rig.commit(b"1\n")
    assert rig.missed("kafka") == 0
    await rig.commit(b"2\n")
    rig.kafka.gate.set()
    await turns()
    assert rig.missed("kafka") == 2


async def test_a_bug_in_one_is_not_taken_for_success() -> None:
    rig = Rig()
    rig.file.failing = "disk full"

    async def commit(batch: Batch) -> CommitResult:
        raise ZeroDivisionError

    rig.kafka.commit = commit  # type: ignore[method-assign]
    with pytest.raises(SinkError, match="disk full; kafka: ZeroDivisionError"):
        await rig.commit()


async def test_a_bug_in_one_is_logged_and_its_events_are_missed_there(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rig = Rig()

    async def commit(batch: Batch) -> CommitResult:
        raise ValueError("a payload that quotes a secret")

    rig.kafka.commit = commit  # type: ignore[method-assign]
    await rig.commit()
    assert (rig.missed("file"), rig.missed("kafka")) == (0, 1)
    [record] = caplog.records[-1:]
    assert record.exc_info is not None
    assert "secret" not in rig.fanout.snapshot().status["kafka"]["excluded_because"]
    rig.seconds += PROBE_PERIOD
    await rig.fanout.tick()
    assert rig.fanout.snapshot().status["kafka"]["excluded_because"] == ""


async def test_a_bug_in_a_probe_keeps_only_its_sink_out() -> None:
    rig = Rig()
    rig.kafka.failing = "spool full"
    await rig.commit()

    async def probe() -> None:
        raise ZeroDivisionError

    rig.kafka.probe = probe  # type: ignore[method-assign]
    rig.seconds += PROBE_PERIOD
    await rig.commit(b"2\n")
    assert rig.missed("kafka") == 2


async def test_none_stored_is_an_error_that_names_both() -> None:
    rig = Rig()
    rig.file.failing, rig.kafka.failing = "disk full", "spool full"
    with pytest.raises(SinkError, match="file: disk full; kafka: spool full"):
        await rig.commit()
    with pytest.raises(SinkError, match="disk full"):
        await rig.fanout.probe()
    rig.file.failing = ""
    await rig.fanout.probe()
    await rig.commit(b"again\n")
    assert rig.file.batches == [b"again\n"]


async def test_a_batch_that_nobody_stored_is_not_counted_as_missed() -> None:
    """It is refused, or tried again: then it is counted where it belongs."""

    rig = Rig()
    rig.file.failing = rig.kafka.failing = "full"
    with pytest.raises(SinkError):
        await rig.commit()
    assert (rig.missed("file"), rig.missed("kafka")) == (0, 0)


async def test_every_sink_is_closed_though_one_fails() -> None:
    rig = Rig()

    async def fail() -> None:
        raise SinkError("cannot finish")

    rig.file.close = fail  # type: ignore[method-assign]
    with pytest.raises(SinkError, match="cannot finish"):
        await rig.fanout.close()
    assert rig.kafka.calls == ["close"]


async def test_its_numbers_are_those_of_its_sinks_and_it_counts_nothing_as_its_own() -> None:
    rig = Rig()
    rig.kafka.failing = "spool full"
    await rig.commit()
    assert rig.fanout.name == "fanout"
    assert rig.fanout.snapshot().status == {
        "file": {"batches": 1, "excluded_because": "", "missed_events": 0},
        "kafka": {"batches": 0, "excluded_because": "spool full", "missed_events": 1},
    }
    assert rig.fanout.snapshot().metrics == {
        "file_number": 1.0, "kafka_number": 1.0, "file_missed_events": 0, "kafka_missed_events": 1,
    }  # fmt: skip


@pytest.mark.parametrize("broken", ["file", "kafka"])
async def test_it_does_not_open_where_one_of_them_does_not(broken: str) -> None:
    rig = Rig()
    (rig.file if broken == "file" else rig.kafka).failing = "no"
    with pytest.raises(SinkError, match="no"):
        await rig.fanout.open()


async def test_ticks_and_rotations_go_to_all_but_those_left_out_and_a_tick_takes_them_back() -> None:
    rig = Rig()
    rig.kafka.failing = "spool full"
    await rig.commit()
    await rig.fanout.tick()
    await rig.fanout.rotate()
    assert (rig.file.calls, rig.kafka.calls) == (["tick", "rotate"], [])
    rig.kafka.failing = ""
    rig.seconds += PROBE_PERIOD
    await rig.fanout.tick()
    await rig.fanout.rotate()
    assert rig.kafka.calls == ["tick", "rotate"]
    assert rig.fanout.snapshot().status["kafka"]["excluded_because"] == ""


async def test_one_that_fails_to_close_does_not_cut_short_another_that_takes_its_time() -> None:
    rig = Rig()
    closed: list[str] = []

    async def fail() -> None:
        raise SinkError("cannot finish")

    async def slow() -> None:
        await turns()
        closed.append("kafka")

    rig.file.close = fail  # type: ignore[method-assign]
    rig.kafka.close = slow  # type: ignore[method-assign]
    with pytest.raises(SinkError, match="cannot finish"):
        await rig.fanout.close()
    assert closed == ["kafka"]


async def test_that_one_is_left_out_is_said_once_and_that_it_is_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level("WARNING"):
        rig = Rig()
        rig.kafka.failing = "spool full"
        for _ in range(3):
            await rig.commit()
            rig.seconds += PROBE_PERIOD
        rig.kafka.failing = ""
        await rig.commit()
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
