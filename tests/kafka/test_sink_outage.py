"""Kafka away: events are taken, memory stays flat, the spool is bounded, the backlog holds nothing new up."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import orjson
import pytest

from tests.commands.outage import Outage
from tests.support.checks import assert_fresh_event_passes
from tests.support.daemon import Daemon
from tests.support.kafka.broker import KafkaBroker
from tests.support.kafka.daemon import KafkaDaemon, assert_accounts_balance, once_by_id
from tests.support.kafka.tmpfs import tmpfs
from tests.support.load import Load
from tests.support.oracle import Ledger, Oracle, Verdict
from tests.support.place import open_place
from tests.support.waiting import FAR, at_most, until
from tests.support.wire import ask, request

pytestmark = pytest.mark.kafka

MIB = 1 << 20


@pytest.fixture
def place() -> Iterator[Path]:
    with open_place() as path:
        yield path


def verdict(kafka: KafkaBroker, topic: str, ledger: Ledger) -> tuple[Verdict, int]:
    values, repeats = once_by_id(kafka.consume_all(topic))
    oracle = Oracle(ledger)
    oracle.read(values)
    return oracle.verdict(), repeats


def test_an_outage_under_load_costs_neither_memory_nor_replies_and_no_delay_afterwards(
    kafka: KafkaBroker, topic: str, place: Path
) -> None:
    outage = Outage(place, kafka, topic, rate=1500, window="1MiB")
    found = outage.run(seconds=8.0)
    assert found.problems == []
    assert found.refused == 0
    assert found.memory_growth < 24 * MIB, found
    assert found.spool_bytes > 4 * MIB, "the window has overflowed by far"
    assert found.oldest_age > 5
    assert 0 < found.seconds_to_full < float("inf")
    assert found.late_fresh < 1.0, found


def test_a_full_spool_refuses_and_takes_events_again_without_a_restart(
    kafka: KafkaBroker, topic: str, place: Path
) -> None:
    ledger = Ledger()
    kafka.kill()
    with KafkaDaemon(
        place, kafka.bootstrap, kafka={"topic": topic, "window_bytes": "64KiB"}, spool={"max_bytes": "8MiB"}
    ) as daemon:
        with Load(daemon.socket, ledger, connections=8):
            ledger.wait_for_status(503, 20)
            metrics = daemon.metrics()
            assert metrics["spool_disk_bytes"] <= metrics["spool_max_bytes"] == 8 * MIB
            ready = daemon.look("/readyz")
            assert (ready.status, b"full" in ready.body) == (503, True), ready
            kafka.start()
            ledger.wait_for_acks(300)
            until(lambda: daemon.look("/readyz").status == 200, "readiness")
        assert_fresh_event_passes(daemon.socket, ledger)
        daemon.drained()
        assert_accounts_balance(daemon)
        assert daemon.stop() == 0
    result, repeats = verdict(kafka, topic, ledger)
    assert (result.problems(), repeats) == ([], 0)


def test_term_with_kafka_away_ends_in_time_and_the_next_start_delivers(
    kafka: KafkaBroker, topic: str, place: Path
) -> None:
    ledger = Ledger()
    with KafkaDaemon(
        place, kafka.bootstrap, kafka={"topic": topic}, ingest={"drain_timeout": "4s"}
    ) as daemon:
        with Load(daemon.socket, ledger, connections=8):
            ledger.wait_for_acks(200)
            kafka.pause()
            ledger.wait_for_acks(500)
            began = time.monotonic()
            assert daemon.stop() == 0, "all that was answered is in the spool: nothing has failed"
            assert time.monotonic() - began < at_most(4)
        kafka.resume()
        daemon.start()
        daemon.drained()
        assert_accounts_balance(daemon)
        recovered = daemon.status()["sources"]["demo"]["recovered"]
    result, _ = verdict(kafka, topic, ledger)
    assert result.problems() == []
    assert recovered >= 500


@pytest.mark.parametrize("ack", ["stored", "queued"])
def test_term_while_a_late_send_is_under_way_ends(
    kafka: KafkaBroker, topic: str, place: Path, ack: str
) -> None:
    with KafkaDaemon(
        place, kafka.bootstrap, kafka={"topic": topic}, ingest={"ack": ack, "drain_timeout": "3s"},
        flush={"interval": "20ms"},
    ) as daemon:  # fmt: skip
        assert ask(daemon.socket, request("/c/demo?n=1")).status == 200
        daemon.drained()
        kafka.pause()
        assert ask(daemon.socket, request("/c/demo?n=2")).status == 200
        until(lambda: daemon.spooled() > 0, "the spool")
        assert daemon.stop() == 0
        kafka.resume()
        daemon.start()
        daemon.drained()
    values, _ = once_by_id(kafka.consume_all(topic))
    assert sorted(orjson.loads(value)["params"]["n"] for value in values) == ["1", "2"]


def test_a_start_without_kafka_takes_events_and_delivers_when_it_appears(
    kafka: KafkaBroker, topic: str, place: Path
) -> None:
    kafka.kill()
    with KafkaDaemon(place, kafka.bootstrap, kafka={"topic": topic}) as daemon:
        assert ask(daemon.socket, request("/c/demo?n=1")).status == 200
        assert daemon.look("/readyz").status == 200, "Kafka being away is no reason"
        assert daemon.metrics()["kafka_connected"] == 0
        assert "bootstrap" in daemon.kafka_status()["error"]
        kafka.start()
        daemon.drained()
        assert daemon.metrics()["kafka_connected"] == 1
        assert len(daemon.log().splitlines()) < 60, "an outage is told, not shouted"
    assert len(kafka.consume_all(topic)) == 1


def test_without_a_spool_stored_mode_refuses_what_kafka_has_not_confirmed(
    kafka: KafkaBroker, topic: str, place: Path
) -> None:
    with KafkaDaemon(place, kafka.bootstrap, kafka={"topic": topic}, spool={"enabled": False}) as daemon:
        assert ask(daemon.socket, request("/c/demo?n=1")).status == 200
        kafka.pause()
        assert ask(daemon.socket, request("/c/demo?n=2")).status == 503
        kafka.resume()
        until(lambda: ask(daemon.socket, request("/c/demo?n=3")).status == 200, "success again")
    acknowledged = [orjson.loads(record.value or b"")["params"]["n"] for record in kafka.consume_all(topic)]
    assert {"1", "3"} <= set(acknowledged)


class TestBothSinks:
    """[file] and [kafka] at once."""

    def test_a_dead_kafka_does_not_slow_the_files(self, kafka: KafkaBroker, topic: str, place: Path) -> None:
        ledger = Ledger()
        with self._daemon(place, kafka, topic) as daemon:
            with Load(daemon.socket, ledger, connections=4):
                ledger.wait_for_acks(100)
                kafka.pause()
                ledger.wait_for_acks(1000)
            status = daemon.status()["sinks"]
            assert (status["file"]["excluded_because"], status["kafka"]["excluded_because"]) == ("", "")
            kafka.resume()
            daemon.drained()
            assert_accounts_balance(daemon)
            self._assert_files_have_all(daemon)
            assert daemon.stop() == 0
        self._assert_equal(kafka, topic, daemon, ledger)

    def test_a_dead_file_sink_does_not_slow_kafka(self, kafka: KafkaBroker, topic: str, place: Path) -> None:
        ledger = Ledger()
        with tmpfs(place / "clicks", "12m") as disk, self._daemon(place, kafka, topic) as daemon:
            with Load(daemon.socket, ledger, connections=4):
                until(lambda: bool(daemon.status()["sinks"]["file"]["excluded_because"]), "a full disk")
                ledger.wait_for_acks(300)
                remount = ["mount", "-o", "remount,size=256m", str(disk)]
                subprocess.run(remount, check=True, capture_output=True, timeout=FAR)
                until(lambda: not daemon.status()["sinks"]["file"]["excluded_because"], "files again")
                ledger.wait_for_acks(100)
            daemon.drained()
            assert_accounts_balance(daemon)
            assert daemon.metrics()["file_missed_events_total"] > 200
            assert daemon.stop() == 0
        result, repeats = verdict(kafka, topic, ledger)
        assert (result.problems(), repeats) == ([], 0)

    def test_a_full_spool_leaves_the_files_to_take_the_events(
        self, kafka: KafkaBroker, topic: str, place: Path
    ) -> None:
        ledger = Ledger()
        kafka.kill()
        with self._daemon(place, kafka, topic, spool={"max_bytes": "8MiB"}) as daemon:
            with Load(daemon.socket, ledger, connections=8):
                until(lambda: "full" in daemon.status()["sinks"]["kafka"]["excluded_because"], "a full spool")
                ledger.wait_for_acks(200)
                kafka.start()
                until(lambda: not daemon.status()["sinks"]["kafka"]["excluded_because"], "Kafka takes part")
                ledger.wait_for_acks(100)
            daemon.drained()
            missed = daemon.metrics()["kafka_missed_events_total"]
            source = daemon.status()["sources"]["demo"]
            assert source["stored"] == source["delivered"]["kafka"] + missed
            assert daemon.stop() == 0
        assert missed > 200
        oracle = Oracle(ledger)
        oracle.read(orjson.dumps(event) for event in daemon.events())
        assert oracle.verdict().problems() == []
        assert ledger.refused == 0

    @staticmethod
    def _daemon(place: Path, kafka: KafkaBroker, topic: str, spool: Mapping[str, object] = {}) -> KafkaDaemon:
        file = {"directory": str(place / "clicks"), "rotate_bytes": "64KiB"}
        return KafkaDaemon(place, kafka.bootstrap, kafka={"topic": topic}, file=file, spool=spool)

    @staticmethod
    def _assert_files_have_all(daemon: Daemon) -> None:
        for name, source in daemon.status()["sources"].items():
            assert source["delivered"]["file"] == source["stored"], (name, source)

    @staticmethod
    def _assert_equal(kafka: KafkaBroker, topic: str, daemon: Daemon, ledger: Ledger) -> None:
        result, repeats = verdict(kafka, topic, ledger)
        assert (result.problems(), repeats) == ([], 0)
        values, _ = once_by_id(kafka.consume_all(topic))
        in_kafka = sorted(orjson.loads(value)["id"] for value in values)
        assert in_kafka == sorted(event["id"] for event in daemon.events())
