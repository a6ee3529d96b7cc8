"""Listening sockets and their connections: opened, swept for time-outs, drained; over real sockets."""

from __future__ import annotations

import asyncio
import grp
import logging
import os
import socket
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from ingestd import listener
from ingestd.errors import ListenError
from ingestd.http1 import Limits
from ingestd.listener import Listener, Timeouts, open_sockets, tcp_socket, unix_socket
from ingestd.protocol import Connection, Exchange, Shared
from ingestd.replies import Reply
from tests.support.fakes import HeldIntake, Received, read_replies, run

GET = b"GET /c/demo HTTP/1.1\r\n\r\n"
OK = Reply(200, b"ok")


def at_once(exchange: Exchange, *request: object) -> None:
    exchange.answer(OK)


# sockets


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
    with pytest.raises(ListenError, match="no socket; move it away"):
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


# connections


class Client:
    """A client over a Unix socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    async def reply(self) -> Received:
        head = await self._reader.readuntil(b"\r\n\r\n")
        fields = dict(line.split(": ") for line in head.decode().split("\r\n")[1:] if line)
        body = await self._reader.readexactly(int(fields.get("Content-Length", "0")))
        return read_replies(head + body)[0]

    async def ended(self) -> bytes:
        """What comes until the other side closes."""
        return await self._reader.read()

    def close(self) -> None:
        self._writer.close()


class Scene:
    """A listener over a Unix socket, its sweeper at a hundred times the pace."""

    def __init__(self, path: Path, intake: Callable[..., None], **timeouts: float) -> None:
        self.path = path
        self.refused: list[str] = []
        self.shared = Shared(intake, Limits(), self.refused.append, 100)
        limits = Timeouts(**{"header": 3600.0, "body": 3600.0, "idle": 3600.0, **timeouts})
        self.listener = Listener(self.shared, limits, [unix_socket(path, 0o600, "")], [path])
        self._sweeper: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Scene:
        await self.listener.start(100)
        self._sweeper = asyncio.create_task(self.listener.sweep())
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._sweeper is not None
        assert not self._sweeper.done(), "the sweeper ended"
        self._sweeper.cancel()
        self.listener.abort()

    async def client(self) -> Client:
        return Client(*await asyncio.open_unix_connection(str(self.path)))

    async def connections(self, number: int) -> None:
        """Wait until there are so many."""
        while len(self.shared.connections) != number:
            await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def fast_sweeper(monkeypatch: pytest.MonkeyPatch) -> None:
    """A round of the sweeper every 5 ms instead of every half second; the time-outs are told in rounds."""
    monkeypatch.setattr(listener, "SWEEP_PERIOD", 0.005)


def scene(
    path: Path,
    main: Callable[[Scene], Awaitable[None]],
    intake: Callable[..., None] = at_once,
    **timeouts: float,
) -> None:
    async def run_it() -> None:
        async with Scene(path / "socket", intake, **timeouts) as built:
            await main(built)

    run(run_it())


def test_a_request_is_served_over_a_real_socket(tmp_path: Path) -> None:
    async def main(scene: Scene) -> None:
        client = await scene.client()
        client.send(GET + GET)
        assert [(await client.reply()).body for _ in range(2)] == [b"ok", b"ok"]
        client.close()
        await scene.connections(0)

    scene(tmp_path, main)


@pytest.mark.parametrize(
    ("sent", "timeout", "reason"),
    [
        (b"GET /c/demo HTTP/1.1\r\nHost:", "header", "header_timeout"),
        (b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nhalf", "body", "body_timeout"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab", "body", "body_timeout"),
    ],
)
def test_a_slow_request_is_answered_and_cut_at_its_time_out(
    sent: bytes, timeout: str, reason: str, tmp_path: Path
) -> None:
    async def main(scene: Scene) -> None:
        client = await scene.client()
        client.send(sent)
        reply = await client.reply()
        assert (reply.status, reply.closes) == (408, True)
        assert await client.ended() == b""
        assert scene.refused == [reason]

    scene(tmp_path, main, at_once, **{timeout: 0.05})


def test_a_head_that_drips_is_cut_all_the_same(tmp_path: Path) -> None:
    async def main(scene: Scene) -> None:
        client = await scene.client()
        client.send(b"GET / HTTP/1.1\r\n")
        reply = asyncio.create_task(client.reply())
        while not reply.done():
            client.send(b"A: b\r\n")
            await asyncio.sleep(0.001)
        assert (await reply).status == 408

    scene(tmp_path, main, header=0.05)


def test_an_idle_connection_ends_without_a_word(tmp_path: Path) -> None:
    async def main(scene: Scene) -> None:
        fresh, used = await scene.client(), await scene.client()
        used.send(GET)
        await used.reply()
        assert (await fresh.ended(), await used.ended()) == (b"", b"")
        await scene.connections(0)
        assert scene.refused == []

    scene(tmp_path, main, idle=0.05)


def test_who_waits_for_a_reply_is_not_cut(tmp_path: Path) -> None:
    intake = HeldIntake()

    async def main(scene: Scene) -> None:
        client = await scene.client()
        client.send(GET)
        rounds = scene.shared.tick + 50
        while scene.shared.tick < rounds:
            await asyncio.sleep(0.001)
        intake.answer(0, "late")
        assert (await client.reply()).body == b"late"

    scene(tmp_path, main, intake, header=0.01, body=0.01, idle=0.01)


def test_a_client_that_does_not_take_its_replies_is_cut_in_the_end(tmp_path: Path) -> None:
    large = Reply(200, b"x" * 5_000_000)

    async def main(scene: Scene) -> None:
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_UNIX) as client:
            client.setblocking(False)
            await loop.sock_connect(client, str(scene.path))
            client.send(b"GET / HTTP/1.0\r\n\r\n")  # answered and closed, as far as we are concerned
            await scene.connections(1)
            await scene.connections(0)

    scene(tmp_path, main, lambda exchange, *request: exchange.answer(large), idle=0.05)


def test_who_stays_after_a_refusal_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "LINGER", 0.05)

    async def main(scene: Scene) -> None:
        client = await scene.client()
        client.send(b"\0garbage")
        assert (await client.reply()).status == 400
        await scene.connections(0)

    scene(tmp_path, main)


# draining


def test_a_drain_answers_what_is_under_way_and_ends_the_rest(tmp_path: Path) -> None:
    intake = HeldIntake()

    async def main(scene: Scene) -> None:
        idle, waiting = await scene.client(), await scene.client()
        waiting.send(GET)
        await scene.connections(2)
        while not intake.exchanges:
            await asyncio.sleep(0)
        drain = asyncio.create_task(scene.listener.drain())
        assert await idle.ended() == b""
        assert not drain.done()
        intake.answer(0, "in time")
        reply = await waiting.reply()
        assert (reply.body, reply.closes) == (b"in time", True)
        await drain
        assert not scene.path.exists()

    scene(tmp_path, main, intake)


def test_a_drain_serves_who_waits_in_the_backlog(tmp_path: Path) -> None:
    async def main(scene: Scene) -> None:
        clients = []
        for _ in range(20):  # connected in the kernel; nothing of ours has seen them yet
            client = socket.socket(socket.AF_UNIX)
            client.connect(str(scene.path))
            client.send(GET)
            client.setblocking(False)
            clients.append(client)
        loop = asyncio.get_running_loop()
        _, *received = await asyncio.gather(
            scene.listener.drain(), *(loop.sock_recv(client, 1000) for client in clients)
        )
        assert all(data and data.startswith(b"HTTP/1.1 200 OK\r\n") for data in received)
        for client in clients:
            client.close()

    scene(tmp_path, main)


def test_a_drained_listener_takes_no_new_connection(tmp_path: Path) -> None:
    async def main(scene: Scene) -> None:
        await scene.listener.drain()
        with pytest.raises(FileNotFoundError):
            await scene.client()

    scene(tmp_path, main)


def test_an_abort_ends_everything_at_once(tmp_path: Path) -> None:
    intake = HeldIntake()

    async def main(scene: Scene) -> None:
        client = await scene.client()
        client.send(GET)
        while not intake.exchanges:
            await asyncio.sleep(0)
        scene.listener.abort()
        assert await client.ended() == b""
        await scene.connections(0)

    scene(tmp_path, main, intake)


def test_connections_may_go_while_the_sweeper_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "SLICE", 1)
    seen: list[Connection] = []

    async def main(scene: Scene) -> None:
        clients = [await scene.client() for _ in range(20)]
        for client in clients:
            client.send(GET[:-2])
        await scene.connections(20)
        for client in clients:
            client.close()
            seen.extend(scene.shared.connections)
            await asyncio.sleep(0)
        await scene.connections(0)
        assert seen

    scene(tmp_path, main, header=0.005)
