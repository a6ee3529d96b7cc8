"""An administrator's hand in the directory, and a clock that is wrong for a while: no event is lost."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.support.checks import assert_books_balance, assert_fresh_event_passes, verdict
from tests.support.clock import WallClock
from tests.support.daemon import Daemon
from tests.support.fakes import event_line
from tests.support.load import Load
from tests.support.needs import need_root
from tests.support.oracle import Ledger
from tests.support.waiting import until
from tests.support.wire import ask, request

DAY = 86_400.0


@contextmanager
def moved(daemon: Daemon) -> Iterator[None]:
    """The directory of the files is elsewhere."""
    elsewhere = daemon.directory.rename(daemon.directory.with_name("elsewhere"))
    yield
    elsewhere.rename(daemon.directory)


@contextmanager
def mounted_over(daemon: Daemon) -> Iterator[None]:
    """Another file system is where the files should be."""
    need_root()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", daemon.directory], check=True)
    yield
    assert os.listdir(daemon.directory) == [], "nothing was written to it"
    subprocess.run(["umount", daemon.directory], check=True)


@pytest.mark.parametrize("fault", [moved, mounted_over])
def test_a_directory_that_is_away_is_noticed_refused_and_gone_on_with(
    place: Path, fault: Callable[[Daemon], AbstractContextManager[None]]
) -> None:
    ledger = Ledger()
    with Daemon(place) as daemon:
        with Load(daemon.socket, ledger) as load:
            ledger.wait_for_acks(200)
            with fault(daemon):
                ledger.wait_for_status(503, 50)
                until(lambda: ask(daemon.admin, request("/readyz")).status == 503, "not ready")
                acks = ledger.acks
                ledger.wait_for_status(503, 200)
                assert ledger.acks == acks
            ledger.wait_for_acks(acks + 200)
            load.rest()
        until(lambda: ask(daemon.admin, request("/readyz")).status == 200, "ready")
        assert_books_balance(daemon)
        assert_fresh_event_passes(daemon.socket, ledger)
        assert daemon.stop() == 0
        verdict(ledger, daemon)


def test_an_idle_daemon_notices_it_too(place: Path) -> None:
    with Daemon(place) as daemon:
        with moved(daemon):
            until(lambda: ask(daemon.admin, request("/readyz")).status == 503, "not ready")
            assert b"the directory is gone" in ask(daemon.admin, request("/readyz")).body
            assert ask(daemon.socket, request("/c/demo?n=1")).status == 503
        until(lambda: ask(daemon.admin, request("/readyz")).status == 200, "ready")
        assert ask(daemon.socket, request("/c/demo?n=2")).status == 200
        assert daemon.stop() == 0
        assert [event["params"]["n"] for event in daemon.events()] == ["2"]


def test_open_files_that_are_removed_under_load_cost_no_event(place: Path) -> None:
    ledger = Ledger()
    with Daemon(place) as daemon:
        with Load(daemon.socket, ledger) as load:
            for round_ in range(1, 4):
                ledger.wait_for_acks(round_ * 300)
                [left] = daemon.directory.glob("*.open")
                left.unlink()
                until(lambda: list(daemon.directory.glob("*.open")), "another open file")
            ledger.wait_for_acks(1200)
            load.rest()
        assert daemon.stop() == 0
        assert daemon.log().count("the open file was not in its place") == 3
        verdict(ledger, daemon)


def test_a_clock_that_is_ahead_removes_no_file_and_a_right_one_does(place: Path) -> None:
    if reason := WallClock.why_not():
        pytest.skip(f"NO CLOCK: {reason}")
    clock = WallClock(place)
    files = place / "clicks"
    files.mkdir()
    for name, age in (("old", 8 * DAY), ("young", 2 * DAY), ("recent", 2 * 3600.0)):
        path = files / f"clicks-{name}-20200101T000000.000Z.ndjson"
        path.write_bytes(event_line(1))
        os.utime(path, (time.time() - age,) * 2)

    def left() -> list[str]:
        return sorted(path.name.split("-")[1] for path in files.glob("*.ndjson"))

    clock.step(30 * DAY)
    with Daemon(place, file={"keep_days": 7}).start(clock.before) as daemon:
        until(lambda: "are kept until the clock is confirmed" in daemon.log(), "a word about the clock")
        assert left() == ["old", "recent", "young"]
        assert "less than 60 minutes" in daemon.status()["sinks"]["file"]["retention_waits"]
        assert daemon.stop() == 0
        clock.step(-30 * DAY)
        daemon.start(clock.before)
        until(lambda: left() == ["recent", "young"], "the removal of the old file")
        assert daemon.stop() == 0
