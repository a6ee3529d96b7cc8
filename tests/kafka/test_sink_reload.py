"""New credentials, another CA and other topics by HUP, under load: nothing is lost and nobody restarts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from shutil import copyfile

import pytest

from tests.support.kafka.broker import KafkaBroker
from tests.support.kafka.daemon import KafkaDaemon, assert_accounts_balance, make_topics, once_by_id
from tests.support.kafka.fixtures import real_broker
from tests.support.kafka.tls import TestCa
from tests.support.load import Load
from tests.support.oracle import Ledger, Oracle
from tests.support.place import open_place
from tests.support.waiting import until
from tests.support.wire import ask, request

pytestmark = pytest.mark.kafka


@pytest.fixture
def place() -> Iterator[Path]:
    with open_place() as path:
        yield path


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    workdir = tmp_path_factory.mktemp("rolling")
    with real_broker(workdir, sasl=True, tls=True, users={"alice": "first"}) as broker:
        yield broker


def secured_daemon(place: Path, kafka: KafkaBroker, topic: str, mechanism: str) -> KafkaDaemon:
    assert kafka.ca is not None
    (place / "user").write_text("alice\n")
    (place / "password").write_text("first\n")
    copyfile(kafka.ca.ca_file, place / "ca.pem")
    security = {
        "protocol": "SASL_SSL", "mechanism": mechanism, "username_file": str(place / "user"),
        "password_file": str(place / "password"), "ca_file": str(place / "ca.pem"),
    }  # fmt: skip
    return KafkaDaemon(place, kafka.address("SASL_SSL"), kafka={"topic": topic, "security": security})


def assert_all_delivered(kafka: KafkaBroker, topics: Sequence[str], ledger: Ledger) -> None:
    records = [record for topic in topics for record in kafka.consume_all(topic)]
    values, _ = once_by_id(records)
    oracle = Oracle(ledger)
    oracle.read(values)
    assert oracle.verdict().problems() == []
    assert ledger.refused == 0


def reload(daemon: KafkaDaemon, said: str = "configuration reloaded") -> None:
    before = daemon.log().count(said)
    daemon.signal_reload()
    until(lambda: daemon.log().count(said) > before, said)


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-512", "SCRAM-SHA-256"])
def test_a_changed_password_is_taken_up_by_hup(
    secured: KafkaBroker, topic_name: str, place: Path, mechanism: str
) -> None:
    secured.set_password("alice", "first")
    make_topics(secured, topic_name)
    ledger = Ledger()
    with secured_daemon(place, secured, topic_name, mechanism) as daemon:
        with Load(daemon.socket, ledger, connections=4, pace=0.01):
            ledger.wait_for_acks(100)
            daemon_connects = daemon.metrics()["kafka_connects_total"]
            secured.set_password("alice", "second")
            ledger.wait_for_acks(100)
            (place / "password").write_text("second\n")
            reload(daemon)
            until(lambda: daemon.metrics()["kafka_connects_total"] > daemon_connects, "a new connection")
            ledger.wait_for_acks(100)
        daemon.drained()
        assert_accounts_balance(daemon)
    assert_all_delivered(secured, [topic_name], ledger)


def test_a_password_changed_too_late_is_mended_by_hup_with_a_batch_in_flight(
    secured: KafkaBroker, topic_name: str, place: Path
) -> None:
    """The broker restarts, the old password is refused for ever; the round that waits gives up at HUP."""
    secured.set_password("alice", "first")
    make_topics(secured, topic_name)
    ledger = Ledger()
    with secured_daemon(place, secured, topic_name, "SCRAM-SHA-512") as daemon:
        with Load(daemon.socket, ledger, connections=4, pace=0.01):
            ledger.wait_for_acks(100)
            secured.set_password("alice", "second")
            secured.kill()
            ledger.wait_for_acks(100)
            secured.start()
            until(
                lambda: daemon.metrics()["kafka_waiting_seconds"] > 4, "the old password refused for a while"
            )
            (place / "password").write_text("second\n")
            reload(daemon)
            ledger.wait_for_acks(100)
        daemon.drained()
        assert_accounts_balance(daemon)
    assert_all_delivered(secured, [topic_name], ledger)


def test_another_ca_is_taken_up_by_hup(secured: KafkaBroker, topic_name: str, place: Path) -> None:
    """Clients get both CAs first, then the broker its new certificate: no moment without a connection."""
    assert secured.ca is not None
    secured.set_password("alice", "first")
    make_topics(secured, topic_name)
    new = TestCa(place / "new-ca")
    ledger = Ledger()
    with secured_daemon(place, secured, topic_name, "SCRAM-SHA-512") as daemon:
        with Load(daemon.socket, ledger, connections=4, pace=0.01):
            ledger.wait_for_acks(50)
            (place / "ca.pem").write_text(secured.ca.ca_file.read_text() + new.ca_file.read_text())
            reload(daemon)
            connects = daemon.metrics()["kafka_connects_total"]
            old = secured.ca.server_pem.read_text()
            secured.ca.server_pem.write_text(new.server_pem.read_text())
            try:
                secured.restart()
                ledger.wait_for_acks(50)
                copyfile(new.ca_file, place / "ca.pem")
                reload(daemon)
                until(lambda: daemon.metrics()["kafka_connects_total"] > connects, "a new connection")
                daemon.wait_delivering()
            finally:
                secured.ca.server_pem.write_text(old)
        daemon.drained()
        assert_accounts_balance(daemon)
    assert_all_delivered(secured, [topic_name], ledger)
    secured.restart()


def test_an_unreadable_secret_at_hup_changes_nothing(
    secured: KafkaBroker, topic_name: str, place: Path
) -> None:
    secured.set_password("alice", "first")
    make_topics(secured, topic_name)
    with secured_daemon(place, secured, topic_name, "SCRAM-SHA-512") as daemon:
        assert ask(daemon.socket, request("/c/demo?n=1")).status == 200
        daemon.drained()
        connects = daemon.metrics()["kafka_connects_total"]
        (place / "ca.pem").write_text("no certificate")
        reload(daemon, "configuration refused")
        assert daemon.metrics()["config_reload_failures_total"] == 1
        assert ask(daemon.socket, request("/c/demo?n=2")).status == 200
        daemon.drained()
        assert daemon.metrics()["kafka_connects_total"] == connects
    assert len(secured.consume_all(topic_name)) == 2


def test_topics_follow_a_reload(kafka: KafkaBroker, topic_name: str, place: Path) -> None:
    topics = [f"{topic_name}-{name}" for name in ("first", "second", "own")]
    make_topics(kafka, *topics)
    with KafkaDaemon(place, kafka.bootstrap, kafka={"topic": topics[0]}) as daemon:
        assert ask(daemon.socket, request("/c/demo?n=1")).status == 200
        daemon.drained()
        daemon.change(topic=topics[1])
        reload(daemon)
        assert ask(daemon.socket, request("/c/demo?n=2")).status == 200
        daemon.drained()
        daemon.configure(sources=[{"name": "demo", "path": "/c/demo", "topic": topics[2]}])
        reload(daemon)
        assert ask(daemon.socket, request("/c/demo?n=3")).status == 200
        daemon.drained()
        daemon.change(delivery="exactly_once")
        reload(daemon)
        assert "kafka.delivery" in daemon.log(), "what needs a restart is named"
    assert [len(kafka.consume_all(topic)) for topic in topics] == [1, 1, 1]
