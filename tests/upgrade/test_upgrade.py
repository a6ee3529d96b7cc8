"""What earlier versions left on disk is read: nothing of it is lost, delivered twice or in the way.

Each directory beside this file is a version's, made by `python -m tests.commands.keep_version`.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.commands.keep_version import PLACE, SOURCES
from tests.support.daemon import environment, ingestd, lines, toml
from tests.support.kafka.daemon import KafkaDaemon, once_by_id
from tests.support.kafka.mock import MockCluster
from tests.support.oracle import Ledger, Oracle, Verdict, build, parts
from tests.support.place import open_place
from tests.support.waiting import FAR
from tests.support.wire import ask

HERE = Path(__file__).parent
VERSIONS = sorted(path.name for path in HERE.glob("v*"))


class Left:
    """A copy of what a version left, in `place`."""

    def __init__(self, version: str, place: Path) -> None:
        self.place = place
        shutil.copytree(HERE / version, place, dirs_exist_ok=True)
        self.about: dict[str, Any] = json.loads((place / "about.json").read_text())
        checkpoint = place / "replay.checkpoint"
        checkpoint.write_text(checkpoint.read_text().replace(PLACE, str(place)))

    def events(self, first: int = 0) -> int:
        """How many events the requests from `first` on are."""
        return sum(parts(number) for number in range(first, self.about["requests"]))


@pytest.fixture(params=VERSIONS)
def left(request: pytest.FixtureRequest) -> Iterator[Left]:
    """Of each version."""
    with open_place() as place:
        yield Left(request.param, place)


@pytest.fixture
def mock() -> Iterator[MockCluster]:
    with MockCluster() as cluster:
        cluster.create_topic("clicks", 2)
        yield cluster


def run(left: Left, *arguments: str, kafka: str = "") -> subprocess.CompletedProcess[str]:
    """A command of the version under test, with the configuration of what was left."""
    sections: dict[str, dict[str, object]] = {"file": {"directory": str(left.place / "clicks")}}
    if kafka:
        sections["spool"] = {"directory": str(left.place / "spool")}
        sections["kafka"] = {"bootstrap": [kafka], "dead_letter_directory": str(left.place / "dead")}
    (left.place / "c.toml").write_text(toml(sections, SOURCES))
    return subprocess.run(
        ingestd(*arguments), cwd=left.place, env=environment(), capture_output=True, text=True, timeout=FAR
    )


def held(left: Left, *groups: list[bytes], first: int = 0) -> Verdict:
    """The lines held against what was sent; of requests before `first` nothing is expected."""
    ledger = Ledger()
    for _ in range(left.about["requests"]):
        number = ledger.next()
        if number >= first:
            ledger.answered(number, 200, b"")
    oracle = Oracle(ledger)
    for group in groups:
        oracle.read(group)
    return oracle.verdict()


def test_there_are_fixtures_of_this_version_s_formats() -> None:
    """One at least; a format that changes needs a new one."""
    assert VERSIONS


def test_a_daemon_takes_over_files_and_spool(left: Left, mock: MockCluster) -> None:
    """The file left open is finished, Kafka gets what it had not confirmed, new events pass."""
    daemon = KafkaDaemon(
        left.place, mock.bootstrap, sources=SOURCES, file={"directory": str(left.place / "clicks")}
    )
    with daemon:
        daemon.drained()
        recovered = daemon.status()["sources"]["demo"]["recovered"]
        assert ask(daemon.socket, build(0)).status == 200
        daemon.drained()
        assert daemon.stop() == 0
    confirmed = left.about["confirmed"]
    assert recovered == left.events(confirmed)
    files = [line for path in daemon.files() for line in lines(path)]
    fresh = [line for line in files if b'"node":"fixture/0"' not in line]
    result = held(left, files)
    assert result.problems() == []
    assert result.repeated == parts(0)
    values, repeats = once_by_id(mock.consume_all("clicks"))
    assert (len(fresh), repeats) == (parts(0), 0)
    assert set(fresh) <= set(values)
    delivered = held(left, [value for value in values if value not in fresh], first=confirmed)
    assert (delivered.problems(), delivered.unknown) == ([], 0), "only what was not confirmed goes to Kafka"
    (bad,) = daemon.directory.glob("*.bad")
    assert bad.read_bytes() == b'{"v":1,"id":"018f2b2e-torn'
    done = run(left, "audit", str(daemon.directory))
    assert done.returncode == 0, done.stdout
    assert f"{left.events() + parts(0)} events" in done.stdout


def test_audit_reads_files_manifests_and_chain_as_they_were_left(left: Left) -> None:
    """Before any daemon of this version has seen them; the file left open is told of and left out."""
    done = run(left, "audit", str(left.place / "clicks"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all there" in done.stdout


def test_the_spool_is_verified_and_exported(left: Left) -> None:
    """Just what Kafka had not confirmed."""
    assert run(left, "spool", "verify", "-c", "c.toml", kafka="kafka:9092").returncode == 0
    exported = run(left, "spool", "export", "-c", "c.toml", kafka="kafka:9092")
    result = held(
        left, [line.encode() for line in exported.stdout.splitlines()], first=left.about["confirmed"]
    )
    assert (result.problems(), result.unknown) == ([], 0)


def test_replay_goes_on_where_its_checkpoint_says(left: Left, mock: MockCluster) -> None:
    """Of a file four lines were sent; the dead letter goes as a whole."""
    ((name, sent),) = json.loads((left.place / "replay.checkpoint").read_text()).items()
    file, (letters,) = Path(name), (left.place / "dead").iterdir()
    arguments = ["replay", "-c", "c.toml", "--checkpoint", "replay.checkpoint", str(file), str(letters)]
    done = run(left, *arguments, kafka=mock.bootstrap)
    assert done.returncode == 0, done.stdout + done.stderr
    expected = file.read_bytes().splitlines()[sent:] + file.read_bytes().splitlines()[:1]
    assert sorted(record.value or b"" for record in mock.consume_all("clicks")) == sorted(expected)


def test_a_spill_log_is_replayed_from_where_its_checkpoint_says(left: Left) -> None:
    """The other half, once."""
    folder = left.place / "spill"
    arguments = ["replay", "-c", "c.toml", "--from", "nginx-spill"]
    arguments += ["--checkpoint", str(folder / "spill.checkpoint"), str(folder / "ingestd.spill")]
    done = run(left, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    half = left.about["spilled"] // 2
    before = [line for path in (folder / "clicks").glob("*.ndjson") for line in lines(path)]
    added = [line for path in (left.place / "clicks").glob("*spill*.ndjson") for line in lines(path)]
    assert [orjson.loads(line)["params"]["n"] for line in before] == [str(n) for n in range(half)]
    assert [orjson.loads(line)["params"]["n"] for line in added] == [
        str(n) for n in range(half, left.about["spilled"])
    ]
