"""TERM under load: what reached ingestd is answered, what was answered is stored, inside the deadline."""

from __future__ import annotations

import re
import signal
import time
from pathlib import Path

import pytest

from tests.support.checks import verdict
from tests.support.daemon import Daemon
from tests.support.load import Load
from tests.support.needs import need_nginx, need_strace
from tests.support.nginx import Nginx
from tests.support.oracle import ACKED, Ledger
from tests.support.strace import Strace
from tests.support.waiting import until
from tests.support.wire import Wire, request

# What nginx may say of an instance that goes or has gone: not a byte of the request reached it, and nginx
# asked the next one.
HARMLESS = re.compile(
    r"connect\(\) to unix:\S+ failed \((2|13|111): |no live upstreams"
    r"|writev\(\) failed \(32: Broken pipe\) while sending request to upstream"
)


def assert_nothing_was_cut_off(nginx: Nginx) -> None:
    """nginx never saw a connection end that still owed it a reply."""
    lines = [line[:250] for line in nginx.log().splitlines() if not HARMLESS.search(line)]
    assert not lines, "\n".join(lines)


@pytest.mark.parametrize("ack", ["stored", "queued"])
def test_term_under_load_answers_everything_that_reached_it(place: Path, ack: str) -> None:
    need_nginx()
    ledger = Ledger()
    never = {"ack": ack, "drain_timeout": "1h"}  # so that its end is that of its work
    with Daemon(place, ingest=never) as daemon, Nginx(place, [daemon.socket]) as nginx:
        with Load(nginx.address, ledger, connections=64):
            ledger.wait_for_acks(1000)
            in_flight = ledger.in_flight
            assert daemon.stop() == 0
            ledger.wait_for_status(502, 50)  # gone, and only then nginx says so itself
            assert in_flight > 0
        assert_nothing_was_cut_off(nginx)
        assert set(ledger.statuses) == {200, 502}
        result = verdict(ledger, daemon)
        # Stored without a success would be a request that reached it and was not answered.
        assert (result.unknown, result.repeated, ledger.unanswered) == (0, 0, 0)
        assert not daemon.socket.exists()


def test_restarts_one_after_the_other_behind_one_nginx_refuse_nobody(place: Path) -> None:
    need_nginx()
    ledger = Ledger()
    first, second = (Daemon(place, name=name) for name in "01")
    with first, second, Nginx(place, [first.socket, second.socket]) as nginx:
        with Load(nginx.address, ledger, connections=32):
            for daemon in [first, second] * 3:
                ledger.wait_for_acks(300)
                assert daemon.stop() == 0
                ledger.wait_for_acks(300)
                daemon.start()
            ledger.wait_for_acks(300)
        assert_nothing_was_cut_off(nginx)
        assert set(ledger.statuses) == {200}
        assert (first.stop(), second.stop()) == (0, 0)
        result = verdict(ledger, first, second)
        assert (result.unknown, result.repeated, ledger.unanswered) == (0, 0, 0)


def test_term_while_a_commit_hangs_ends_inside_the_deadline_and_answers_everybody(place: Path) -> None:
    need_nginx()
    need_strace()
    ledger = Ledger()
    settings = {"stall_timeout": "300ms"}
    with Daemon(place, ingest={"drain_timeout": "2s"}, flush=settings) as daemon:
        with Nginx(place, [daemon.socket]) as nginx, Load(nginx.address, ledger, connections=32):
            ledger.wait_for_acks(300)
            with Strace(daemon.pid, "fdatasync:delay_enter=900000000", place / "strace.log"):
                until(lambda: daemon.metrics()["unstored_events"] > 10, "requests wait for the disk")
                waiting = ledger.in_flight
                daemon.signal(signal.SIGTERM)
                # strace holds the hanging thread, as a disk would: only then can the process go wholly.
                until(lambda: "Z (zombie)" in _state(daemon), "the end of the process")
            assert daemon.wait() == 1, "it says that not everything was stored"
            ledger.wait_for_status(502, 50)
        assert_nothing_was_cut_off(nginx)
        assert ledger.statuses[503] >= waiting > 0
        assert ledger.unanswered == 0
        daemon.start()
        assert daemon.stop() == 0
        verdict(ledger, daemon)


def _state(daemon: Daemon) -> str:
    return Path(f"/proc/{daemon.pid}/status").read_text()


def test_readiness_goes_first_and_an_idle_connection_is_ended(daemon: Daemon) -> None:
    with Wire(daemon.socket) as idle, Wire(daemon.socket) as slow:
        slow.send(request("/c/demo?a=1", "POST", {"Content-Length": "2"}))
        idle.send(request("/c/demo?a=1"))
        assert idle.receive().status == 200
        daemon.signal(signal.SIGTERM)
        daemon.wait_for("STOPPING=1")
        assert idle.ended()
        answer = daemon.look("/readyz")
        assert (answer.status, "draining" in answer.text) == (503, True)
        slow.send(b"{}")
        answer = slow.receive()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert slow.ended()
    assert daemon.wait() == 0
    assert len(daemon.events(unfinished=False)) == 2


def test_int_drains_too_and_a_second_signal_changes_nothing(daemon: Daemon) -> None:
    with Wire(daemon.socket) as wire:
        wire.send(request("/c/demo?a=1"))
        assert wire.receive().status == 200
        daemon.signal(signal.SIGINT)
        daemon.signal(signal.SIGTERM)
        assert daemon.wait() == 0
    [event] = daemon.events(unfinished=False)
    assert event["params"] == {"a": "1"}


def test_the_deadline_ends_a_client_that_never_finishes_its_request(place: Path) -> None:
    settings = {"drain_timeout": "1s", "header_timeout": "1h"}
    with Daemon(place, ingest=settings) as daemon, Wire(daemon.socket) as wire:
        wire.send(b"GET /c/demo?a=1 HTTP/1.1\r\nHost: ")
        daemon.status()  # its turn comes after the half request's
        began = time.monotonic()
        assert daemon.stop() == 1
        assert time.monotonic() - began > 0.5


def test_what_was_acked_is_counted(place: Path) -> None:
    ledger = Ledger()
    with Daemon(place) as daemon:
        with Load(daemon.socket, ledger):
            ledger.wait_for_acks(500)
        assert daemon.stop() == 0
        stored = verdict(ledger, daemon).events
        assert f"stored_events={stored} unstored_events=0" in daemon.log()
        assert ledger.fate.count(ACKED) == ledger.acks
