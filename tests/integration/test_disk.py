"""A disk that is full, broken, read-only or hangs: 503, nothing lost, nothing pretended, no restart."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.support.checks import assert_books_balance, assert_fresh_event_passes, verdict
from tests.support.daemon import Daemon
from tests.support.disk import filled
from tests.support.kafka.tmpfs import tmpfs
from tests.support.load import Load
from tests.support.needs import need_nginx, need_root, need_strace
from tests.support.nginx import Nginx
from tests.support.oracle import Ledger
from tests.support.strace import Strace
from tests.support.waiting import until

STALL = "400ms"
# Bytes by which memory may grow while requests are refused: what one request after another leaves behind,
# and nothing that gathers.
GROWTH = 4 << 20


@contextmanager
def read_only(daemon: Daemon, load: Load) -> Iterator[None]:
    """The daemon's file system remounted read-only. No file may be open, so the load rests meanwhile."""
    load.rest()
    finished = daemon.metrics()["files_finished_total"]
    daemon.signal(signal.SIGUSR1)
    until(lambda: daemon.metrics()["files_finished_total"] > finished, "the file is finished")
    subprocess.run(["mount", "-o", "remount,ro", str(daemon.directory)], check=True)
    load.go_on()
    yield
    subprocess.run(["mount", "-o", "remount,rw", str(daemon.directory)], check=True)


class Scene:
    """A daemon on a small disk of its own behind nginx, under load."""

    def __init__(self, place: Path, daemon: Daemon, load: Load) -> None:
        self.place = place
        self.daemon = daemon
        self.load = load
        self.ledger = load.ledger

    def endure(self, fault: AbstractContextManager[object], reason: str) -> None:
        """Have the fault come and go: refused, said why, memory flat, recovered, the books right."""
        daemon, ledger = self.daemon, self.ledger
        ledger.wait_for_acks(300)
        pid = daemon.pid
        with fault:
            ledger.wait_for_status(503, 200)
            acks, before = ledger.acks, daemon.resident()
            ledger.wait_for_status(503, 400)
            assert ledger.acks == acks, "success was answered while nothing could be stored"
            assert b"\r\nRetry-After: " in ledger.last_refusal[503]
            answer = daemon.look("/readyz")
            assert answer.status == 503
            assert reason in answer.text
            assert daemon.look("/livez").status == 200
            assert daemon.metrics()["ready"] == 0
            assert daemon.resident() - before < GROWTH
        ledger.wait_for_acks(300)
        assert daemon.look("/readyz").status == 200
        self.end()
        assert daemon.pid == pid

    def end(self) -> None:
        """The load ends; what is in the files is what was answered with success."""
        self.load.stop()
        until(lambda: self.daemon.metrics()["unstored_events"] == 0, "everything is stored")
        metrics = assert_books_balance(self.daemon)
        assert sum(value for name, value in metrics.items() if "events_rejected_total" in name) > 0
        assert self.ledger.unanswered == 0
        assert_fresh_event_passes(self.daemon.socket, self.ledger)
        assert self.daemon.stop() == 0
        assert verdict(self.ledger, self.daemon).torn == 0


@contextmanager
def staged(place: Path, ack: str) -> Iterator[Scene]:
    """The daemon writes to a tmpfs of 32 MiB and holds 4 MiB at most."""
    need_nginx()
    need_root()
    disk = place / "disk"
    instance = Daemon(
        place,
        ingest={"ack": ack},
        buffer={"max_bytes": "4MiB"},
        flush={"stall_timeout": STALL, "max_bytes": "1MiB"},
        file={"directory": str(disk)},
    )
    with (
        tmpfs(disk, "32m"),
        instance as daemon,
        Nginx(place, [daemon.socket]) as nginx,
        Load(nginx.address, Ledger()) as load,
    ):
        yield Scene(place, daemon, load)


@pytest.fixture
def scene(place: Path) -> Iterator[Scene]:
    """In `stored` mode."""
    with staged(place, "stored") as one:
        yield one


@pytest.fixture
def queueing(place: Path) -> Iterator[Scene]:
    """In `queued` mode."""
    with staged(place, "queued") as one:
        yield one


def test_a_full_disk_is_refused_and_recovered_from(scene: Scene) -> None:
    scene.endure(filled(scene.daemon.directory), "No space left on device")


def test_a_full_disk_in_queued_mode_fills_the_buffer_to_its_cap_and_loses_nothing(queueing: Scene) -> None:
    queueing.endure(filled(queueing.daemon.directory), "buffer full")


def test_a_read_only_disk_is_refused_and_recovered_from(scene: Scene) -> None:
    scene.ledger.wait_for_acks(100)
    scene.endure(read_only(scene.daemon, scene.load), "Read-only file system")


def test_a_disk_that_cannot_sync_is_refused_and_recovered_from(scene: Scene) -> None:
    need_strace()
    fault = Strace(scene.daemon.pid, "fdatasync:error=EIO", scene.place / "strace.log")
    scene.endure(fault, "Input/output error")


def test_a_disk_that_hangs_is_refused_and_recovered_from(scene: Scene) -> None:
    need_strace()
    fault = Strace(scene.daemon.pid, "fdatasync:delay_enter=30000000", scene.place / "strace.log")
    scene.endure(fault, "a commit has taken more than 0.4 s")


def test_a_file_whose_sync_failed_is_never_written_or_synced_again(scene: Scene) -> None:
    """After a failed fsync the kernel may have dropped the pages: the next one proves nothing."""
    need_strace()
    log = scene.place / "strace.log"
    fault = Strace(scene.daemon.pid, "fdatasync:error=EIO:when=5+9", log, also="write,writev,pwrite64,fsync")
    with fault:
        until(lambda: scene.daemon.metrics()["commit_failures_total"] >= 3, "three failed commits")
        scene.ledger.wait_for_acks(50)
    calls = fault.calls()
    failed: set[str] = set()
    for call, path, success in calls:
        assert path not in failed or call == "fsync", f"{call} of {path} after its sync had failed"
        if call == "fdatasync" and not success:
            failed.add(path)
    assert len(failed) >= 3, calls[-20:]
    scene.end()
