"""Opening listening sockets: TCP, Unix, or those systemd hands over."""

from __future__ import annotations

import contextlib
import errno
import grp
import logging
import os
import socket
import stat
from pathlib import Path

from ingestd.errors import ListenError

logger = logging.getLogger(__name__)


def open_sockets(
    addresses: tuple[str, ...], handed_over: list[socket.socket], mode: int, group: str
) -> tuple[list[socket.socket], list[Path]]:
    """The listening sockets, and the paths of the socket files created for them.

    `addresses`: `unix:<path>` or `tcp:<host>:<port>`; ignored if systemd has handed sockets over. `mode`,
    `group`: of socket files; an empty group leaves it as it is. Raises ListenError.
    """
    if handed_over:
        return handed_over, []
    sockets: list[socket.socket] = []
    owned: list[Path] = []
    try:
        for address in addresses:
            kind, _, rest = address.partition(":")
            if kind == "unix":
                path = Path(rest)
                sockets.append(unix_socket(path, mode, group))
                owned.append(path)
            else:
                sockets.append(tcp_socket(rest))
    except ListenError:
        for sock in sockets:
            sock.close()
        for path in owned:
            path.unlink()
        raise
    return sockets, owned


def tcp_socket(address: str) -> socket.socket:
    """A TCP socket bound to `host:port`. Raises ListenError."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, int(port)))
    except (OSError, OverflowError) as error:
        sock.close()
        raise ListenError(f"cannot listen on tcp:{address}: {error}") from error
    sock.setblocking(False)
    return sock


def unix_socket(path: Path, mode: int, group: str) -> socket.socket:
    """A Unix socket bound to `path`, replacing a stale one. Raises ListenError."""
    group_id = _group_id(path, group) if group else -1
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        _bind(sock, path, mode, group_id)
    except ListenError:
        sock.close()
        raise
    except OSError as error:
        sock.close()
        raise ListenError(f"cannot listen on unix:{path}: {error.strerror or error}") from error
    sock.setblocking(False)
    return sock


def _bind(sock: socket.socket, path: Path, mode: int, group_id: int) -> None:
    """Bind with no permissions, then set them: at no moment has anybody more access than configured."""
    old_mask = os.umask(0o777)
    try:
        sock.bind(str(path))
    finally:
        os.umask(old_mask)
    try:
        os.chown(path, -1, group_id)
        path.chmod(mode)
    except OSError:
        path.unlink()  # without permissions nobody could find out that it is stale
        raise


def _group_id(path: Path, group: str) -> int:
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise ListenError(
            f"cannot listen on unix:{path}: ingest.socket_group: no group {group!r} here"
        ) from None


def _remove_stale(path: Path) -> None:
    try:
        state = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(state.st_mode):
        raise ListenError(f"cannot listen on unix:{path}: the file there is not a socket; move it away")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            logger.warning("replacing a stale socket", extra={"path": str(path)})
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
            return
        except OSError as error:
            if error.errno != errno.EAGAIN:  # EAGAIN: alive, its backlog full
                raise ListenError(f"cannot listen on unix:{path}: {error}") from error
    raise ListenError(f"cannot listen on unix:{path}: another process is listening there; stop it first")
