"""A spool copied to another machine and replayed there, by the runbook: each answered click arrives."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemon import environment, ingestd
from tests.support.kafka.broker import KafkaBroker
from tests.support.kafka.daemon import KafkaDaemon, once_by_id
from tests.support.load import Load
from tests.support.oracle import Ledger, Oracle
from tests.support.place import open_place
from tests.support.waiting import FAR, until

pytestmark = pytest.mark.kafka


@pytest.fixture
def place() -> Iterator[Path]:
    with open_place() as path:
        yield path


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """The other machine."""
    with open_place() as path:
        yield path


def run_there(machine: KafkaDaemon, *arguments: str, spool: Path) -> str:
    """A command on the other machine, with its configuration and the moved spool."""
    command, *rest = arguments[: 2 if arguments[0] == "spool" else 1]
    words = [command, *rest, "-c", str(machine.config), *arguments[1 + len(rest) :]]
    told = environment(INGESTD_SPOOL_DIRECTORY=str(spool))
    done = subprocess.run(
        ingestd(*words), cwd=machine.place, env=told, capture_output=True, text=True, timeout=FAR, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def move(old: KafkaDaemon, new: KafkaDaemon) -> Path:
    """The runbook's `rsync -a`: the whole directory, which has the instance's name in it."""
    moved = new.place / "spool-of-old"
    shutil.copytree(old.spool, moved)
    return moved


def arrived(kafka: KafkaBroker, topic: str, ledger: Ledger) -> tuple[list[str], int, int]:
    """What the oracle has to say of the topic, how many events there are, and how many repeats."""
    values, repeats = once_by_id(kafka.consume_all(topic))
    oracle = Oracle(ledger)
    oracle.read(values)
    return oracle.verdict().problems(), len(values), repeats


def test_a_spool_that_kafka_never_saw_is_replayed_elsewhere_once(
    kafka: KafkaBroker, topic: str, place: Path, elsewhere: Path
) -> None:
    """Verified there first; the new machine's own instance runs beside it, under the same name."""
    ledger = Ledger()
    kafka.pause()
    with KafkaDaemon(place, kafka.bootstrap, kafka={"topic": topic}, ingest={"drain_timeout": "2s"}) as old:
        with Load(old.socket, ledger, connections=8):
            ledger.wait_for_acks(3000)
        stored = old.status()["sources"]["demo"]["stored"]
        old.stop()
    kafka.resume()
    with KafkaDaemon(elsewhere, kafka.bootstrap, kafka={"topic": topic}) as new:
        moved = move(old, new)
        assert ": sound, " in run_there(new, "spool", "verify", spool=moved)
        assert f"\n{stored} events delivered" in run_there(new, "replay", f"{moved}/0", spool=moved)
        assert "\n0 events delivered" in run_there(new, "replay", f"{moved}/0", spool=moved)
    problems, _, repeats = arrived(kafka, topic, ledger)
    assert (problems, repeats) == ([], 0)


def test_a_spool_of_a_killed_instance_is_replayed_from_where_kafka_had_confirmed(
    kafka: KafkaBroker, topic: str, place: Path, elsewhere: Path
) -> None:
    """Part was delivered; of that, what is sent again has the same id."""
    ledger = Ledger()
    old = KafkaDaemon(place, kafka.bootstrap, kafka={"topic": topic})
    with old, Load(old.socket, ledger, connections=8):
        ledger.wait_for_acks(1000)
        old.wait_delivering()
        kafka.pause()
        ledger.wait_for_acks(2000)
        until(lambda: old.spooled() > 0, "a backlog")
        confirmed = old.delivered()
        old.kill()
    kafka.resume()
    with KafkaDaemon(elsewhere, kafka.bootstrap, kafka={"topic": topic}) as new:
        moved = move(old, new)
        run_there(new, "spool", "verify", spool=moved)
        run_there(new, "replay", f"{moved}/0", spool=moved)
    problems, events, repeats = arrived(kafka, topic, ledger)
    assert problems == []
    assert confirmed > 0
    assert repeats <= events - confirmed, "what Kafka had confirmed was sent again"
