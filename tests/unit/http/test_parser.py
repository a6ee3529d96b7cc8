"""The parser: what is a request and what is refused, however it is cut and whatever stands beside it."""

from __future__ import annotations

import pytest

from ingestd.http.request import Headers
from ingestd.http.responses import REFUSALS
from tests.support.parser_cases import ACCEPTED, CHUNKED, REFUSED, UPGRADE
from tests.support.parsing import CUTS, GET, Cut, ParsedRequest, Recorder, parse

KEPT = [name for name, case in ACCEPTED.items() if case[4]]
NEIGHBOUR = ParsedRequest(b"GET", b"/c/demo?n=1", ((b"Host", b"x"),), b"", True)


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("case", ACCEPTED)
def test_a_request_is_read_however_it_is_cut(case: str, cut: Cut) -> None:
    data, method, target, body, keep = ACCEPTED[case]
    outcome = parse(data, cut)
    assert (outcome.refused, outcome.open) == (None, False)
    [request] = outcome.requests
    assert (request.method, request.target, request.body, request.keep) == (method, target, body, keep)


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("case", ACCEPTED)
def test_a_request_is_the_same_between_two_others(case: str, cut: Cut) -> None:
    [alone] = parse(ACCEPTED[case][0]).requests
    outcome = parse(GET + ACCEPTED[case][0] + GET, cut)
    assert outcome.refused is None
    # Behind `Connection: close` there is no other request, and no refusal either.
    assert outcome.requests == ((NEIGHBOUR, alone, NEIGHBOUR) if alone.keep else (NEIGHBOUR, alone))


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("case", KEPT)
def test_requests_with_raw_bytes_behind_any_other_keep_their_bytes(case: str, cut: Cut) -> None:
    raw = b"GET /c/demo?n=\xd6\xd0 HTTP/1.1\r\n\r\n"
    outcome = parse(raw + ACCEPTED[case][0] + raw, cut)
    assert outcome.refused is None
    assert [request.target for request in outcome.requests] == [
        b"/c/demo?n=\xd6\xd0", ACCEPTED[case][2], b"/c/demo?n=\xd6\xd0",
    ]  # fmt: skip


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_request_is_refused_for_its_reason_however_it_is_cut(case: str, cut: Cut) -> None:
    data, reason = REFUSED[case]
    outcome = parse(data, cut)
    assert (outcome.requests, outcome.refused) == ((), reason)
    assert reason in REFUSALS


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_leaves_the_request_before_it_alone(case: str, cut: Cut) -> None:
    data, reason = REFUSED[case]
    outcome = parse(GET + data + GET, cut)
    assert (outcome.requests, outcome.refused) == ((NEIGHBOUR,), reason)


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize(
    "before", [b"CONNECT a.example:80 HTTP/1.1\r\n\r\n", b"GET /a HTTP/1.1\r\n" + UPGRADE + b"\r\n"]
)
def test_a_refusal_behind_an_upgrade_that_is_not_taken_has_the_same_reason(
    case: str, cut: Cut, before: bytes
) -> None:
    data, reason = REFUSED[case]
    outcome = parse(before + data + GET, cut)
    assert (len(outcome.requests), outcome.refused) == (1, reason)


@pytest.mark.parametrize("cut", CUTS)
def test_an_answer_is_no_request(cut: Cut) -> None:
    # Of a single byte that is wrong nobody can tell whether it stands in an unknown method or in no method.
    assert parse(b"HTTP/1.1 200 OK\r\n\r\n", cut).refused in ("bad_request", "unknown_method")


@pytest.mark.parametrize("cut", CUTS)
def test_a_refused_request_ends_what_follows(cut: Cut) -> None:
    outcome = parse(b"GET /a\0 HTTP/1.1\r\n\r\n" + GET, cut)
    assert outcome.requests == ()


@pytest.mark.parametrize("cut", CUTS)
def test_pipelined_requests_come_one_by_one_in_order(cut: Cut) -> None:
    data = b"".join(
        b"POST /%d HTTP/1.1\r\nContent-Length: 1\r\n\r\n%d" % (number, number) for number in range(9)
    )
    outcome = parse(data, cut)
    assert [request.target for request in outcome.requests] == [b"/%d" % number for number in range(9)]
    assert [request.body for request in outcome.requests] == [b"%d" % number for number in range(9)]


@pytest.mark.parametrize("cut", CUTS)
def test_a_trailer_never_passes_for_a_header(cut: Cut) -> None:
    trailers = b"X-Real-IP: 6.6.6.6\r\nX-Forwarded-For: 6.6.6.6\r\nx-real-ip: 6.6.6.6\r\n"
    data = CHUNKED + b"1\r\na\r\n0\r\n" + trailers + b"\r\n" + GET
    first, second = parse(data, cut).requests
    assert first.header(b"X-Real-IP") == b"192.0.2.7"
    assert first.header(b"X-Forwarded-For") is None
    assert second.headers == ((b"Host", b"x"),)


@pytest.mark.parametrize("cut", CUTS)
def test_headers_of_one_request_are_not_the_next_ones(cut: Cut) -> None:
    data = b"GET /1 HTTP/1.1\r\nX-Real-IP: 192.0.2.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n"
    first, second = parse(data, cut).requests
    assert (first.header(b"X-Real-IP"), second.header(b"X-Real-IP")) == (b"192.0.2.1", None)


@pytest.mark.parametrize("cut", CUTS)
def test_bytes_above_127_in_a_header_are_kept(cut: Cut) -> None:
    data = b"GET /a HTTP/1.1\r\nUser-Agent: \xd6\xd0~\r\nB: \xff\r\n\r\n"
    [request] = parse(data, cut).requests
    assert request.headers == ((b"User-Agent", b"\xd6\xd0~"), (b"B", b"\xff"))


CONTROLS = [byte for byte in (*range(0x20), 0x7F) if byte not in b"\t\r\n"]


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("target", [b"/a", b"/\xd6"])
def test_controls_in_a_headers_value_are_kept_where_they_are_taken(cut: Cut, target: bytes) -> None:
    head = b"GET %s HTTP/1.1\r\nA: x%cy\r\nB: %c\r\n\r\n"
    data = b"".join(head % (target, byte, byte) for byte in CONTROLS)
    outcome = parse(data, cut, any_value=True)
    assert outcome.refused is None
    assert [request.headers for request in outcome.requests] == [
        ((b"A", b"x%cy" % byte), (b"B", b"%c" % byte)) for byte in CONTROLS
    ]
    assert {request.target for request in outcome.requests} == {target}
    assert parse(data, cut).refused == "bad_request"


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("coding", [b"\x0bchunked", b"chunked\x01", b"\x01chunked", b"chunked,\x01"])
def test_no_control_makes_another_length_or_coding(cut: Cut, coding: bytes) -> None:
    post = b"POST /a HTTP/1.1\r\n%s\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    assert parse(post % (b"Transfer-Encoding: " + coding), cut, any_value=True).requests == ()
    lengths = [b"Content-Length: " + coding.replace(b"chunked", b"13").replace(b",", b"")]
    assert [parse(post % one, cut, any_value=True).refused for one in lengths] == ["bad_length"]


def test_a_header_is_found_however_it_is_spelled() -> None:
    fields = Headers({b"x-REAL-ip": b"192.0.2.1", b"Host": b"x"})
    assert fields.find(b"X-Real-IP") == b"192.0.2.1"
    assert fields.find(b"Host") == b"x"
    assert fields.find(b"Cookie") is None


def test_of_a_repeated_header_the_last_counts() -> None:
    [request] = parse(b"GET / HTTP/1.1\r\nA: 1\r\nA: 2\r\n\r\n").requests
    assert request.headers == ((b"A", b"2"),)


@pytest.mark.parametrize(
    ("head", "asks"),
    [
        (b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n", 1),
        (b"POST / HTTP/1.1\r\nexpect: 100-Continue\r\nContent-Length: 2\r\n\r\n", 1),
        (b"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n", 0),
        (b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n", 0),
    ],
)
def test_the_body_is_asked_for_before_it_comes(head: bytes, asks: int) -> None:
    parser = Recorder()
    parser.feed(head)
    assert (parser.continues, parser.requests) == (asks, [])
    parser.feed(b"hi")
    assert (parser.continues, len(parser.requests)) == (asks, 1)


def test_it_is_known_whether_a_request_has_begun() -> None:
    parser = Recorder()
    states = []
    for piece in (b"POST /a", b" HTTP/1.1\r\nContent-Length: 2\r\n\r\n", b"h", b"i"):
        parser.feed(piece)
        states.append((parser.parser.in_request, parser.parser.in_body))
    assert states == [(True, False), (True, True), (True, True), (False, False)]


@pytest.mark.parametrize("place", ["on_request", "on_expect_continue"])
def test_a_bug_of_ours_is_not_the_clients_fault(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def buggy(*arguments: object) -> None:
        raise ZeroDivisionError(place)

    monkeypatch.setattr(Recorder, place, buggy)
    with pytest.raises(ZeroDivisionError, match=place):
        Recorder().feed(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi")
