"""The Kafka sink at its turns: a send that comes late, a spool without room, the manifest's rows in time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiokafka.errors import IllegalOperation, NotLeaderForPartitionError

from ingestd.config.kafka import SpoolConfig
from ingestd.config.sections import Config, IngestConfig
from ingestd.config.source import SourceConfig
from ingestd.errors import SinkError
from ingestd.event import Batch
from ingestd.kafka.direct import DirectKafkaSink
from ingestd.kafka.factory import kafka_sink
from ingestd.kafka.manifest import PERIOD
from ingestd.pipeline.counters import Counters
from ingestd.spool.spool import Spool, SpoolFullError
from tests.support.event_files import event
from tests.support.fakes import FakeEntry
from tests.support.kafka_manifest import Wall
from tests.support.kafka_stand_in import Cluster, kafka_settings
from tests.support.loop import turns
from tests.support.waiting import FAR


class Rig:
    """A sink before a cluster that is a stand-in; the manifest's time is the test's."""

    def __init__(self, directory: Path, *, acks: bool, spool: bool = True, **keys: Any) -> None:
        self.cluster = Cluster({"clicks": 1, "manifest": 1, "checkpoint": 1})
        self.counters = Counters()
        self.demo = self.counters.of("demo")
        self.wall = Wall()
        self.progress = directory / "spool" / "one.progress"
        kafka = kafka_settings(directory, manifest_topic="manifest", checkpoint_topic="checkpoint", **keys)
        config = Config(
            ingest=IngestConfig(instance="one", ack="stored" if acks else "queued"), kafka=kafka,
            spool=SpoolConfig(directory=directory / "spool", enabled=spool),
            source=(SourceConfig(name="demo", path="/c/demo"),),
        )  # fmt: skip
        self.sink = kafka_sink(config, self.counters.record, node="host/1", drain_timeout=5.0)
        self.sender = self.sink.sender
        self.spooling = self.sink.fallback if isinstance(self.sink, DirectKafkaSink) else self.sink
        self.spool = self.spooling.spool if self.spooling is not None else None
        assert self.sender.manifest is not None
        self.manifest = self.sender.manifest
        self.manifest._wall, self.manifest._next = self.wall, self.wall() + PERIOD

    def batch(self, *numbers: int) -> Batch:
        batch = Batch()
        batch.entries = [FakeEntry(event(number), self.demo) for number in numbers]
        batch.events, batch.bytes = len(numbers), len(batch.data())
        return batch

    async def commit(self, batch: Batch) -> None:
        """As the flusher does."""
        self.counters.record(await self.sink.commit(batch))

    async def delivered(self) -> None:
        """Wait until Kafka has all, and delivery waits for more: rows come due after that, not on the way."""
        assert self.spooling is not None
        delivery = self.spooling._delivery
        await until(lambda: not (self.demo.spooled or delivery.pending or delivery._arrived.is_set()))

    def arrived(self) -> list[bytes]:
        return [line + b"\n" for line in self.cluster.values("clicks")]

    def published(self) -> list[int]:
        return [orjson.loads(value)["events"] for value in self.cluster.values("manifest")]


@contextlib.asynccontextmanager
async def opened(directory: Path, **options: Any) -> AsyncIterator[Rig]:
    """A rig with an open, connected sink, closed at the end."""
    rig = Rig(directory, **options)
    with rig.cluster.in_place():
        await rig.sink.open()
        await until(lambda: not rig.sender.client.error)
        try:
            yield rig
        finally:
            await rig.sink.close()


async def until(reached: Callable[[], object]) -> None:
    async with asyncio.timeout(FAR):
        while not reached():
            await asyncio.sleep(0.005)


# a send that comes late


def full(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    def append(lines: object) -> None:
        raise SpoolFullError("the spool is full")

    monkeypatch.setattr(spool, "append", append)


async def test_what_the_spool_refuses_is_not_stored_and_goes_once_where_it_comes_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its send is under way: the flusher, which holds on to the batch, must not begin another."""

    async with opened(tmp_path, acks=False) as rig:
        assert rig.spool is not None
        rig.cluster.open.clear()
        batch = rig.batch(1, 2)
        with monkeypatch.context() as patch:
            full(rig.spool, patch)
            for _ in range(2):
                with pytest.raises(SinkError, match="the spool is full"):
                    await rig.commit(batch)
                assert (rig.demo.spooled, rig.spool.backlog_bytes) == (0, 0)
        rig.cluster.open.set()
        await rig.commit(batch)
        assert (rig.arrived(), rig.demo.delivered) == ([event(1), event(2)], {"kafka": 2})
        assert rig.demo.spooled == 0
        await rig.commit(rig.batch(3))
        assert rig.arrived() == [event(1), event(2), event(3)]


async def test_what_the_spool_refused_is_held_by_it_once_it_has_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path, acks=False) as rig:
        assert rig.spool is not None
        rig.cluster.open.clear()
        batch = rig.batch(1)
        with monkeypatch.context() as patch:
            full(rig.spool, patch)
            with pytest.raises(SinkError):
                await rig.commit(batch)
        await rig.commit(batch)
        assert (rig.demo.spooled, rig.arrived()) == (1, [])
        await rig.commit(rig.batch(2))
        rig.cluster.open.set()
        await rig.delivered()
        assert (rig.arrived(), rig.demo.delivered) == ([event(1), event(2)], {"kafka": 2})


async def test_what_the_spool_refused_and_nobody_brings_again_ends_with_another_or_the_sink(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = asyncio.all_tasks()
    async with opened(tmp_path, acks=False) as rig:
        assert rig.spool is not None
        full(rig.spool, monkeypatch)
        rig.cluster.open.clear()
        sends = []
        for number in (1, 2):
            with pytest.raises(SinkError):
                await rig.commit(rig.batch(number))
            assert isinstance(rig.sink, DirectKafkaSink)
            assert rig.sink._unstored is not None
            sends.append(rig.sink._unstored[1])
        assert [send.cancelled() for send in sends] == [True, False]
        assert not sends[1].done()
        rig.cluster.open.set()
        await rig.commit(rig.batch(3))
        assert rig.arrived()[-1] == event(3), "and is not taken for it"
        assert rig.demo.delivered == {"kafka": 1}
        rig.cluster.open.clear()
        with pytest.raises(SinkError):
            await rig.commit(rig.batch(4))
    await turns()
    assert asyncio.all_tasks() == before
    assert rig.demo.delivered == {"kafka": 1}


async def test_a_late_send_that_fails_is_delivered_from_the_spool(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here because its topic is gone, and its dead letters cannot be written."""
    monkeypatch.setattr("ingestd.kafka.delivery.RETRY_PAUSE", 0.01)

    async with opened(tmp_path, acks=False) as rig:
        (tmp_path / "dead").write_text("a file where the directory belongs")
        rig.cluster.open.clear()
        await rig.commit(rig.batch(1))
        assert (rig.demo.spooled, rig.arrived()) == (1, [])
        del rig.cluster.topics["clicks"]
        await until(lambda: "direct send failed, retrying from the spool" in caplog.messages)
        assert (rig.demo.spooled, rig.demo.dead_lettered) == (1, {}), "it is still to come"
        rig.cluster.topics["clicks"] = 1
        rig.cluster.open.set()
        await rig.delivered()
        assert (rig.arrived(), rig.demo.delivered) == ([event(1)], {"kafka": 1})
        await rig.commit(rig.batch(2))
        assert rig.arrived() == [event(1), event(2)]
    [record] = [one for one in caplog.records if one.message == "direct send failed, retrying from the spool"]
    assert "dead letters cannot be written" in record.__dict__["error"]


# the manifest's rows


async def test_a_tick_has_rows_published_that_come_due_while_nothing_comes(tmp_path: Path) -> None:
    """And they are on disk with the progress before they are in the topic."""

    async with opened(tmp_path, acks=True) as rig:
        await rig.commit(rig.batch(1, 2))
        await rig.delivered()
        rig.wall.now += PERIOD
        rig.progress.unlink(missing_ok=True)
        await asyncio.sleep(0.05)
        assert rig.published() == []
        rig.sender.client.error = "away"
        await rig.sink.tick()
        await asyncio.sleep(0.05)
        assert rig.published() == [], "nobody waits for a cluster that is away"
        rig.sender.client.error = ""
        await rig.sink.tick()
        await until(rig.published)
        assert rig.published() == [2]
        assert orjson.loads(rig.progress.read_bytes())["manifest"][0]["events"] == 2


async def test_without_a_spool_a_tick_publishes_what_is_due_once(tmp_path: Path) -> None:
    async with opened(tmp_path, acks=False, spool=False) as rig:
        await rig.commit(rig.batch(1))
        await rig.sink.tick()
        await turns()
        assert rig.published() == []
        rig.wall.now += PERIOD
        rig.cluster.open.clear()
        for _ in range(3):
            await rig.sink.tick()
            await turns()
        assert rig.cluster.queued == 2, "the events, and the row once, though it is still on its way"
        rig.cluster.open.set()
        await until(rig.published)
        await rig.commit(rig.batch(2))
        rig.wall.now += PERIOD
        await rig.sink.tick()
        await until(lambda: len(rig.published()) == 2)
        assert rig.published() == [1, 2]


@pytest.mark.parametrize(
    "error", [NotLeaderForPartitionError(), AssertionError("state"), IllegalOperation("no")]
)
async def test_rows_whose_transaction_fails_are_tried_again_later_by_another_producer(
    error: Exception, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """aiokafka asserts its state; delivery goes on."""

    async with opened(tmp_path, acks=True, delivery="exactly_once") as rig:
        await rig.commit(rig.batch(1))
        await rig.delivered()
        rig.wall.now += PERIOD
        rig.cluster.committing = [error]
        await rig.sink.tick()
        await until(lambda: rig.manifest.failures)
        assert rig.cluster.producers[0].closed
        assert rig.sink.snapshot().metrics["manifest_failures"] == 1
        assert not rig.manifest.due()
        await rig.commit(rig.batch(2))
        await rig.delivered()
        assert rig.arrived() == [event(1), event(2)]
        rig.wall.now += PERIOD
        await rig.sink.tick()
        await until(lambda: len(rig.published()) > 1)
        assert (rig.published()[-1], rig.manifest.failures) == (2, 1)
    [record] = [one for one in caplog.records if one.message == "cannot write the manifest"]
    assert record.__dict__["error"] == (str(error) or type(error).__name__)


async def test_the_last_rows_are_not_waited_for_beyond_their_time_and_go_at_the_next_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingestd.kafka.manifest_topic.LAST_ROWS", 0.05)

    async with opened(tmp_path, acks=True) as rig:
        await rig.commit(rig.batch(1))
        await rig.delivered()
        rig.cluster.open.clear()
    assert rig.published() == []
    assert "the manifest's last rows go to their topic at the next start" in caplog.messages
    async with opened(tmp_path, acks=True) as rig:
        pass
    assert rig.published() == [1]
