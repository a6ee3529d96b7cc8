"""Where it listens: one owner of a socket, a stale one replaced, access as configured, one handed over."""

from __future__ import annotations

import grp
import os
import socket
import stat
from pathlib import Path

import pytest

from tests.support.activated import Activated
from tests.support.checks import verdict
from tests.support.daemon import Daemon, DaemonEndedError
from tests.support.load import Load
from tests.support.needs import need_nginx
from tests.support.nginx import Nginx
from tests.support.oracle import Ledger
from tests.support.wire import ask, request

GET = request("/c/demo?a=1")


def refused(daemon: Daemon) -> str:
    """Start an instance that must not come up; its exit status is 1. Returns what it said."""
    with pytest.raises(DaemonEndedError) as caught:
        daemon.start()
    assert daemon.wait() == 1
    return str(caught.value)


def test_a_second_daemon_on_a_live_socket_is_refused_and_does_no_harm(place: Path) -> None:
    ledger = Ledger()
    with Daemon(place) as first, Load(first.socket, ledger) as load:
        ledger.wait_for_acks(200)
        second = Daemon(place, name="1", ingest={"listen": f"unix:{first.socket}"})
        said = refused(second)
        assert f"cannot listen on unix:{first.socket}: another process is listening there" in said
        assert "Traceback" not in said
        ledger.wait_for_acks(200)
        load.stop()
        assert set(ledger.statuses) == {200}
        assert first.stop() == 0
        assert list(first.directory.glob("clicks-1-*")) == [], "the one that was refused leaves nothing"
        verdict(ledger, first)


def test_a_socket_a_killed_daemon_left_is_replaced(daemon: Daemon) -> None:
    inode = daemon.socket.stat().st_ino
    daemon.kill()
    assert daemon.socket.exists()
    daemon.start()
    assert daemon.socket.stat().st_ino != inode or "replacing a stale socket" in daemon.log()
    assert ask(daemon.socket, GET).status == 200


def test_a_file_that_is_no_socket_is_left_alone(place: Path) -> None:
    daemon = Daemon(place)
    daemon.socket.write_text("somebody's notes")
    assert "the file there is not a socket" in refused(daemon)
    assert daemon.socket.read_text() == "somebody's notes"


def test_a_stopped_daemon_leaves_no_socket(daemon: Daemon) -> None:
    assert daemon.stop() == 0
    assert not daemon.socket.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="NO ROOT: only root may give a socket to another group")
@pytest.mark.parametrize(("mode", "group"), [("0660", "www-data"), ("0600", "daemon"), ("0666", "nogroup")])
def test_the_socket_has_the_mode_and_group_of_the_configuration(place: Path, mode: str, group: str) -> None:
    need_nginx()
    with Daemon(place, ingest={"socket_mode": mode, "socket_group": group}) as daemon:
        state = daemon.socket.stat()
        assert stat.S_IMODE(state.st_mode) == int(mode, 8)
        assert state.st_gid == grp.getgrnam(group).gr_gid
        with Nginx(place, [daemon.socket]) as nginx:  # its worker is www-data
            assert ask(nginx.address, GET).status == (502 if mode == "0600" else 200)


def test_a_group_that_does_not_exist_is_named(place: Path) -> None:
    said = refused(Daemon(place, ingest={"socket_group": "no-such-group"}))
    assert "ingest.socket_group: no group 'no-such-group' here" in said


def test_a_port_that_is_taken_is_named(place: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"tcp:127.0.0.1:{taken.getsockname()[1]}"
        assert f"cannot listen on {address}" in refused(Daemon(place, ingest={"listen": address}))


def test_it_listens_on_several_addresses_and_believes_x_real_ip_only_on_the_unix_socket(place: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with Daemon(place, ingest={"listen": [f"unix:{place}/0.sock", f"tcp:127.0.0.1:{port}"]}) as daemon:
        data = request("/c/demo?a=1", headers={"X-Real-IP": "203.0.113.9"})
        assert ask(daemon.socket, data).status == 200
        assert ask(("127.0.0.1", port), data).status == 200
        assert [event["client_ip"] for event in daemon.events()] == ["203.0.113.9", "127.0.0.1"]


def test_a_socket_that_was_handed_over_outlives_restarts_and_nobody_is_refused(place: Path) -> None:
    """As under a systemd socket unit: while no instance runs, requests wait in the backlog."""
    need_nginx()
    ledger = Ledger()
    with Activated(place) as daemon:
        with Nginx(place, [daemon.socket]) as nginx, Load(nginx.address, ledger):
            for _ in range(4):
                ledger.wait_for_acks(300)
                assert daemon.stop() == 0
                assert daemon.socket.exists()
                daemon.start()
            ledger.wait_for_acks(300)
        assert set(ledger.statuses) == {200}
        assert daemon.stop() == 0
    verdict(ledger, daemon)
