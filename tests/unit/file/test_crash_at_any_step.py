"""Finishing, recovering and compressing files, crashed before each of their steps: run again, all is well."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from ingestd.file import compression, listing, names, recovery
from ingestd.file.ndjson import NdjsonFile
from tests.support.crashing import crash_before
from tests.support.fakes import event_line
from tests.support.sinks_under_test import read_files

GOOD = b"".join(event_line(number) for number in range(5))
OPEN = "clicks-one-20240610T061320.123Z.ndjson.open"
MOST = 60  # no work here has more steps

DAMAGED = {
    "nothing": (GOOD, GOOD, b""),
    "a torn tail": (GOOD + event_line(9)[:70], GOOD, event_line(9)[:70]),
    "damage in mid-file": (GOOD + b"bad\n" + GOOD, GOOD + GOOD, b"bad\n"),
    "damage everywhere": (
        b"1\n" + GOOD + b"2\n" + GOOD + b"\0" * 5000,
        GOOD + GOOD,
        b"1\n2\n" + b"\0" * 5000,
    ),
    "nothing but damage": (b"\0" * 5000, b"", b"\0" * 5000),
    "an empty file": (b"", b"", b""),
}


def recover_all(directory: Path) -> None:
    for path in listing.orphans(directory, "clicks"):
        recovery.recover(path)


def assert_recovered(directory: Path, events: bytes, bad: bytes) -> None:
    """Every event once, every other byte at least once, nothing left open."""
    assert b"".join(read_files(directory)) == events
    assert not list(directory.glob("*.open"))
    found = b"".join(path.read_bytes() for path in directory.glob("*.bad"))
    assert found.endswith(bad)
    if not bad:
        assert found == b""


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_crash_at_any_step_of_a_recovery_is_recovered_from(damage: str, tmp_path: Path) -> None:
    data, events, bad = DAMAGED[damage]
    for step in range(MOST):
        directory = tmp_path / str(step)
        directory.mkdir()
        (directory / OPEN).write_bytes(data)
        crashed = crash_before(step, lambda at=directory: recover_all(at))  # type: ignore[misc]
        recover_all(directory)
        assert_recovered(directory, events, bad)
        if not crashed:
            assert step > 1
            return
    pytest.fail(f"more than {MOST} steps")


@pytest.mark.parametrize("seed", range(25))
def test_a_recovery_that_crashes_twice_is_recovered_from(seed: int, tmp_path: Path) -> None:
    data, events, bad = DAMAGED["damage everywhere"]
    (tmp_path / OPEN).write_bytes(data)
    dice = random.Random(seed)
    crashed = [crash_before(dice.randrange(2, 18), lambda: recover_all(tmp_path)) for _ in range(2)]
    recover_all(tmp_path)
    assert_recovered(tmp_path, events, bad)
    assert any(crashed)


def test_a_crash_at_any_step_of_writing_and_finishing_loses_nothing_durable(tmp_path: Path) -> None:
    durable = tmp_path / "durable"

    def work(directory: Path) -> None:
        for start in range(2):
            file = NdjsonFile.create(directory, "clicks-one", 0o640, 1_718_000_000.0 + start)
            file.reserve(4096)
            for number in range(start * 10, start * 10 + 3):
                file.append(event_line(number))
                with durable.open("ab", buffering=0) as told:  # not by os.write: it is no step of the work
                    told.write(b"%d\n" % number)
            file.finish()

    for step in range(MOST):
        directory = tmp_path / str(step)
        directory.mkdir()
        durable.write_bytes(b"")
        crashed = crash_before(step, lambda at=directory: work(at))  # type: ignore[misc]
        recover_all(directory)
        told = [int(line) for line in durable.read_bytes().splitlines()]
        found = b"".join(read_files(directory))
        expected = b"".join(event_line(number) for number in told)
        assert found.startswith(expected)
        assert len(found) <= len(expected) + len(event_line(0))  # the one that was being written, at most
        assert not list(directory.glob("*.open"))
        if not crashed:
            assert len(told) == 6
            return
    pytest.fail(f"more than {MOST} steps")


@pytest.mark.parametrize("method", ["gzip", "zstd"])
def test_a_crash_at_any_step_of_compressing_loses_nothing(method: str, tmp_path: Path) -> None:
    data = GOOD * 2000
    for step in range(MOST):
        directory = tmp_path / str(step)
        directory.mkdir()
        path = directory / OPEN.removesuffix(".open")
        path.write_bytes(data)
        crashed = crash_before(step, lambda at=path: compression.compress(at, method))  # type: ignore[misc]
        assert b"".join(read_files(directory)) == data  # a reader finds it whole at any moment
        compression.compress(path, method)
        assert b"".join(read_files(directory)) == data
        assert [entry.name for entry in directory.iterdir()] == [path.name + names.COMPRESSED[method]]
        if not crashed:
            assert step > 3
            return
    pytest.fail(f"more than {MOST} steps")


def test_the_crash_itself_works(tmp_path: Path) -> None:
    """Without it the tests above would prove nothing."""
    path = tmp_path / "file"

    def work() -> None:
        path.touch()
        path.rename(tmp_path / "renamed")

    outcomes = [crash_before(step, work) for step in (0, 9)]
    assert outcomes == [True, False]
    assert (tmp_path / "renamed").exists()
