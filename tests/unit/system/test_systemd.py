"""What systemd hands over and is told, by the variables and sockets of sd_notify(3) and sd_listen_fds(3)."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingestd.system import systemd
from tests.support.waiting import FAR


@pytest.fixture
def supervisor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The socket a supervisor reads notifications from."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(FAR)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield sock


def test_the_supervisor_is_told_in_lines(supervisor: socket.socket) -> None:
    systemd.notify("READY=1", "STATUS=taking events")
    assert supervisor.recv(100) == b"READY=1\nSTATUS=taking events"


def test_an_abstract_socket_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"ingestd-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("\0" + name)
        sock.settimeout(FAR)
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + name)
        systemd.notify("STOPPING=1")
        assert sock.recv(100) == b"STOPPING=1"


def test_without_a_supervisor_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    systemd.notify("READY=1")


def test_a_supervisor_that_is_gone_does_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    systemd.notify("READY=1")


def test_a_supervisor_that_reads_nothing_holds_nobody_up(
    supervisor: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Once the whole daemon stood still in its tenth message: the queue of a datagram socket is short.
    monkeypatch.setattr(systemd, "TIMEOUT", 0.001)
    for number in range(1000):
        systemd.notify(f"STATUS={number}")
    assert supervisor.recv(100) == b"STATUS=0"


HANDED_OVER = """
import os, socket
from ingestd.system import systemd
sockets = systemd.listen_fds()
print([sock.getsockname()[1] for sock in sockets], [sock.gettimeout() for sock in sockets])
print([os.get_inheritable(sock.fileno()) for sock in sockets], [k for k in os.environ if k[:6] == "LISTEN"])
print(systemd.listen_fds())
"""


def test_sockets_handed_over_are_taken_in_their_order_and_not_passed_on() -> None:
    """In a process of its own: descriptors 3 and 4 are those systemd gives."""
    first, second = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))
    start = "import os, sys; os.environ['LISTEN_PID'] = str(os.getpid()); exec(sys.argv[1])"

    def hand_over() -> None:
        os.dup2(first.fileno(), 30)
        os.dup2(second.fileno(), 31)
        os.dup2(30, 3)
        os.dup2(31, 4)

    with first, second:
        done = subprocess.run(
            [sys.executable, "-c", start, HANDED_OVER],
            env={**os.environ, "LISTEN_FDS": "2", "LISTEN_FDNAMES": "a:b"},
            preexec_fn=hand_over, close_fds=False, capture_output=True, text=True, check=True,
        )  # fmt: skip
        ports = [first.getsockname()[1], second.getsockname()[1]]
    assert done.stdout.splitlines() == [f"{ports} [0.0, 0.0]", "[False, False] []", "[]"]


@pytest.mark.parametrize("pid", ["1", "", "none"])
def test_sockets_for_another_process_are_not_taken(pid: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTEN_PID", pid)
    monkeypatch.setenv("LISTEN_FDS", "1")
    assert systemd.listen_fds() == []


@pytest.mark.parametrize(
    ("usec", "pid", "period"),
    [
        ("30000000", None, 30.0), ("30000000", "own", 30.0),
        ("30000000", "1", None), ("", None, None), ("soon", None, None),
    ],
)  # fmt: skip
def test_the_watchdog_has_a_period_if_it_watches_us(
    usec: str, pid: str | None, period: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", usec)
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    if pid is not None:
        monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()) if pid == "own" else pid)
    assert systemd.watchdog_period() == period
