"""A connection under pressure: clients that do not read, send too much, wait too long; draining; memory."""

from __future__ import annotations

import asyncio
import socket
import tracemalloc
from pathlib import Path

import pytest

from ingestd.http.connection import MAX_PIPELINE, Connection, ServerState, _shutdown_reading
from ingestd.http.parser import Limits
from ingestd.http.request import Exchange, Request
from ingestd.http.responses import Reply
from tests.support.fakes import FakeTransport, HeldIntake, connect
from tests.support.loop import turns

GET = b"GET /c/demo?n=1 HTTP/1.1\r\nHost: x\r\n\r\n"
OK = Reply(200, b"ok")


def at_once(exchange: Exchange, *request: object) -> None:
    exchange.answer(OK)


# too many pipelined


def test_we_stop_reading_when_too_many_replies_are_due() -> None:
    intake = HeldIntake()
    transport, connection = connect(intake)
    connection.data_received(GET * (MAX_PIPELINE - 1))
    assert transport.reading
    connection.data_received(GET)
    assert not transport.reading


def test_we_read_again_when_half_of_them_have_left() -> None:
    intake = HeldIntake()
    transport, connection = connect(intake)
    connection.data_received(GET * MAX_PIPELINE)
    for number in range(MAX_PIPELINE // 2):
        intake.answer(number)
        assert not transport.reading
    intake.answer(MAX_PIPELINE // 2)
    assert transport.reading


def test_replies_answered_behind_one_that_is_not_do_not_let_us_read_again() -> None:
    intake = HeldIntake()
    transport, connection = connect(intake)
    connection.data_received(GET * MAX_PIPELINE)
    for number in range(1, MAX_PIPELINE):
        intake.answer(number)
    assert not transport.reading
    intake.answer(0)
    assert transport.reading


# a client that does not take its replies


def test_we_do_not_read_while_the_client_does_not() -> None:
    transport, connection = connect(at_once)
    connection.data_received(GET)
    connection.pause_writing()
    assert not transport.reading
    connection.data_received(GET)  # had been read already: it is answered, and that does not undo the pause
    assert not transport.reading
    connection.resume_writing()
    assert transport.reading


def test_a_client_that_reads_again_is_not_read_from_while_too_many_replies_are_due() -> None:
    intake = HeldIntake()
    transport, connection = connect(intake)
    connection.data_received(GET * MAX_PIPELINE)
    connection.pause_writing()
    connection.resume_writing()
    assert not transport.reading
    for number in range(MAX_PIPELINE):
        intake.answer(number)
    assert transport.reading


async def test_a_client_that_never_reads_takes_bounded_memory(tmp_path: Path) -> None:
    """Over a real socket: it sends until it cannot, and what it is owed stays small."""

    loop = asyncio.get_running_loop()
    state = ServerState(at_once, Limits(), lambda reason: None, 10)
    path = str(tmp_path / "socket")
    server = await loop.create_unix_server(lambda: Connection(state), path)
    client = socket.socket(socket.AF_UNIX)
    client.setblocking(False)
    await loop.sock_connect(client, path)
    sent, refusals = 0, 0
    while refusals < 100 and sent < 50_000_000:  # until nothing more goes in
        try:
            sent += client.send(GET * 1000)
            refusals = 0
        except BlockingIOError:
            refusals += 1
        await turns()
    [connection] = state.connections
    assert connection.transport is not None
    owed = connection.transport.get_write_buffer_size()
    client.close()
    server.close()
    assert sent < 20_000_000
    assert owed < 4_000_000


# memory


def test_a_connection_that_serves_for_long_keeps_nothing() -> None:
    transport, connection = connect(at_once)
    request = b"POST /c/demo HTTP/1.1\r\nContent-Length: 500\r\nX: " + b"x" * 500 + b"\r\n\r\n" + b"b" * 500

    def serve(times: int) -> None:
        for _ in range(times):
            connection.data_received(request)
            transport.written = b""

    serve(100)
    tracemalloc.start()
    serve(2000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 50_000


# draining


def test_a_drain_closes_with_the_last_reply_due() -> None:
    intake = HeldIntake()
    transport, connection = connect(intake, peer=("192.0.2.7", 1))
    connection.data_received(GET + GET)
    connection.drain()
    intake.answer(0)
    assert not transport.closed
    intake.answer(1)
    assert [reply.closes for reply in transport.replies()] == [False, True]
    assert transport.closed


def test_a_drain_ends_a_connection_whose_last_reply_was_ready_before_it() -> None:
    # It said keep-alive already, so nothing in it tells the client; the connection must end all the same.
    intake = HeldIntake()
    transport, connection = connect(intake, peer=("192.0.2.7", 1))
    connection.data_received(GET + GET)
    intake.answer(1)
    connection.drain()
    intake.answer(0)
    assert transport.statuses() == [200, 200]
    assert transport.closed


def test_a_drain_closes_an_idle_connection_at_once() -> None:
    transport, connection = connect(at_once, peer=("192.0.2.7", 1))
    connection.data_received(GET)
    connection.drain()
    assert transport.closed


def test_a_drain_lets_a_request_that_has_begun_be_finished() -> None:
    transport, connection = connect(at_once, peer=("192.0.2.7", 1))
    connection.data_received(GET[:20])
    connection.drain()
    assert not transport.closed
    connection.data_received(GET[20:])
    [reply] = transport.replies()
    assert (reply.closes, transport.closed) == (True, True)


def test_a_drain_answers_no_request_behind_its_last_reply() -> None:
    served: list[bytes] = []

    def intake(exchange: Exchange, request: Request) -> None:
        served.append(request.target)
        exchange.answer(OK)

    transport, connection = connect(intake, peer=("192.0.2.7", 1))
    connection.data_received(GET[:20])
    connection.drain()
    connection.data_received(GET[20:] + GET)
    assert (served, transport.statuses()) == ([b"/c/demo?n=1"], [200])


async def test_a_drain_loses_nothing_that_was_sent_over_a_unix_socket() -> None:
    """A real socket pair: a request in the kernel when we drain is still answered; the next write fails."""

    loop = asyncio.get_running_loop()
    ours, client = socket.socketpair(socket.AF_UNIX)
    for sock in (ours, client):
        sock.setblocking(False)
    state = ServerState(at_once, Limits(), lambda reason: None, 10)
    _, connection = await loop.create_unix_connection(lambda: Connection(state), sock=ours)
    client.send(GET)
    connection.drain()
    received = await loop.sock_recv(client, 4096)
    while state.connections:
        await turns(1)
    try:
        client.send(GET)
        refused = False
    except BrokenPipeError:
        refused = True
    client.close()
    assert received.startswith(b"HTTP/1.1 200 OK\r\n")
    assert refused


# what the sweeper is told


@pytest.mark.parametrize(
    ("data", "waiting_for"),
    [
        (b"", "request"),
        (GET[:20], "head"),
        (b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhi", "body"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", "body"),
        (GET, "reply"),
        (GET + GET[:20], "reply"),
    ],
)
def test_a_connection_knows_what_it_waits_for(data: bytes, waiting_for: str) -> None:
    _, connection = connect(HeldIntake())
    if data:
        connection.data_received(data)
    assert connection.waiting_for == waiting_for


def test_a_wait_is_counted_from_where_it_began() -> None:
    state = ServerState(HeldIntake(), Limits(), lambda reason: None, 10)
    _, connection = connect(state.take, state=state)
    state.tick = 5
    connection.data_received(b"POST / HTTP/1.1\r\n")
    state.tick = 8
    connection.data_received(b"Content-Length: 3\r\n")
    assert connection.since == 5  # a head that drips does not start anew with every drop
    connection.data_received(b"\r\n")
    assert connection.since == 8  # the body has a time of its own
    state.tick = 9
    connection.data_received(b"a")
    assert connection.since == 8
    connection.data_received(b"bc")
    assert connection.since == 9


def test_a_peer_that_is_gone_already_is_not_told_to_stop() -> None:
    with socket.socket() as alone:  # connected to nobody, as after a reset
        _shutdown_reading(alone.fileno())
        assert alone.fileno() >= 0


# bytes of requests that have not come whole


def unfinished(body: int, sent: int) -> bytes:
    return b"POST /c/demo HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % body + b"x" * sent


def sharing(limit: int, count: int) -> tuple[ServerState, list[tuple[FakeTransport, Connection]], list[str]]:
    refused: list[str] = []
    state = ServerState(at_once, Limits(unfinished=limit), refused.append, count)
    made = []
    for _ in range(count):
        connection, transport = Connection(state), FakeTransport()
        connection.connection_made(transport)
        made.append((transport, connection))
    return state, made, refused


def test_bodies_that_have_not_come_whole_are_capped_together() -> None:
    """300 of 1 MB held 294 MiB, which no cap counted."""
    size = 100_000
    state, made, refused = sharing(10 * size, 30)
    tracemalloc.start()
    for _, connection in made:
        connection.data_received(unfinished(size + 1, size))
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert refused == ["overload"] * 20
    assert [transport.statuses() for transport, _ in made] == [[]] * 10 + [[503]] * 20
    assert state.held == 10 * size
    assert held < 13 * size
    for transport, connection in made[:5]:
        connection.data_received(b"x" + GET)
        assert transport.statuses() == [200, 200]
    assert state.held == 5 * size
    for _, connection in made:
        connection.connection_lost(None)
    assert state.held == 0


def test_a_body_that_comes_in_pieces_is_refused_when_it_passes_the_cap() -> None:
    state, [(transport, connection)], refused = sharing(50_000, 1)
    connection.data_received(unfinished(100_000, 0))
    for _ in range(10):
        connection.data_received(b"x" * 10_000)
    assert (transport.statuses(), refused, state.held) == ([503], ["overload"], 0)


def test_heads_that_have_not_come_whole_count_too() -> None:
    state, made, refused = sharing(100_000, 20)
    for _, connection in made:
        connection.data_received(b"GET /c/demo?" + b"a" * 10_000)
    assert len(refused) == 11
    assert state.held <= 100_000


def test_a_request_that_comes_whole_is_never_held() -> None:
    state, [(transport, connection)], _ = sharing(100, 1)
    connection.data_received(unfinished(50_000, 50_000) + GET * 100)
    assert (set(transport.statuses()), state.held) == ({200}, 0)
