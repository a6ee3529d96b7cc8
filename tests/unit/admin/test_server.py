"""The admin connection: one request, one answer, whoever asks and however."""

from __future__ import annotations

import asyncio
import logging

import pytest

from ingestd.admin.server import (
    MAX_CONNECTIONS,
    TIMEOUT,
    AdminConnection,
    Handler,
    Routes,
    as_json,
)
from ingestd.http.responses import Reply
from tests.support.fakes import FakeTransport, Received
from tests.support.loop import run, turns


async def livez(query: str) -> Reply:
    return Reply(200, f"ok {query}\n".encode())


async def buggy(query: str) -> Reply:
    raise ZeroDivisionError(query)


async def explained(query: str, body: bytes) -> Reply:
    return Reply(200, body[::-1])


HANDLERS: dict[str, Handler] = {"/livez": livez, "/buggy": buggy, "/tail": livez, "/api/now": livez}
ROUTES = Routes(HANDLERS, {"/api/explain": explained})


def connected(
    connections: set[AdminConnection] | None = None, routes: Routes = ROUTES
) -> tuple[FakeTransport, AdminConnection]:
    connection = AdminConnection(routes, connections if connections is not None else set())
    transport = FakeTransport()
    connection.connection_made(transport)
    return transport, connection


def ask(data: bytes, heads: tuple[int, ...] = (), routes: Routes = ROUTES) -> tuple[Received, FakeTransport]:
    async def main() -> FakeTransport:
        transport, connection = connected(routes=routes)
        connection.data_received(data)
        await turns()
        connection.connection_lost(None)
        return transport

    transport = run(main())
    [reply] = transport.replies(heads)
    return reply, transport


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_a_known_path_is_answered_and_the_connection_closed(version: bytes) -> None:
    reply, transport = ask(b"GET /livez?a=b HTTP/" + version + b"\r\n\r\n")
    assert (reply.status, reply.body, reply.closes, transport.closed) == (200, b"ok a=b\n", True, True)


def test_a_head_request_has_no_body() -> None:
    reply, _ = ask(b"HEAD /livez HTTP/1.1\r\n\r\n", heads=(0,))
    assert (reply.status, reply.headers["content-length"]) == (200, "4")


def test_an_unknown_path_says_which_there_are() -> None:
    reply, _ = ask(b"GET /metrix HTTP/1.1\r\n\r\n")
    assert (reply.status, reply.body) == (404, b"no such path; try /buggy, /livez, /tail\n")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"POST /livez HTTP/1.1\r\n\r\n", 405),
        (b"BREW /livez HTTP/1.1\r\n\r\n", 405),
        (b"\0garbage", 400),
        (b"GET /" + b"x" * 10_000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"POST /livez HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", 413),
        (b"POST /livez HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n", 417),
    ],
)
def test_what_is_no_request_for_it_is_refused(data: bytes, status: int) -> None:
    reply, transport = ask(data)
    assert (reply.status, reply.closes, transport.closed) == (status, True, True)


def test_a_body_is_taken_where_one_is_expected_and_only_by_post() -> None:
    head = b"/api/explain HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello"
    assert ask(b"POST " + head)[0].body == b"olleh"
    assert ask(b"PUT " + head)[0].status == 413
    assert ask(b"GET /api/explain HTTP/1.1\r\n\r\n")[0].status == 404
    long = b"POST /api/explain HTTP/1.1\r\nContent-Length: 70000\r\n\r\n" + b"x" * 70_000
    assert ask(long)[0].status == 413


@pytest.mark.parametrize(
    ("path", "host", "status"),
    [
        ("/tail", "127.0.0.1:9401", 200),
        ("/tail", "localhost:19401", 200),
        ("/tail", "LOCALHOST", 200),
        ("/tail", "[::1]:9401", 200),
        ("/api/now", "10.1.2.3", 200),
        ("/tail", "evil.example:9401", 421),
        ("/api/now", "localhost.evil.example", 421),
        ("/api/now", "127.0.0.1.evil.example", 421),
        ("/nowhere", "evil.example", 421),
        ("/livez", "ops.example", 200),
    ],
)
def test_another_site_s_name_is_not_answered_where_events_are(path: str, host: str, status: int) -> None:
    """Its page would read them in an operator's browser (DNS rebinding)."""
    data = f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    assert ask(data)[0].status == status
    assert ask(data, routes=Routes(HANDLERS, any_host=True))[0].status == (404 if "no" in path[:3] else 200)


def test_a_bug_of_ours_is_a_logged_500(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        reply, _ = ask(b"GET /buggy HTTP/1.1\r\n\r\n")
    assert reply.status == 500
    assert "ZeroDivisionError" in caplog.text


def test_a_second_request_is_not_answered() -> None:
    reply, _ = ask(b"GET /livez HTTP/1.1\r\n\r\n" * 3)
    assert reply.status == 200


@pytest.mark.parametrize("begun", [b"", b"GET /livez HTT"])
async def test_clients_that_ask_for_nothing_lock_nobody_out(begun: bytes) -> None:
    """The one that has been there longest makes room, so that whoever asks at once is answered."""
    connections: set[AdminConnection] = set()
    idle = []
    for _ in range(3 * MAX_CONNECTIONS):
        idle.append(connected(connections))
        idle[-1][1].data_received(begun)
        await asyncio.sleep(0)
    assert len(connections) == MAX_CONNECTIONS
    aborted = [transport.aborted for transport, _ in idle]
    assert aborted == [True] * 2 * MAX_CONNECTIONS + [False] * MAX_CONNECTIONS
    transport, connection = connected(connections)
    connection.data_received(b"GET /livez HTTP/1.1\r\n\r\n")
    await turns()
    assert transport.statuses() == [200]
    for _, connection in idle:
        connection.connection_lost(None)


async def test_with_all_at_work_one_client_more_gets_503() -> None:
    gate = asyncio.Event()

    async def slow(query: str) -> Reply:
        await gate.wait()
        return Reply(200)

    connections: set[AdminConnection] = set()
    routes = Routes({"/slow": slow})
    made = [connected(connections, routes) for _ in range(MAX_CONNECTIONS)]
    for _, connection in made:
        connection.data_received(b"GET /slow HTTP/1.1\r\n\r\n")
    transport, last = connected(connections, routes)
    assert transport.statuses() == [503]
    gate.set()
    await turns()
    assert [transport.statuses() for transport, _ in made] == [[200]] * MAX_CONNECTIONS
    for connection in [last, *(one for _, one in made)]:
        connection.connection_lost(None)
    assert connections == set()


async def test_a_caller_that_asks_for_nothing_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    assert TIMEOUT > 1
    due: list[float] = []
    loop = asyncio.get_running_loop()
    monkeypatch.setattr("ingestd.admin.server.TIMEOUT", 0.01)
    transport, connection = connected()
    while not transport.closed:
        await asyncio.sleep(0.001)
        due.append(loop.time())
    connection.connection_lost(None)
    assert due


async def test_a_caller_gone_before_the_answer_does_no_harm() -> None:
    transport, connection = connected()
    connection.data_received(b"GET /livez HTTP/1.1\r\n\r\n")
    connection.connection_lost(ConnectionResetError())
    await turns()
    assert transport.written == b""


def test_json_is_said_to_be_json() -> None:
    reply = as_json({"a": [1, 2]})
    assert b"Content-Type: application/json" in reply.head_keep
    assert reply.keep.endswith(b"}\n")
