"""A service's side of systemd: sd_notify messages, sockets passed on, the watchdog.

Source: sd_notify(3), sd_listen_fds(3), sd_watchdog_enabled(3).
"""

from __future__ import annotations

import contextlib
import os
import socket

FIRST_FD = 3
# Seconds to wait for a supervisor that does not read; the message is then dropped.
TIMEOUT = 0.25


def notify(*states: str) -> None:
    """Send state lines (`READY=1`, `STATUS=...`) to the supervisor, if there is one. Never raises."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    # A supervisor that cannot be reached must not take the service down.
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(TIMEOUT)
        sock.connect(address)
        sock.sendall("\n".join(states).encode())


def listen_fds() -> list[socket.socket]:
    """The listening sockets that systemd passed to this process, in order, non-blocking; [] without any.

    Clears the environment variables, so that a child process does not take the sockets for its own.
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
    """Seconds within which the supervisor expects `WATCHDOG=1`, or None without a watchdog."""
    usec, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not usec.isdigit() or pid not in ("", str(os.getpid())):
        return None
    return int(usec) / 1e6
