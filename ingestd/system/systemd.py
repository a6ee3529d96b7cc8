"""What systemd asks of a service: sd_notify messages, handed-over sockets, the watchdog's period.

Source: sd_notify(3), sd_listen_fds(3), sd_watchdog_enabled(3).
"""

from __future__ import annotations

import contextlib
import os
import socket

FIRST_FD = 3
# Seconds a supervisor that reads nothing may hold us up; what it was to be told is then left out.
PATIENCE = 0.25


def notify(*states: str) -> None:
    """Send state lines (`READY=1`, `STATUS=...`) to the supervisor; nothing when there is none."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    # Telling the supervisor must never be what takes the service down.
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(PATIENCE)
        sock.connect(address)
        sock.sendall("\n".join(states).encode())


def listen_fds() -> list[socket.socket]:
    """The listening sockets handed over to this process, in order; [] when there are none.

    Clears the variables, so that a child process does not take them for its own.
    """
    pid, count = os.environ.pop("LISTEN_PID", None), os.environ.pop("LISTEN_FDS", None)
    os.environ.pop("LISTEN_FDNAMES", None)
    if not count or pid != str(os.getpid()):
        return []
    sockets = []
    for fd in range(FIRST_FD, FIRST_FD + int(count)):
        os.set_inheritable(fd, False)
        sock = socket.socket(fileno=fd)
        sock.setblocking(False)
        sockets.append(sock)
    return sockets


def watchdog_period() -> float | None:
    """Seconds within which the supervisor wants `WATCHDOG=1`, or None when it does not watch us."""
    usec, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not usec.isdigit() or pid not in ("", str(os.getpid())):
        return None
    return int(usec) / 1e6
