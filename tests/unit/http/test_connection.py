"""A connection: replies in the order of the requests, whatever happens to them, to the client and to us."""

from __future__ import annotations

import logging
import random

import pytest

from ingestd.http.connection import MAX_REFUSED, Connection, ServerState
from ingestd.http.parser import Limits
from ingestd.http.request import Exchange, Request
from ingestd.http.responses import REFUSALS, Reply
from tests.support.fakes import FakeTransport, HeldIntake, connect

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def get(number: int, *lines: bytes, version: bytes = b"1.1", method: bytes = b"GET") -> bytes:
    head = b"%s /%d HTTP/%s\r\n" % (method, number, version)
    return head + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


def post(number: int, body: bytes, *lines: bytes) -> bytes:
    return get(number, b"Content-Length: %d" % len(body), *lines, method=b"POST") + body


def held(**options: object) -> tuple[HeldIntake, FakeTransport, Connection]:
    intake = HeldIntake()
    transport, connection = connect(intake, **options)  # type: ignore[arg-type]
    return intake, transport, connection


def bodies(transport: FakeTransport) -> list[bytes]:
    return [reply.body for reply in transport.replies()]


# order


def test_a_reply_given_at_once_leaves_at_once() -> None:
    transport, connection = connect(lambda exchange, *request: exchange.answer(Reply(200, b"ok")))
    connection.data_received(get(0))
    assert transport.written == b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\nok"
    assert not transport.closed


def test_a_reply_given_later_leaves_when_it_is_given() -> None:
    intake, transport, connection = held()
    connection.data_received(get(0))
    assert transport.written == b""
    intake.answer(0)
    assert bodies(transport) == [b"/0"]


@pytest.mark.parametrize("seed", range(20))
def test_replies_given_in_any_order_leave_in_the_order_of_the_requests(seed: int) -> None:
    intake, transport, connection = held()
    connection.data_received(b"".join(get(number) for number in range(10)))
    order = random.Random(seed).sample(range(10), 10)
    answered: set[int] = set()
    for number in order:
        intake.answer(number)
        answered.add(number)
        first_missing = next(n for n in range(11) if n not in answered)
        assert bodies(transport) == [b"/%d" % n for n in range(first_missing)]
    assert not transport.closed


def test_replies_that_become_due_together_leave_in_one_write() -> None:
    intake, transport, connection = held()
    connection.data_received(b"".join(get(number) for number in range(5)))
    for number in (4, 3, 2, 1, 0):
        intake.answer(number)
    assert (transport.writes, bodies(transport)) == (1, [b"/0", b"/1", b"/2", b"/3", b"/4"])


def test_a_connection_serves_one_request_after_the_other() -> None:
    intake, transport, connection = held()
    for number in range(50):
        connection.data_received(get(number))
        intake.answer(number)
    assert bodies(transport) == [b"/%d" % number for number in range(50)]
    assert not transport.closed


# what a request says of its reply


def test_a_head_request_is_answered_with_the_length_and_without_the_body() -> None:
    intake, transport, connection = held()
    connection.data_received(get(0, method=b"HEAD") + get(1))
    intake.answer(0, "hello")
    intake.answer(1, "hello")
    first, second = transport.replies(heads=[0])
    assert (first.headers["content-length"], first.body) == ("5", b"")
    assert second.body == b"hello"


@pytest.mark.parametrize(
    ("request_bytes", "closes"),
    [
        (get(0, version=b"1.0"), True),
        (get(0, b"Connection: close"), True),
        (get(0, b"Connection: keep-alive", version=b"1.0"), False),
        (get(0), False),
    ],
)
def test_the_connection_is_kept_or_closed_as_the_client_says(request_bytes: bytes, closes: bool) -> None:
    intake, transport, connection = held()
    connection.data_received(request_bytes)
    assert not transport.closed
    intake.answer(0)
    [reply] = transport.replies()
    assert (reply.closes, transport.closed) == (closes, closes)


def test_only_the_last_of_pipelined_requests_closes() -> None:
    intake, transport, connection = held()
    connection.data_received(get(0) + get(1) + get(2, b"Connection: close"))
    intake.answer(2)
    intake.answer(0)
    assert not transport.closed
    intake.answer(1)
    assert [reply.closes for reply in transport.replies()] == [False, False, True]
    assert transport.closed


@pytest.mark.parametrize("later", [True, False], ids=["in the next read", "in the same read"])
def test_what_follows_a_request_that_closes_is_no_request(later: bool) -> None:
    refused: list[str] = []
    intake, transport, connection = held(refused=refused.append)
    if later:
        connection.data_received(get(0, b"Connection: close"))
        connection.data_received(get(1))
    else:
        connection.data_received(get(0, b"Connection: close") + get(1))
    intake.answer(0)
    assert (bodies(transport), len(intake.requests), refused) == ([b"/0"], 1, [])
    assert transport.closed


# refusals


def test_a_refused_request_is_answered_after_those_before_it() -> None:
    refused: list[str] = []
    intake, transport, connection = held(refused=refused.append)
    connection.data_received(get(0) + get(1) + b"\0garbage")
    assert transport.written == b""
    intake.answer(1)
    intake.answer(0)
    assert transport.statuses() == [200, 200, 400]
    assert refused == ["bad_request"]


def test_after_a_refusal_the_client_can_still_read_it() -> None:
    # A close with bytes unread resets a Unix socket's peer, which may then lose our last reply.
    _, transport, connection = held()
    connection.data_received(b"\0garbage")
    assert transport.statuses() == [400]
    assert (transport.ended, transport.closed) == (True, False)
    assert connection.waiting_for == "close"
    assert connection.eof_received() is False  # the transport closes itself then


def test_after_a_refusal_nothing_more_is_read() -> None:
    refused: list[str] = []
    intake, transport, connection = held(refused=refused.append)
    connection.data_received(b"\0garbage")
    connection.data_received(get(1) + b"\0")
    assert (intake.requests, refused, transport.statuses()) == ([], ["bad_request"], [400])


def test_bytes_after_a_refusal_do_not_keep_the_connection_alive() -> None:
    intake = HeldIntake()
    state = ServerState(intake, Limits(), lambda reason: None, 10)
    _, connection = connect(intake, state=state)
    connection.data_received(b"\0garbage")
    before = connection.since
    state.tick += 3
    connection.data_received(b"more")
    assert connection.since == before


@pytest.mark.parametrize("reason", [name for name, refusal in REFUSALS.items() if refusal.close])
def test_every_refusal_says_that_the_connection_closes(reason: str) -> None:
    _, transport, connection = held()
    connection.refuse(reason)
    [reply] = transport.replies()
    assert (reply.status, reply.closes) == (REFUSALS[reason].status, True)
    assert reply.body.decode().startswith(REFUSALS[reason].text)


def test_a_bug_of_ours_is_a_logged_500(caplog: pytest.LogCaptureFixture) -> None:
    def buggy(exchange: Exchange, *request: object) -> None:
        raise ZeroDivisionError("a bug")

    refused: list[str] = []
    transport, connection = connect(buggy, refused=refused.append)
    with caplog.at_level(logging.ERROR):
        connection.data_received(get(0) + get(1) + b"\0")
    assert (transport.statuses(), refused) == ([500], ["internal"])
    [record] = caplog.records
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError


def test_a_bug_of_ours_leaves_the_replies_before_it_alone(caplog: pytest.LogCaptureFixture) -> None:
    intake = HeldIntake()

    def buggy_from_the_second(exchange: Exchange, request: Request) -> None:
        intake(exchange, request)
        if request.target == b"/1":
            raise ZeroDivisionError("a bug")

    transport, connection = connect(buggy_from_the_second)
    connection.data_received(get(0) + get(1))
    intake.answer(1)  # it had been handed on before the bug: its reply has no place any more
    assert transport.written == b""
    intake.answer(0)
    assert transport.statuses() == [200, 500]


def test_a_bug_in_the_connection_itself_is_a_500_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def buggy(data: bytes) -> None:
        monkeypatch.undo()
        raise ZeroDivisionError("a bug")

    _, transport, connection = held()
    monkeypatch.setattr(transport, "write", buggy)  # of the invitation to send the body
    connection.data_received(post(0, b"hi", b"Expect: 100-continue"))
    assert transport.statuses() == [500]


def test_a_connection_too_many_is_turned_away() -> None:
    intake = HeldIntake()
    refused: list[str] = []
    state = ServerState(intake, Limits(), refused.append, max_connections=2)
    transports = [connect(intake, state=state)[0] for _ in range(3)]
    assert [transport.written == b"" for transport in transports] == [True, True, False]
    [reply] = transports[2].replies()
    assert (reply.status, reply.headers["retry-after"], refused) == (503, "1", ["connections"])


def test_a_connection_that_ends_makes_room_for_another() -> None:
    intake = HeldIntake()
    state = ServerState(intake, Limits(), lambda reason: None, max_connections=1)
    _, first = connect(intake, state=state)
    first.connection_lost(None)
    transport, _ = connect(intake, state=state)
    assert transport.written == b""


def test_of_a_flood_of_connections_few_are_told_why_and_none_is_kept() -> None:
    intake = HeldIntake()
    refused: list[str] = []
    state = ServerState(intake, Limits(), refused.append, max_connections=2)
    transports = [connect(intake, state=state)[0] for _ in range(2 + MAX_REFUSED + 5)]
    assert [transport.aborted for transport in transports] == [False] * (2 + MAX_REFUSED) + [True] * 5
    assert len(refused) == MAX_REFUSED + 5


# expect


def test_the_body_is_invited_at_once_when_no_reply_is_due() -> None:
    intake, transport, connection = held()
    connection.data_received(get(0, b"Expect: 100-continue", b"Content-Length: 2", method=b"POST"))
    assert transport.written == CONTINUE
    connection.data_received(b"hi")
    intake.answer(0)
    assert transport.written.startswith(CONTINUE + b"HTTP/1.1 200 OK\r\n")


def test_the_invitation_waits_for_the_replies_before_it() -> None:
    intake, transport, connection = held()
    head = get(1, b"Expect: 100-continue", b"Content-Length: 2", method=b"POST")
    connection.data_received(get(0) + head)
    assert transport.written == b""
    intake.answer(0)
    assert transport.written.endswith(b"/0" + CONTINUE)
    connection.data_received(b"hi")
    intake.answer(1)
    assert transport.written.count(b"HTTP/1.1 ") == 3
    assert not transport.closed


# who the client is


def test_behind_a_unix_socket_the_peer_is_a_proxy() -> None:
    _, _, connection = held(peer="")
    assert (connection.behind_proxy, connection.client_address) == (True, "")


def test_over_tcp_the_peer_is_the_client() -> None:
    _, _, connection = held(peer=("192.0.2.7", 4711))
    assert (connection.behind_proxy, connection.client_address) == (False, "192.0.2.7")


# the client goes


@pytest.mark.parametrize(("peer", "taken"), [("", 1), (("192.0.2.7", 4711), 0)])
def test_controls_in_a_headers_value_are_taken_from_nginx_alone(peer: object, taken: int) -> None:
    intake, transport, connection = held(peer=peer)
    connection.data_received(b"GET /a HTTP/1.1\r\nUser-Agent: a\x01b\r\n\r\n")
    assert len(intake.exchanges) == taken
    assert transport.written.startswith(b"HTTP/1.1 400 ") == (not taken)


def test_a_client_gone_before_its_reply_costs_nothing() -> None:
    intake, transport, connection = held()
    connection.data_received(get(0) + get(1))
    connection.connection_lost(ConnectionResetError())
    intake.answer(0)
    intake.answer(1)
    assert transport.written == b""


def test_a_client_gone_while_we_drain_costs_nothing() -> None:
    # Once this was an exception in the task that settles everybody's events.
    intake, transport, connection = held()
    connection.data_received(get(0) + get(1))
    connection.drain()
    connection.connection_lost(None)
    intake.answer(1)
    intake.answer(0)
    assert transport.written == b""


def test_a_client_that_says_it_is_done_gets_its_replies() -> None:
    intake, transport, connection = held()
    connection.data_received(get(0) + get(1))
    assert connection.eof_received() is True
    intake.answer(0)
    assert not transport.closed
    intake.answer(1)
    assert (bodies(transport), transport.closed) == ([b"/0", b"/1"], True)


def test_a_client_that_is_done_with_nothing_due_is_let_go() -> None:
    intake, _, connection = held()
    connection.data_received(get(0))
    intake.answer(0)
    assert connection.eof_received() is False


def test_half_a_request_at_the_end_is_no_request() -> None:
    intake, transport, connection = held()
    connection.data_received(b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nhal")
    assert connection.eof_received() is False
    assert (intake.requests, transport.written) == ([], b"")


def test_a_bug_after_the_reply_was_given_does_not_take_it_back(caplog: pytest.LogCaptureFixture) -> None:
    """The reply has left, and the refusal follows it as that of a request of its own."""

    def buggy(exchange: Exchange, *request: object) -> None:
        exchange.answer(Reply(200, b"ok"))
        raise ZeroDivisionError("a bug")

    transport, connection = connect(buggy)
    connection.data_received(get(0))
    assert transport.statuses() == [200, 500]
    assert [record.message for record in caplog.records] == ["bug in request handling"]


@pytest.mark.parametrize("eof", [True, False])
def test_a_client_gone_without_a_word_is_refused_nothing_and_costs_nothing(eof: bool) -> None:
    """What comes to be said once the transport is gone is said to nobody."""
    _, transport, connection = held()
    if eof:
        connection.eof_received()
    connection.pause_writing()
    connection.connection_lost(None)
    connection.on_expect_continue()
    connection.refuse("internal")
    connection.stop_reading()
    connection.resume_writing()
    assert (transport.written, transport.closed, transport.ended) == (b"", False, False)


def test_a_connection_that_is_closing_already_is_not_ended_again() -> None:
    """uvloop refuses that, and reading again, of a transport that is closing."""
    _, transport, connection = held()
    connection.pause_writing()
    transport.abort()
    connection.resume_writing()
    connection.refuse("internal")
    assert (transport.reading, transport.ended) == (False, False)
