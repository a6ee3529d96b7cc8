"""The producer a client keeps: when it is another one, and what it is started with."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiokafka.errors import KafkaTimeoutError

from ingestd.errors import IngestdError
from ingestd.kafka.deadline import within
from ingestd.kafka.manifest import KafkaManifest
from ingestd.kafka.producer import connection_options
from tests.support.event_files import event
from tests.support.kafka_manifest import rows_of
from tests.support.kafka_stand_in import Cluster, kafka_settings, manifest_topic_of, sender_of
from tests.support.loop import turns
from tests.support.waiting import FAR


async def test_a_producer_that_has_sent_enough_is_renewed_before_the_next_send(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """aiokafka's sequence numbers are right for so many records, and no more."""
    monkeypatch.setattr("ingestd.kafka.producer.MAX_RECORDS", 3)

    cluster = Cluster({"clicks": 1})
    client, sender = sender_of(tmp_path)
    with cluster.in_place():
        for number in range(8):
            await sender.send([event(number)])
    assert [one.closed for one in cluster.producers] == [True, True, False]
    assert (client.connects, client.error) == (3, "")
    assert cluster.values("clicks") == [event(number)[:-1] for number in range(8)]


async def test_a_producer_that_has_sent_enough_commits_its_transaction_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one given up aiokafka says never that it is committed, and delivery would stand still."""
    monkeypatch.setattr("ingestd.kafka.producer.MAX_RECORDS", 1)

    cluster = Cluster({"manifest": 1})
    client, sender = sender_of(tmp_path, transactional=True)
    sender.manifest = KafkaManifest("manifest", "host/1")
    sender.manifest.add(rows_of(event(1)))
    with cluster.in_place():
        await asyncio.wait_for(manifest_topic_of(sender).publish(everything=True), FAR)
        assert cluster.producers[0].transactions == ["begun", "committed"]
        assert await client.fresh() is not cluster.producers[0]
    assert sender.manifest.records(all_of_it=True) == []


async def test_work_for_kafka_ends_with_its_own_error_and_is_given_up_for_new_settings(
    tmp_path: Path,
) -> None:
    client, _ = sender_of(tmp_path)
    work: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    waiting = asyncio.create_task(client.wait_for(work))
    await asyncio.sleep(0.1)
    assert not waiting.done(), "however long that takes"
    client.renew(kafka_settings(tmp_path))
    with pytest.raises(KafkaTimeoutError, match="given up for new settings"):
        await waiting
    assert work.cancelled()


async def test_a_cancellation_is_not_lost_in_a_bounded_wait_that_ends_at_that_moment() -> None:
    for error in (None, KafkaTimeoutError()):
        work: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = asyncio.create_task(within(work, FAR))
        await turns()
        if error is None:
            work.set_result(None)
        else:
            work.set_exception(error)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting


async def test_a_bounded_wait_ends_what_it_waits_for_and_raises_what_that_raises() -> None:
    for cancelled in (False, True):
        work: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = asyncio.create_task(within(work, FAR if cancelled else 0.01))
        await turns()
        if cancelled:
            waiting.cancel()
        with pytest.raises(asyncio.CancelledError if cancelled else TimeoutError):
            await waiting
        assert work.cancelled()
    work = asyncio.get_running_loop().create_future()
    work.set_exception(KafkaTimeoutError("no"))
    with pytest.raises(KafkaTimeoutError, match="no"):
        await within(work, FAR)
    assert await within(asyncio.sleep(0, "done"), FAR) == "done"


def test_the_secrets_are_read_when_a_producer_starts_and_errors_hold_none_of_them(tmp_path: Path) -> None:
    user, password = tmp_path / "user", tmp_path / "password"
    security = {"protocol": "SASL_PLAINTEXT", "username_file": user, "password_file": password}
    settings = kafka_settings(tmp_path, security=security)
    with pytest.raises(IngestdError, match=str(user)):
        connection_options(settings)
    user.write_text("ingestd\n")
    password.write_bytes(b"geheim\xff\n")
    for path in (user, password):
        path.chmod(0o600)
    with pytest.raises(IngestdError, match="not valid UTF-8") as raised:
        connection_options(settings)
    assert "geheim" not in str(raised.value)
    assert raised.value.__cause__ is None
    password.write_text("geheim\n")
    options = connection_options(settings)
    assert (options["sasl_plain_username"], options["sasl_plain_password"]) == ("ingestd", "geheim")
    assert options["sasl_mechanism"] == "SCRAM-SHA-512"
