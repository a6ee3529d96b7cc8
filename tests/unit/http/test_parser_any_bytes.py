"""Whatever the bytes and wherever they are cut: requests, at most one refusal, and never anything else."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import assume, example, given
from hypothesis import strategies as st

from tests.support.parser_cases import ACCEPTED, REFUSED
from tests.support.parsing import GET, Outcome, parse, parse_pieces

CASES = [case[0] for case in ACCEPTED.values()] + [case[0] for case in REFUSED.values()]
PIECES = [
    b"GET ", b"POST ", b"HEAD ", b"/c/demo", b"?a=1&b=", b"\xd6\xd0", b"~", b" HTTP/1.1\r\n",
    b" HTTP/1.0\r\n", b"\r\n", b"\n", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n",
    b"Connection: close\r\n", b"A: b\r\n", b"hello", b"5\r\nhello\r\n", b"0\r\n\r\n",
    b"Expect: 100-continue\r\n",
    b"\0", b" ", b":",
    b"Upgrade: h2c\r\n", b"Connection: Upgrade\r\n",
]  # fmt: skip
SAME = {"unknown_method": "bad_request"}  # of one byte nobody can tell which

RAW = b"GET /\xd6 HTTP/1.1\r\n\r\n"

anything = st.binary(max_size=200)
likely = st.lists(st.sampled_from(PIECES), max_size=25).map(b"".join)
cases = st.lists(st.sampled_from(CASES), min_size=1, max_size=4).map(b"".join)
damaged = st.builds(
    lambda data, place, byte: data[: place % len(data)] + bytes([byte]) + data[place % len(data) + 1 :],
    cases, st.integers(0, 10_000), st.integers(0, 255),
)  # fmt: skip
cuts = st.lists(st.integers(0, 2000), max_size=12)


def cut_at(data: bytes, places: list[int]) -> list[bytes]:
    bounds = [0, *sorted(min(place, len(data)) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(bounds)]


def comparable(outcome: Outcome) -> Outcome:
    return Outcome(
        outcome.requests, SAME.get(outcome.refused or "", outcome.refused), outcome.open
    )  # fmt: skip


@given(st.one_of(anything, likely, cases, damaged), cuts)
@example(b"GET /a\xd6", [5, 6])
@example(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\xd6", [])
@example(b'POST / HTTP/1.1\r\nContent-Length: 8\r\n\r\n{"a": 1}GET /\xd6 HTTP/1.1\r\n\r\n', [47])
@example(CASES[0] + b"\xff", [])
def test_bytes_cut_anywhere_come_to_the_same(data: bytes, places: list[int]) -> None:
    # parse() lets nothing through but RequestRefusedError: any other exception fails this test.
    assert comparable(parse_pieces(cut_at(data, places))) == comparable(parse(data))


@given(st.one_of(likely, cases, damaged), cuts)
def test_a_request_before_the_bytes_is_never_lost(data: bytes, places: list[int]) -> None:
    first, *others = parse_pieces(cut_at(GET + data, places)).requests
    assert first.target == b"/c/demo?n=1"
    alone = parse(data)
    assert tuple(others) == alone.requests


@given(st.binary(max_size=300), cuts)
def test_any_body_comes_through_byte_for_byte(body: bytes, places: list[int]) -> None:
    data = b"POST /a HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body) + RAW
    requests = parse_pieces(cut_at(data, places)).requests
    assert [(request.target, request.body) for request in requests] == [(b"/a", body), (b"/\xd6", b"")]


@given(st.lists(st.binary(min_size=1, max_size=60), max_size=6), cuts)
def test_any_chunked_body_comes_through_byte_for_byte(chunks: list[bytes], places: list[int]) -> None:
    framed = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    data = b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + framed + b"0\r\n\r\n" + RAW
    requests = parse_pieces(cut_at(data, places)).requests
    content = b"".join(chunks)
    assert [(request.target, request.body) for request in requests] == [(b"/a", content), (b"/\xd6", b"")]


@given(st.binary(max_size=100), cuts)
@example(b"!\x80", [34])  # the last head's end cut in two, before a line with a raw byte
def test_any_target_that_nginx_passes_on_comes_through_byte_for_byte(query: bytes, places: list[int]) -> None:
    assume(not any(byte <= 32 or byte == 127 for byte in query))  # nginx answers these itself
    data = b"GET /c/demo?" + query + b" HTTP/1.1\r\nHost: \xd6x\r\n\r\n"
    requests = parse_pieces(cut_at(data + data, places)).requests
    assert [request.target for request in requests] == [b"/c/demo?" + query] * 2
