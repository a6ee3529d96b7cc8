"""Socket activation, readiness, draining and restarts, as systemd sees them."""

from __future__ import annotations

import http.client

import pytest

from tests.support.systemd.clicks import Clicks
from tests.support.systemd.host import STATE, Host

pytestmark = pytest.mark.systemd
SERVICE = "ingestd.service"
CONNECT = "import socket; socket.socket(socket.AF_UNIX).connect('/run/ingestd/ingestd.sock')"


def connect_as(host: Host, user: str) -> str:
    """What a user's attempt to connect ends in: "" or the error."""
    become = ("setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups")
    if user == "nobody":
        become = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")
    tried = host.guest.run(*become, "/opt/ingestd/bin/python", "-c", CONNECT, check=False)
    return tried.stderr


def test_the_first_connection_starts_the_daemon_and_is_answered(host: Host) -> None:
    assert host.guest.show(SERVICE, "ActiveState") == "inactive"
    assert host.click("click_id=first") == (200, "ok")
    assert host.guest.show(SERVICE, "ActiveState") == "active"
    assert host.stored_ids() == ["first"]


def test_only_nginx_may_connect(host: Host) -> None:
    assert connect_as(host, "www-data") == ""
    assert "PermissionError" in connect_as(host, "nobody")


def test_ready_is_said_when_requests_are_taken_and_not_before(host: Host) -> None:
    # A file where a directory belongs: the daemon cannot start.
    host.guest.write(f"{STATE}/clicks", "in the way")
    since = host.journal.position()
    host.guest.systemctl("start", "--no-block", SERVICE)
    host.journal.wait(SERVICE, "Main process exited, code=exited, status=1", since)
    assert host.guest.show(SERVICE, "ActiveState") == "activating"
    assert host.journal.notifications(SERVICE, since) == []
    # systemd goes on trying, so nobody has to come and start it when the cause is gone.
    host.guest.path(f"{STATE}/clicks").unlink()
    host.journal.wait(SERVICE, "^Started", since)
    assert host.admin("/readyz") == (200, "ready\n")
    assert host.click("click_id=1") == (200, "ok")
    assert [text for _pid, text in host.journal.notifications(SERVICE, since)] == [
        "READY=1, STATUS=accepting events for 1 sources"
    ]


def test_stop_answers_what_is_under_way(host: Host) -> None:
    host.guest.systemctl("start", SERVICE)
    with host.connect() as client:
        client.sendall(b"GET /c/demo?click_id=slow HTTP/1.1\r\nHost: cl")
        # Answered on another connection: the daemon's loop has turned, and has seen the half request.
        host.click("click_id=fast")
        since = host.journal.position()
        host.guest.systemctl("stop", "--no-block", SERVICE)
        host.journal.wait(SERVICE, r"\(STOPPING=1, STATUS=graceful shutdown\)", since)
        client.sendall(b"ick.example.com\r\n\r\n")
        answer = http.client.HTTPResponse(client)
        answer.begin()
        assert (answer.status, answer.headers["Connection"]) == (200, "close")
    host.guest.systemctl("stop", SERVICE)  # waits for the end of the one under way
    assert host.guest.show(SERVICE, "Result") == "success"
    assert host.guest.show(SERVICE, "ExecMainStatus") == "0"
    assert sorted(host.stored_ids()) == ["fast", "slow"]


def test_nobody_notices_a_restart(host: Host) -> None:
    with Clicks(host.connect) as clicks:
        clicks.wait_for_more()
        for _ in range(2):
            host.guest.systemctl("restart", SERVICE)
            clicks.wait_for_more()
    host.expect_nothing_lost(clicks)
    assert not clicks.refused


def test_stopping_the_socket_as_well_is_seen_by_nginx_at_once(host: Host) -> None:
    host.guest.systemctl("start", SERVICE)
    host.guest.systemctl("stop", "ingestd.socket", SERVICE)
    with pytest.raises(ConnectionRefusedError):
        host.connect()
