"""SASL and TLS listeners of the real broker: who may come in, who may not, and a password that changes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError
from aiokafka.helpers import create_ssl_context

from tests.support.kafka.broker import KafkaBroker
from tests.support.kafka.fixtures import real_broker
from tests.support.kafka.producing import deliver, numbers, producing
from tests.support.kafka.tls import TestCa

pytestmark = pytest.mark.kafka


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    users = {"alice": "first", "bob": "first"}
    with real_broker(tmp_path_factory.mktemp("secured"), sasl=True, tls=True, users=users) as broker:
        yield broker


@pytest.fixture
def guarded_topic(secured: KafkaBroker, topic_name: str) -> str:
    return secured.create_topic(topic_name)


def _produce(broker: KafkaBroker, listener: str, topic: str, ca: TestCa | None, **sasl: Any) -> None:
    """Produce one record, or raise KafkaConnectionError."""
    options = {f"sasl_{name}": value for name, value in sasl.items()}
    if ca is not None:
        options["ssl_context"] = create_ssl_context(cafile=str(ca.ca_file))

    async def run() -> None:
        async with producing(broker.address(listener), security_protocol=listener, **options) as producer:
            await deliver(producer, topic, [1])

    asyncio.run(run())


def _user(name: str, password: str, mechanism: str = "PLAIN") -> dict[str, str]:
    return {"mechanism": mechanism, "plain_username": name, "plain_password": password}


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
@pytest.mark.parametrize("listener", ["SASL_PLAINTEXT", "SASL_SSL"])
def test_a_user_comes_in_by_each_mechanism(
    secured: KafkaBroker, guarded_topic: str, listener: str, mechanism: str
) -> None:
    ca = secured.ca if listener == "SASL_SSL" else None
    _produce(secured, listener, guarded_topic, ca, **_user("alice", "first", mechanism))
    assert numbers(secured.consume_all(guarded_topic)) == [1]
    with pytest.raises(KafkaConnectionError):
        _produce(secured, listener, guarded_topic, ca, **_user("alice", "wrong", mechanism))


def test_tls_needs_the_right_authority(secured: KafkaBroker, guarded_topic: str, tmp_path: Path) -> None:
    _produce(secured, "SSL", guarded_topic, secured.ca)
    assert numbers(secured.consume_all(guarded_topic)) == [1]
    with pytest.raises(KafkaConnectionError):
        _produce(secured, "SSL", guarded_topic, TestCa(tmp_path))


def test_a_password_changes_at_once_for_scram_and_by_restart_for_plain(
    secured: KafkaBroker, guarded_topic: str
) -> None:
    secured.set_password("bob", "second")
    scram_old, scram_new = _user("bob", "first", "SCRAM-SHA-512"), _user("bob", "second", "SCRAM-SHA-512")
    with pytest.raises(KafkaConnectionError):
        _produce(secured, "SASL_PLAINTEXT", guarded_topic, None, **scram_old)
    _produce(secured, "SASL_PLAINTEXT", guarded_topic, None, **scram_new)
    _produce(secured, "SASL_PLAINTEXT", guarded_topic, None, **_user("bob", "first"))
    secured.restart()
    with pytest.raises(KafkaConnectionError):
        _produce(secured, "SASL_PLAINTEXT", guarded_topic, None, **_user("bob", "first"))
    _produce(secured, "SASL_PLAINTEXT", guarded_topic, None, **_user("bob", "second"))
