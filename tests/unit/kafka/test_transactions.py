"""Rounds in transactions where a step fails; the cluster is a stand-in."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import IllegalOperation, NotLeaderForPartitionError, ProducerFenced

from ingestd.errors import SinkError
from ingestd.kafka.producer import Client
from ingestd.kafka.state import Progress
from ingestd.kafka.transactions import Transactions
from ingestd.spool.spool import Position
from tests.support.event_files import event
from tests.support.kafka_stand_in import Cluster, kafka_settings, sender_of

KNOWN = Progress([], Position(1, 7))
AFTER = Progress([], Position(1, 9))


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingestd.kafka.transactions.RETRY_PAUSE", 0.05)
    monkeypatch.setattr("ingestd.kafka.transactions.RIVAL_PAUSE", 0.0)


def made(directory: Path) -> tuple[Client, Transactions]:
    client, sender = sender_of(directory, transactional=True)
    settings = kafka_settings(directory, checkpoint_topic="checkpoint")
    return client, Transactions(sender, settings, "ingestd-host-1")


def committed(cluster: Cluster) -> list[Progress]:
    assert {topic for topic, _ in cluster.sent} <= {"checkpoint"}
    return [Progress.decode(value) for _, value in cluster.sent]


@pytest.mark.parametrize(
    "error", [ProducerFenced(), AssertionError(), IllegalOperation("no transaction")],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
@pytest.mark.parametrize("step", ["beginning", "committing"])
async def test_a_take_over_that_fails_gives_the_producer_up_and_can_be_tried_again(
    step: str, error: Exception, tmp_path: Path
) -> None:
    cluster = Cluster({"checkpoint": 1})
    client, transactions = made(tmp_path)
    getattr(cluster, step).append(error)
    with cluster.in_place():
        said = f"cannot commit the first transaction: {type(error).__name__}"
        with pytest.raises(SinkError, match=said) as raised:
            await transactions.take_over(KNOWN, "")
        assert raised.value.__cause__ is error
        assert (cluster.producers[0].closed, client.error) == (True, type(error).__name__)
        assert committed(cluster) == []
        assert await transactions.take_over(KNOWN, "") is KNOWN
    assert [one.closed for one in cluster.producers] == [True, False]
    assert [one.live for one in committed(cluster)] == [KNOWN.live]


async def test_a_take_over_without_its_topic_says_how_to_make_it(tmp_path: Path) -> None:
    cluster = Cluster({})
    _, transactions = made(tmp_path)
    with cluster.in_place(), pytest.raises(SinkError, match=r"create it with cleanup\.policy=compact"):
        await transactions.take_over(KNOWN, "")


async def test_a_round_is_given_up_with_its_transaction_where_new_settings_come(tmp_path: Path) -> None:
    """Nobody answers for its topic any more: the old settings may be why."""

    cluster = Cluster({"clicks": 1, "checkpoint": 1})
    client, transactions = made(tmp_path)
    with cluster.in_place():
        await transactions.take_over(KNOWN, "")
        [producer] = cluster.producers
        begin = producer.begin_transaction

        async def begin_and_fall_silent() -> None:
            await begin()
            cluster.answers = False
            client.renew(kafka_settings(tmp_path))

        producer.begin_transaction = begin_and_fall_silent  # type: ignore[method-assign]
        with pytest.raises(SinkError, match="retrying with new settings"):
            await transactions.send([event(1)], AFTER)
        assert producer.closed
        assert producer.transactions == ["begun", "committed", "begun"]
        assert client.error == "transaction abandoned"
        cluster.answers = True
        sent = await transactions.send([event(1)], AFTER)
    assert (sent.delivered["demo"][0], sent.dead) == (1, {})
    assert cluster.values("clicks") == [event(1)[:-1]]
    assert [one.live for one in committed(cluster)] == [KNOWN.live, AFTER.live]
    assert len(cluster.producers) == 2


async def test_what_is_not_confirmed_goes_again_in_another_transaction_after_a_pause(tmp_path: Path) -> None:
    cluster = Cluster({"clicks": 1, "checkpoint": 1})
    _, transactions = made(tmp_path)
    with cluster.in_place():
        await transactions.take_over(KNOWN, "")
        cluster.writing = [NotLeaderForPartitionError()] * 2
        loop = asyncio.get_running_loop()
        began = loop.time()
        sent = await transactions.send([event(1), event(2)], AFTER)
        assert loop.time() - began >= 2 * 0.05
    assert sent.delivered == {"demo": [2, len(event(1) + event(2))]}
    assert [one.closed for one in cluster.producers] == [True, True, False]
    assert cluster.producers[2].transactions == ["begun", "committed"]
    assert [one.live for one in committed(cluster)] == [KNOWN.live, AFTER.live]


@pytest.mark.parametrize("last", [AFTER, KNOWN], ids=["committed", "not committed"])
async def test_a_commit_of_unknown_outcome_is_looked_up_before_anything_goes_again(
    last: Progress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster({"clicks": 1, "checkpoint": 1})
    _, transactions = made(tmp_path)
    with cluster.in_place():
        await transactions.take_over(KNOWN, "")
        assert transactions._checkpoint._place == TopicPartition("checkpoint", 0)

        async def newest() -> bytes:
            return last.encode()

        monkeypatch.setattr(transactions._checkpoint, "newest", newest)
        cluster.committing = [IllegalOperation("no transaction")]
        sent = await transactions.send([event(1)], AFTER)
    assert sent.delivered["demo"][0] == 1
    assert len(cluster.values("clicks")) == (1 if last is AFTER else 2), "sent again only where it was not"
