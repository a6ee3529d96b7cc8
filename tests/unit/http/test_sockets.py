"""Listening sockets: made as configured, stale ones replaced, living ones left alone, errors in words."""

from __future__ import annotations

import grp
import logging
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from ingestd.errors import ListenError
from ingestd.http.sockets import open_sockets, tcp_socket, unix_socket


def test_a_unix_socket_has_the_configured_mode_and_group(tmp_path: Path) -> None:
    group = grp.getgrgid(os.getegid()).gr_name
    with unix_socket(tmp_path / "deep" / "er" / "socket", 0o660, group):
        state = (tmp_path / "deep" / "er" / "socket").stat()
        assert (stat.S_IMODE(state.st_mode), state.st_gid) == (0o660, os.getegid())


def test_a_stale_socket_is_replaced_and_said_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "socket"
    unix_socket(path, 0o600, "").close()
    with caplog.at_level(logging.WARNING), unix_socket(path, 0o600, ""):
        assert [record.message for record in caplog.records] == ["replacing a stale socket"]


def test_a_socket_somebody_listens_on_is_not_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with unix_socket(path, 0o600, "") as alive:
        alive.listen(1)
        with pytest.raises(ListenError, match="another process is listening there"):
            unix_socket(path, 0o600, "")
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))


def test_a_socket_whose_backlog_is_full_is_alive(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with unix_socket(path, 0o600, "") as alive:
        alive.listen(0)
        clients = [socket.socket(socket.AF_UNIX) for _ in range(3)]
        for client in clients:
            client.setblocking(False)
            client.connect_ex(str(path))
        with pytest.raises(ListenError, match="another process is listening there"):
            unix_socket(path, 0o600, "")
        for client in clients:
            client.close()


def test_a_file_that_is_no_socket_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    path.write_text("precious")
    with pytest.raises(ListenError, match="not a socket; move it away"):
        unix_socket(path, 0o600, "")
    assert path.read_text() == "precious"


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda path: unix_socket(path / ("x" * 200), 0o600, ""), "too long"),
        (lambda path: unix_socket(path / "file" / "socket", 0o600, ""), "Not a directory"),
        (lambda path: unix_socket(path / "socket", 0o600, "no-such-group"), "no group 'no-such-group'"),
        (lambda path: tcp_socket("127.0.0.1:99999"), "port"),
        (lambda path: tcp_socket("192.0.2.1:1"), "Cannot assign"),
    ],
)
def test_a_socket_that_cannot_be_had_says_why(
    make: Callable[[Path], socket.socket], why: str, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ListenError, match=why):
        make(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_socket_that_cannot_be_opened_as_configured_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*arguments: object, **named: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chown", refused)
    with pytest.raises(ListenError, match="Operation not permitted"):
        unix_socket(tmp_path / "socket", 0o600, grp.getgrgid(os.getegid()).gr_name)
    assert list(tmp_path.iterdir()) == []


def test_a_port_that_is_taken_is_an_error_in_words() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ListenError, match=f"cannot listen on tcp:127.0.0.1:{port}: .*in use"):
            tcp_socket(f"127.0.0.1:{port}")


def test_every_configured_address_is_opened(tmp_path: Path) -> None:
    sockets, owned = open_sockets((f"unix:{tmp_path}/a", "tcp:127.0.0.1:0"), [], 0o600, "")
    assert [sock.family for sock in sockets] == [socket.AF_UNIX, socket.AF_INET]
    assert owned == [tmp_path / "a"]
    for sock in sockets:
        sock.close()


def test_where_one_address_cannot_be_had_none_is_kept(tmp_path: Path) -> None:
    (tmp_path / "b").write_text("no socket")
    with pytest.raises(ListenError):
        open_sockets((f"unix:{tmp_path}/a", f"unix:{tmp_path}/b"), [], 0o600, "")
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_sockets_handed_over_are_used_instead(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as handed:
        assert open_sockets((f"unix:{tmp_path}/a",), [handed], 0o600, "") == ([handed], [])
    assert list(tmp_path.iterdir()) == []
