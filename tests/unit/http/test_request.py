"""A request and its exchange: headers, what is released, and the reply by what became of the events."""

from __future__ import annotations

from functools import partial

import pytest

from ingestd.http.request import Headers, Request
from ingestd.http.responses import Replies, Reply
from tests.support.fakes import FakeTransport, HeldIntake, connect
from tests.support.parsing import Recorder

GET = b"GET /0 HTTP/1.1\r\n\r\n"


def test_a_header_is_found_however_it_is_spelled() -> None:
    request = Request(b"GET", b"/", Headers({b"x-real-IP": b"192.0.2.7", b"Empty": b""}), b"")
    assert request.header(b"X-Real-IP") == b"192.0.2.7"
    assert (request.header(b"Empty"), request.header(b"Absent")) == (b"", b"")
    assert request.headers.find(b"Absent") is None


@pytest.mark.parametrize("more", [b"", b"X: \x80\r\n"], ids=["plain", "by httptools"])
def test_an_idle_connection_holds_nothing_of_its_last_request(more: bytes) -> None:
    recorder = Recorder()
    recorder.feed(b"POST /c/demo?a=1 HTTP/1.1\r\nHost: x\r\n%bContent-Length: 2\r\n\r\nhi" % more)
    assert len(recorder.requests) == 1
    request = recorder.parser._request
    assert (request.target, request.body, request.headers) == (b"", b"", {})


def test_a_cleared_request_holds_nothing_of_its_input() -> None:
    request = Request(b"POST", b"/c/demo?a=1", Headers({b"Host": b"x"}), b"body")
    request.path = request.route = request.client_ip = "text"
    request.query = request.forwarded = request.agent = b"bytes"
    request.clear()
    assert request.headers == {}
    for name in ("path", "route", "client_ip", "target", "query", "body", "forwarded", "agent"):
        assert not getattr(request, name), name


# settling


def asked() -> tuple[HeldIntake, FakeTransport]:
    """An intake that holds one exchange, and the transport its reply goes to."""
    intake = HeldIntake()
    transport, connection = connect(intake)
    connection.data_received(GET)
    return intake, transport


def replies(undone: list[bool] | None = None) -> Replies:
    """What a source answers. `undone`: gets a True when the events were not stored."""
    refusals = {reason: Reply(503, reason.encode()) for reason in ("storage", "stalled")}
    undo = None if undone is None else partial(undone.append, True)
    return Replies(Reply(200, b"taken"), refusals, undo)


@pytest.mark.parametrize(("refused", "status", "body"), [(None, 200, b"taken"), ("storage", 503, b"storage")])
def test_an_exchange_is_answered_by_its_fate_in_its_sources_words(
    refused: str | None, status: int, body: bytes
) -> None:
    intake, transport = asked()
    [exchange] = intake.exchanges
    undone: list[bool] = []
    exchange.replies = replies(undone)
    exchange.settle(refused)
    exchange.stalled()  # too late: it has been answered
    [reply] = transport.replies()
    assert (reply.status, reply.body) == (status, body)
    assert bool(undone) == (refused is not None)


@pytest.mark.parametrize("refused", [None, "storage"])
def test_an_exchange_whose_commit_stalls_is_answered_before_its_fate_is_known(refused: str | None) -> None:
    intake, transport = asked()
    [exchange] = intake.exchanges
    undone: list[bool] = []
    exchange.replies = replies(undone)
    exchange.stalled()
    assert not undone
    exchange.settle(refused)
    assert bool(undone) == (refused is not None)
    assert [(reply.status, reply.body) for reply in transport.replies()] == [(503, b"stalled")]


def test_a_reply_given_already_stands_whatever_the_fate() -> None:
    intake, transport = asked()
    intake.answer(0)
    intake.exchanges[0].replies = replies()
    intake.exchanges[0].settle("storage")
    assert transport.statuses() == [200]
