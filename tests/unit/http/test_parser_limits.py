"""The limits of a request: just under is taken, just over is refused, however the bytes are cut."""

from __future__ import annotations

import pytest

from ingestd.errors import RequestRefusedError
from ingestd.http.parser import Limits
from tests.support.parsing import CUTS, GET, Cut, Recorder, parse

LIMITS = Limits(target=300, headers=200, body=100)
WIDE = Limits(target=1 << 20, headers=1 << 20, body=1 << 20)


def feed_again(parser: Recorder, piece: bytes, times: int) -> None:
    for _ in range(times):
        parser.feed(piece)


def target(size: int) -> bytes:
    return b"GET /" + b"a" * (size - 1) + b" HTTP/1.1\r\nHost: x\r\n\r\n"


def raw_target(size: int) -> bytes:
    return b"GET /" + b"\xd6" * (size - 1) + b" HTTP/1.1\r\nHost: x\r\n\r\n"


def one_header(size: int) -> bytes:
    return b"GET / HTTP/1.1\r\nA: " + b"a" * (size - 5) + b"\r\n\r\n"


def many_headers(size: int) -> bytes:
    lines = [b"A%03d: %s\r\n" % (number, b"b" * 12) for number in range(size // 20)]
    return b"GET / HTTP/1.1\r\n" + b"".join(lines) + b"Z: " + b"z" * (size % 20 + 15) + b"\r\n\r\n"


def length(size: int) -> bytes:
    return b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % size + b"a" * size


def length_in_lower_case(size: int) -> bytes:
    return length(size).replace(b"Content-Length", b"content-length")


def one_chunk(size: int) -> bytes:
    return b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (size, b"a" * size)


def tiny_chunks(size: int) -> bytes:
    return b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * size + b"0\r\n\r\n"


EDGES = [
    (target, 300, "target_too_long"),
    (raw_target, 300, "target_too_long"),
    (one_header, 200, "headers_too_large"),
    (many_headers, 180, "headers_too_large"),
    (length, 100, "body_too_large"),
    (length_in_lower_case, 100, "body_too_large"),
    (one_chunk, 100, "body_too_large"),
    (tiny_chunks, 100, "body_too_large"),
]


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize(("build", "limit", "reason"), EDGES)
def test_at_the_limit_a_request_is_taken(build: object, limit: int, reason: str, cut: Cut) -> None:
    assert callable(build)
    outcome = parse(GET + build(limit) + GET, cut, LIMITS)
    assert (outcome.refused, len(outcome.requests)) == (None, 3)


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize(("build", "limit", "reason"), EDGES)
def test_past_the_limit_a_request_is_refused(build: object, limit: int, reason: str, cut: Cut) -> None:
    assert callable(build)
    outcome = parse(GET + build(limit + 1) + GET, cut, LIMITS)
    assert (outcome.refused, len(outcome.requests)) == (reason, 1)


def test_a_body_is_refused_by_its_length_before_it_comes() -> None:
    head = b"POST / HTTP/1.1\r\nContent-Length: 101\r\n\r\n"
    assert parse(head, limits=LIMITS).refused == "body_too_large"


def test_a_body_that_is_too_large_is_not_invited() -> None:
    parser = Recorder(LIMITS)
    with pytest.raises(RequestRefusedError, match="body_too_large"):
        parser.feed(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 101\r\n\r\n")
    assert parser.continues == 0


def test_a_target_without_end_is_refused_before_its_end() -> None:
    parser = Recorder(LIMITS)
    parser.feed(b"GET /")
    with pytest.raises(RequestRefusedError, match="target_too_long"):
        feed_again(parser, b"a", 400)


@pytest.mark.parametrize("endless", [b"a: b\r\n", b"a", b" "])
def test_headers_without_end_are_refused_before_their_end(endless: bytes) -> None:
    parser = Recorder(LIMITS)
    parser.feed(b"GET / HTTP/1.1\r\nA: ")
    with pytest.raises(RequestRefusedError, match=r"headers_too_large|bad_request"):
        feed_again(parser, endless, 700)


@pytest.mark.parametrize(
    "endless",
    [b"A: b\r\n", b"Same: header\r\n", b"a", b"\xd6"],
    ids=["trailers", "one trailer again and again", "a trailer's name", "bytes that are none"],
)
def test_trailers_without_end_are_refused_before_their_end(endless: bytes) -> None:
    parser = Recorder(LIMITS)
    parser.feed(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n")
    with pytest.raises(RequestRefusedError, match=r"headers_too_large|bad_request"):
        feed_again(parser, endless, 700)


def test_a_chunk_extension_without_end_is_refused_before_its_end() -> None:
    parser = Recorder(LIMITS)
    parser.feed(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1;")
    with pytest.raises(RequestRefusedError, match="headers_too_large"):
        feed_again(parser, b"x", 700)


@pytest.mark.parametrize("cut", CUTS)
def test_a_chunked_body_is_no_framing(cut: Cut) -> None:
    limits = Limits(target=50, headers=50, body=5000)
    chunks = [b"a" * 900] * 5
    framed = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    head = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    [request] = parse(head + framed + b"0\r\n\r\n", cut, limits).requests
    assert request.body == b"".join(chunks)


def test_an_earlier_body_is_not_counted_to_the_head_behind_it() -> None:
    data = length(100) + b"GET /c/demo HTTP/1.1\r\nHost: " + b"x" * 100 + b"\r\n\r\n"
    limits = Limits(target=20, headers=110, body=100)
    for cut in range(1, len(data)):
        parser = Recorder(limits)
        for piece in (data[:30], data[30:cut], data[cut:]) if cut > 30 else (data[:cut], data[cut:]):
            parser.feed(piece)
        assert len(parser.requests) == 2


def test_a_large_pipelined_upload_does_not_refuse_what_follows() -> None:
    body = b"b" * (1 << 20)
    data = b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body) + GET
    parser = Recorder()
    for place in range(0, len(data) - 10, 1 << 16):
        parser.feed(data[place : min(place + (1 << 16), len(data) - 10)])
    parser.feed(data[-10:-5])
    parser.feed(data[-5:])
    assert len(parser.requests) == 2


def test_the_usual_limits_take_what_platforms_may_send() -> None:
    path = b"/c/ocean/" + b"a" * 32_000
    outcome = parse(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    assert outcome.requests[0].target == path


@pytest.mark.parametrize("pieces", [1, 2, 16])
def test_a_target_in_single_bytes_costs_no_more_than_its_length(pieces: int) -> None:
    # Joined as it grows: 32,000 pieces must not be counted over and over. Work, not time, is what is held.
    parser = Recorder(Limits(target=100, headers=1 << 20, body=0))
    parser.feed(b"GET /")
    with pytest.raises(RequestRefusedError):
        feed_again(parser, b"a" * pieces, 101)
    assert len(parser.parser._target) == 1


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nA:" + b" " * 2000 + b"b\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 300 + b"\r\n",
    ],
    ids=["white space", "repetition"],
)
def test_white_space_and_repetition_are_bounded_where_they_come_in_pieces(head: bytes) -> None:
    # The one thing in which the cut shows; a whole head is bounded by what is read at once.
    assert parse(head, limits=LIMITS).refused is None
    assert parse(head, CUTS[2], LIMITS).refused == "headers_too_large"
    assert parse(head, CUTS[2], WIDE).refused is None


@pytest.mark.parametrize("line", [b"A: " + b"a" * 60 + b"\r\n", b"A:" + b" " * 60 + b"\r\n"])
def test_headers_of_equal_names_do_not_pass_the_cap_in_one_piece(line: bytes) -> None:
    """A dictionary holds one of them; the bytes count as they came."""
    limits = Limits()
    allowed = limits.headers + limits.target + 2 * 16 * 1024
    outcome = parse(GET + b"GET / HTTP/1.1\r\n" + line * (allowed // len(line) + 1) + b"\r\n" + GET)
    assert (len(outcome.requests), outcome.refused) == (1, "headers_too_large")
