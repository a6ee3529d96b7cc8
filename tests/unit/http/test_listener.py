"""A listener's connections over real sockets: served, swept for time-outs, drained."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from ingestd.http import listener
from ingestd.http.connection import Connection, ServerState
from ingestd.http.listener import Listener, Timeouts
from ingestd.http.parser import Limits
from ingestd.http.request import Exchange
from ingestd.http.responses import Reply
from ingestd.http.sockets import unix_socket
from tests.support.fakes import HeldIntake, Received, read_replies

GET = b"GET /c/demo HTTP/1.1\r\n\r\n"
OK = Reply(200, b"ok")


def at_once(exchange: Exchange, *request: object) -> None:
    exchange.answer(OK)


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

    def __init__(self, place: Path, intake: Callable[..., None] = at_once, **timeouts: float) -> None:
        self.path = place / "socket"
        self.refused: list[str] = []
        self.state = ServerState(intake, Limits(), self.refused.append, 100)
        limits = Timeouts(**{"header": 3600.0, "body": 3600.0, "idle": 3600.0, **timeouts})
        self.listener = Listener(self.state, limits, [unix_socket(self.path, 0o600, "")], [self.path])
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
        while len(self.state.connections) != number:
            await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def fast_sweeper(monkeypatch: pytest.MonkeyPatch) -> None:
    """A round of the sweeper every 5 ms instead of every half second; the time-outs are told in rounds."""
    monkeypatch.setattr(listener, "SWEEP_PERIOD", 0.005)


async def test_a_request_is_served_over_a_real_socket(tmp_path: Path) -> None:
    async with Scene(tmp_path) as scene:
        client = await scene.client()
        client.send(GET + GET)
        assert [(await client.reply()).body for _ in range(2)] == [b"ok", b"ok"]
        client.close()
        await scene.connections(0)


@pytest.mark.parametrize(
    ("sent", "timeout", "reason"),
    [
        (b"GET /c/demo HTTP/1.1\r\nHost:", "header", "header_timeout"),
        (b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nhalf", "body", "body_timeout"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab", "body", "body_timeout"),
    ],
)
async def test_a_slow_request_is_answered_and_cut_at_its_time_out(
    sent: bytes, timeout: str, reason: str, tmp_path: Path
) -> None:
    async with Scene(tmp_path, at_once, **{timeout: 0.05}) as scene:
        client = await scene.client()
        client.send(sent)
        reply = await client.reply()
        assert (reply.status, reply.closes) == (408, True)
        assert await client.ended() == b""
        assert scene.refused == [reason]


async def test_a_head_that_drips_is_cut_all_the_same(tmp_path: Path) -> None:
    async with Scene(tmp_path, header=0.05) as scene:
        client = await scene.client()
        client.send(b"GET / HTTP/1.1\r\n")
        reply = asyncio.create_task(client.reply())
        while not reply.done():
            client.send(b"A: b\r\n")
            await asyncio.sleep(0.001)
        assert (await reply).status == 408


async def test_an_idle_connection_ends_without_a_word(tmp_path: Path) -> None:
    async with Scene(tmp_path, idle=0.05) as scene:
        fresh, used = await scene.client(), await scene.client()
        used.send(GET)
        await used.reply()
        assert (await fresh.ended(), await used.ended()) == (b"", b"")
        await scene.connections(0)
        assert scene.refused == []


async def test_who_waits_for_a_reply_is_not_cut(tmp_path: Path) -> None:
    intake = HeldIntake()

    async with Scene(tmp_path, intake, header=0.01, body=0.01, idle=0.01) as scene:
        client = await scene.client()
        client.send(GET)
        rounds = scene.state.tick + 50
        while scene.state.tick < rounds:
            await asyncio.sleep(0.001)
        intake.answer(0, "late")
        assert (await client.reply()).body == b"late"


async def test_a_client_that_does_not_take_its_replies_is_cut_in_the_end(tmp_path: Path) -> None:
    large = Reply(200, b"x" * 5_000_000)

    async with Scene(tmp_path, lambda exchange, *request: exchange.answer(large), idle=0.05) as scene:
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_UNIX) as client:
            client.setblocking(False)
            await loop.sock_connect(client, str(scene.path))
            client.send(b"GET / HTTP/1.0\r\n\r\n")  # answered and closed, as far as we are concerned
            await scene.connections(1)
            await scene.connections(0)


async def test_who_stays_after_a_refusal_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "LINGER", 0.05)

    async with Scene(tmp_path) as scene:
        client = await scene.client()
        client.send(b"\0garbage")
        assert (await client.reply()).status == 400
        await scene.connections(0)


# draining


async def test_a_drain_answers_what_is_under_way_and_ends_the_rest(tmp_path: Path) -> None:
    intake = HeldIntake()

    async with Scene(tmp_path, intake) as scene:
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


async def test_a_drain_serves_who_waits_in_the_backlog(tmp_path: Path) -> None:
    async with Scene(tmp_path) as scene:
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


async def test_a_drained_listener_takes_no_new_connection(tmp_path: Path) -> None:
    async with Scene(tmp_path) as scene:
        await scene.listener.drain()
        with pytest.raises(FileNotFoundError):
            await scene.client()


async def test_an_abort_ends_everything_at_once(tmp_path: Path) -> None:
    intake = HeldIntake()

    async with Scene(tmp_path, intake) as scene:
        client = await scene.client()
        client.send(GET)
        while not intake.exchanges:
            await asyncio.sleep(0)
        scene.listener.abort()
        assert await client.ended() == b""
        await scene.connections(0)


async def test_connections_may_go_while_the_sweeper_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "SLICE", 1)
    seen: list[Connection] = []

    async with Scene(tmp_path, header=0.005) as scene:
        clients = [await scene.client() for _ in range(20)]
        for client in clients:
            client.send(GET[:-2])
        await scene.connections(20)
        for client in clients:
            client.close()
            seen.extend(scene.state.connections)
            await asyncio.sleep(0)
        await scene.connections(0)
        assert seen
