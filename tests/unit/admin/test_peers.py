"""The other instances, asked through this one: whatever answers there does no harm here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import orjson
import pytest

from ingestd.admin import peers as module
from ingestd.admin.peers import PeerError, Peers, relaying
from ingestd.admin.server import Stream
from ingestd.http.responses import Reply

OWN = "tcp:127.0.0.1:9401"


@asynccontextmanager
async def answering(data: bytes, *, close: bool = True) -> AsyncGenerator[tuple[str, list[bytes]]]:
    """A listener that says this to everybody; the address, and what it was asked."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(data)
        await writer.drain()
        if close:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    try:
        yield f"tcp:{host}:{port}", asked
    finally:
        server.close()


def response(body: bytes, status: int = 200) -> bytes:
    return Reply(status, body, "application/json").form(head=False, keep_alive=False)


def test_this_instance_has_its_place_among_the_configured() -> None:
    peers = Peers("tcp:127.0.0.1:9402", ["tcp:127.0.0.1:9401-9403", "unix:/run/x"])
    assert peers.addresses == [f"tcp:127.0.0.1:940{number}" for number in (1, 2, 3)] + ["unix:/run/x"]
    assert peers.own == 1
    alone = Peers(OWN, [])
    assert (alone.addresses, alone.own) == ([OWN], 0)
    assert Peers(OWN, ["tcp:10.0.0.1:9401"]).addresses == [OWN, "tcp:10.0.0.1:9401"]


async def test_an_answer_is_handed_on() -> None:
    async with answering(response(b'{"a":1}', 503)) as (address, asked):
        reply = await Peers(OWN, [address]).get(1, "/api/now?since=3")
    assert (reply.status, reply.keep.rpartition(b"\r\n\r\n")[2]) == (503, b'{"a":1}')
    assert asked[0].startswith(b"GET /api/now?since=3 HTTP/1.1\r\n")


@pytest.mark.parametrize(
    "data", [b"", b"\r\n\r\n", b"SSH-2.0-OpenSSH\r\n\r\n", b"HTTP/1.1 abc x\r\n\r\n", b"x" * 90_000]
)
async def test_what_is_not_an_answer_is_an_error(data: bytes) -> None:
    async with answering(data) as (address, _):
        with pytest.raises(PeerError, match=address):
            await Peers(OWN, [address]).get(1, "/api/now")


async def test_who_does_not_answer_in_time_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIMEOUT", 0.05)
    async with answering(b"HTTP/1.1 200 OK\r\n", close=False) as (address, _):
        with pytest.raises(PeerError, match="no answer in time"):
            await Peers(OWN, [address]).get(1, "/api/now")


async def test_an_endless_answer_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ANSWER", 100_000)
    async with answering(response(b"x" * 200_000)) as (address, _):
        with pytest.raises(PeerError, match="more than 100000 bytes"):
            await Peers(OWN, [address]).get(1, "/api/now")


async def test_a_stream_is_handed_on_and_ends_with_its_instance() -> None:
    async with answering(response(b"one\ntwo\n")) as (address, _):
        peers = Peers(OWN, [address, "tcp:127.0.0.1:1"])
        assert b"".join([piece async for piece in peers.stream(1, "/api/clicks")]) == b"one\ntwo\n"
        assert [piece async for piece in peers.stream(2, "/api/clicks")] == []


async def own(query: str) -> Reply:
    return Reply(200, query.encode())


async def relayed(path: str, query: str, *addresses: str) -> Reply | Stream:
    return await relaying(lambda: Peers(OWN, addresses), path, own)(query)


async def test_the_own_number_or_none_is_answered_here() -> None:
    for query in ("since=1", "since=1&instance=0"):
        reply = await relayed("/api/now", query)
        assert isinstance(reply, Reply)
        assert reply.status == 200


async def test_another_number_is_asked_there_without_it() -> None:
    async with answering(response(b"{}")) as (address, asked):
        await relayed("/api/now", "since=1&instance=1&name=a%26b", address)
        assert asked[0].startswith(b"GET /api/now?since=1&name=a%26b HTTP/1.1\r\n")
        assert isinstance(await relayed("/api/clicks", "instance=1", address), Stream)


@pytest.mark.parametrize("number", ["2", "-1", "x", "1.0", "9" * 30])
async def test_an_instance_that_is_not_configured_is_not_asked(number: str) -> None:
    reply = await relayed("/api/now", f"instance={number}", "tcp:127.0.0.1:1")
    assert isinstance(reply, Reply)
    assert reply.status == 404


async def test_an_instance_that_is_down_is_a_502_with_its_address() -> None:
    reply = await relayed("/api/now", "instance=1", "tcp:127.0.0.1:1")
    assert isinstance(reply, Reply)
    assert reply.status == 502
    assert "tcp:127.0.0.1:1" in orjson.loads(reply.keep.rpartition(b"\r\n\r\n")[2])["problem"]
