"""A stuck loop, crashes, a configuration that cannot work: what systemd makes of them."""

from __future__ import annotations

import concurrent.futures
import os

import pytest

from tests.support.systemd.clicks import Clicks
from tests.support.systemd.host import CONFIG, Host
from tests.support.waiting import FAR

pytestmark = pytest.mark.systemd
SERVICE = "ingestd.service"
FILE = "/etc/ingestd/ingestd.toml"
CRASHES = 3


def hang_the_loop(host: Host) -> None:
    """Have the event loop, and only that thread, wait for ever: in the read of a FIFO as configuration."""
    fifo = host.guest.path(FILE)
    fifo.unlink()
    os.mkfifo(fifo, 0o644)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        writer = pool.submit(os.open, fifo, os.O_WRONLY)  # returns when the daemon has it open for reading
        try:
            host.guest.systemctl("kill", "--signal=HUP", SERVICE)
            writer.result(FAR)
        finally:
            os.close(os.open(fifo, os.O_RDWR | os.O_NONBLOCK))  # lets the other thread go, whatever happened
    # The descriptor stays open, or the read would end. The next process finds the real file again.
    host.configure(CONFIG)


def test_a_stuck_loop_is_killed_says_where_it_was_and_is_replaced(host: Host) -> None:
    host.drop_in(SERVICE, "[Service]\nWatchdogSec=1s\n")
    with Clicks(host.connect) as clicks:
        clicks.wait_for_more()
        old = host.guest.main_pid(SERVICE)
        since = host.journal.position()
        hang_the_loop(host)
        host.journal.wait(SERVICE, r"Watchdog timeout", since)
        host.journal.wait(SERVICE, "Main process exited, code=dumped|code=killed, status=6/ABRT", since)
        host.journal.wait(SERVICE, "^Started", since)
        clicks.wait_for_more()
    trace = [entry.message for entry in host.journal.entries(SERVICE, since) if entry.pid == old]
    assert any("Fatal Python error: Aborted" in line for line in trace)
    assert any("in reload" in line for line in trace)
    assert host.guest.main_pid(SERVICE) != old
    host.expect_nothing_lost(clicks)


def test_a_stopped_process_is_replaced(host: Host) -> None:
    host.drop_in(SERVICE, "[Service]\nWatchdogSec=1s\n")
    host.guest.systemctl("start", SERVICE)
    since = host.journal.position()
    host.guest.systemctl("kill", "--signal=STOP", SERVICE)
    host.journal.wait(SERVICE, "Watchdog timeout", since)
    host.journal.wait(SERVICE, "^Started", since)
    assert host.click("click_id=1") == (200, "ok")


def test_an_idle_daemon_is_not_taken_for_a_stuck_one(host: Host) -> None:
    host.drop_in(SERVICE, "[Service]\nWatchdogSec=1s\n")
    host.guest.systemctl("start", SERVICE)
    pings = 0
    position = host.journal.position()

    def many_pings() -> bool:
        nonlocal pings
        pings = sum("(WATCHDOG=1)" in e.message for e in host.journal.entries(SERVICE, position))
        return pings >= 8  # at four a second: twice the limit

    host.journal.wait_until("watchdog messages", many_pings)
    assert host.guest.show(SERVICE, "NRestarts") == "0"


def test_crash_after_crash_loses_nothing_and_is_never_given_up(host: Host) -> None:
    with Clicks(host.connect) as clicks:
        for _ in range(CRASHES):
            clicks.wait_for_more()
            host.guest.systemctl("kill", "--signal=KILL", SERVICE)
        clicks.wait_for_more()
    assert int(host.guest.show(SERVICE, "NRestarts")) == CRASHES
    assert host.guest.show(SERVICE, "StartLimitIntervalUSec") == "0"  # no number of crashes is too many
    assert not clicks.refused
    host.expect_nothing_lost(clicks)


def test_a_wrong_configuration_is_named_and_not_tried_again(host: Host) -> None:
    host.drop_in(SERVICE, "[Service]\nExecStopPost=\n")  # the socket stays: this is about the service alone
    host.configure("[ingest]\nlisen = 1\n" + CONFIG)
    since = host.journal.position()
    assert host.guest.systemctl("start", SERVICE, check=False).returncode != 0
    host.journal.wait(SERVICE, r"ingestd\.toml: ingest\.lisen", since)
    host.journal.wait(SERVICE, "Service will not restart", since)
    assert host.guest.show(SERVICE, "ActiveState") == "failed"
    assert host.guest.show(SERVICE, "ExecMainStatus") == "78"
    host.configure(CONFIG)
    host.guest.systemctl("start", SERVICE)
    assert host.click("click_id=1") == (200, "ok")


def test_a_wrong_configuration_closes_the_socket_so_that_nginx_need_not_wait(host: Host) -> None:
    host.configure("nonsense")
    since = host.journal.position()
    with host.connect() as client:  # waits: without more ado it would start the daemon again and again
        host.journal.wait("ingestd.socket", "^Closed", since)
        assert client.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        host.connect()
    starts = [e for e in host.journal.entries(SERVICE, since) if e.message.startswith("Starting ")]
    assert len(starts) == 1
    assert host.guest.show(SERVICE, "ActiveState") == "failed"
    host.configure(CONFIG)
    host.guest.systemctl("start", SERVICE)
    assert host.click("click_id=1") == (200, "ok")
