"""Sending to Kafka where it refuses, is silent, or has no room; the cluster is a stand-in."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiokafka.errors import (
    IllegalOperation,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    NotLeaderForPartitionError,
    ProducerClosed,
    UnknownTopicOrPartitionError,
)

from ingestd.errors import SinkError
from ingestd.kafka.manifest import PERIOD, KafkaManifest
from tests.support.event_files import event
from tests.support.kafka_manifest import Wall, rows_of
from tests.support.kafka_stand_in import Cluster, kafka_settings, manifest_topic_of, sender_of
from tests.support.loop import turns


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingestd.kafka.sender.RETRY_PAUSE", 0.01)


@pytest.mark.parametrize("transactional", [False, True])
@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MessageSizeTooLargeError(), "MessageSizeTooLargeError"),
        (NotLeaderForPartitionError(), "not confirmed"),
    ],
    ids=["refused", "not confirmed"],
)
async def test_rows_that_kafka_does_not_take_are_tried_again_later_and_counted(
    error: Exception, said: str, transactional: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """They are no dead letters, and their transaction is not committed."""

    cluster, wall = Cluster({"manifest": 1}), Wall()
    _, sender = sender_of(tmp_path, transactional=transactional)
    manifest = sender.manifest = KafkaManifest("manifest", "host/1", wall)
    manifest.add(rows_of(event(1, hours=-1)))
    cluster.writing = [error]
    with cluster.in_place():
        await manifest_topic_of(sender).publish()
        assert (manifest.failures, manifest.due(), cluster.values("manifest")) == (1, False, [])
        assert cluster.producers[0].closed
        assert "committed" not in cluster.producers[0].transactions
        wall.now += PERIOD
        assert manifest.due()
        await manifest_topic_of(sender).publish()
    assert [orjson.loads(value)["events"] for value in cluster.values("manifest")] == [1]
    assert (manifest.failures, manifest.due()) == (1, False)
    assert cluster.producers[1].transactions == (["begun", "committed"] if transactional else [])
    [record] = [one for one in caplog.records if one.message == "cannot write the manifest"]
    assert (record.__dict__["topic"], record.__dict__["error"]) == ("manifest", said)
    assert not (tmp_path / "dead").exists()


async def test_a_full_queue_is_waited_for_and_not_sent_anew(tmp_path: Path) -> None:
    cluster = Cluster({"clicks": 1})
    cluster.queueing = [KafkaTimeoutError(), KafkaTimeoutError()]
    _, sender = sender_of(tmp_path)
    with cluster.in_place():
        sent = await sender.send([event(1), event(2)])
    assert cluster.queued == 3
    assert len(cluster.producers) == 1, "the one before it is still on its way: it is not given up"
    assert sent.delivered == {"demo": [2, len(event(1) + event(2))]}
    assert len(cluster.values("clicks")) == 2


async def test_a_full_queue_is_not_waited_for_past_new_settings(tmp_path: Path) -> None:
    """The old password may be why nothing leaves."""

    cluster = Cluster({"clicks": 1})
    client, sender = sender_of(tmp_path)
    with cluster.in_place():
        producer = await client.producer()

        def renew() -> KafkaTimeoutError:
            client.renew(kafka_settings(tmp_path, bootstrap="127.0.0.1:2"))
            return KafkaTimeoutError()

        queue = producer.send_batch

        async def full(*arguments: Any, **keys: Any) -> Any:
            cluster.queueing = [renew()]
            return await queue(*arguments, **keys)

        producer.send_batch = full
        sent = await sender.send([event(1)])
    assert [one.closed for one in cluster.producers] == [True, False]
    assert cluster.producers[1].options["bootstrap_servers"] == ["127.0.0.1:2"]
    assert (sent.delivered["demo"][0], sent.dead) == (1, {})
    assert len(cluster.values("clicks")) == 1


@pytest.mark.parametrize(
    "error",
    [UnknownTopicOrPartitionError(), ProducerClosed(), IllegalOperation("no transaction"), AssertionError()],
    ids=lambda error: type(error).__name__,
)
async def test_what_cannot_be_queued_goes_again_by_another_producer(error: Exception, tmp_path: Path) -> None:
    """An unknown topic is no reason for a dead letter: that is said as well where nobody answers."""

    cluster = Cluster({"clicks": 1})
    cluster.queueing = [error]
    _, sender = sender_of(tmp_path)
    with cluster.in_place():
        sent = await sender.send([event(1)])
    assert (sent.delivered["demo"][0], sent.dead) == (1, {})
    assert [one.closed for one in cluster.producers] == [True, False]
    assert len(cluster.values("clicks")) == 1


async def test_a_topic_deleted_with_its_batch_under_way_makes_dead_letters_and_the_others_arrive(
    tmp_path: Path,
) -> None:
    """And nothing is left that the loop complains of."""

    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    cluster = Cluster({"clicks": 1, "lost": 1})
    _, sender = sender_of(tmp_path)
    sender.topics._own["ocean"] = "lost"
    cluster.open.clear()
    with cluster.in_place():
        sending = asyncio.create_task(sender.send([event(1), event(2, "ocean")]))
        while cluster.queued < 2:
            await asyncio.sleep(0)
        del cluster.topics["lost"]
        await asyncio.sleep(0.1)
        assert not sending.done(), "the other is waited for"
        cluster.open.set()
        sent = await sending
    assert sent.dead == {("ocean", "UnknownTopicOrPartitionError"): 1}
    assert sent.delivered == {"demo": [1, len(event(1))]}
    assert cluster.values("clicks") == [event(1)[:-1]]
    del cluster, sending
    gc.collect()
    await turns()
    assert complaints == []
    [path] = (tmp_path / "dead").iterdir()
    letter = orjson.loads(path.read_bytes())
    assert (letter["topic"], letter["event"]) == ("lost", orjson.loads(event(2, "ocean")))


async def test_a_topic_nobody_answers_for_is_given_up_for_new_settings_and_sent_again(tmp_path: Path) -> None:
    """Without them it is asked for as long as it takes."""

    cluster = Cluster({"clicks": 1})
    cluster.answers = False
    client, sender = sender_of(tmp_path)
    with cluster.in_place():
        sending = asyncio.create_task(sender.send([event(1)]))
        await asyncio.sleep(0.05)
        assert not sending.done()
        client.renew(kafka_settings(tmp_path))
        with pytest.raises(SinkError, match="topic clicks: no answer; retrying with new settings"):
            await sending
        assert sender.waiting_since is None
        cluster.answers = True
        sent = await sender.send([event(1)])
    assert (sent.delivered["demo"][0], sent.dead) == (1, {})
    assert [one.closed for one in cluster.producers] == [True, False]
