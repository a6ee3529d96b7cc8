"""A connection's bytes: the same requests and the same refusal however they are cut, and a reply for each.

The first three bytes of an input say where the rest is cut.
"""

from __future__ import annotations

import re

from ingestd.http.request import Exchange, Request
from ingestd.http.responses import REFUSALS, Reply
from tests.support.fakes import connect
from tests.support.parser_cases import ACCEPTED, REFUSED
from tests.support.parsing import Outcome, by_byte, parse, parse_pieces

CASES = [case[0] for case in ACCEPTED.values()] + [case[0] for case in REFUSED.values()]
SEEDS = [b"\x20\x80\xc0" + data for data in CASES]
SEEDS += [b"\0\0\0" + one + two for one, two in zip(CASES, CASES[7:], strict=False)]
TOKENS = [
    b"GET ", b"POST ", b"HEAD ", b"CONNECT ", b"PRI ", b"/c/demo", b"?a=1&b=", b"*", b"http://h/",
    b"\xd6\xd0", b"~", b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", b" HTTP/2.0\r\n", b"\r\n", b"\n", b"\r",
    b"\r\n\r\n", b"\0", b" ", b"\t", b":", b",", b";", b"Content-Length: ", b"Content-Length: 5\r\n",
    b"content-length:0\r\n", b"Transfer-Encoding: ", b"Transfer-Encoding: chunked\r\n", b"chunked",
    b"identity", b"gzip", b"Connection: close\r\n", b"Connection: keep-alive\r\n",
    b"Connection: Upgrade\r\n", b"Upgrade: h2c\r\n", b"Upgrade: websocket\r\n", b"Expect: 100-continue\r\n",
    b"Host: x\r\n", b"A: b\r\n", b"A: \x01\r\n", b" folded\r\n", b"5\r\nhello\r\n", b"0\r\n\r\n", b"0\r\n",
    b"1;x=y\r\na\r\n", b"fffffffffffffffff\r\n", b"hello", b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
    b"SM\r\n\r\n",
]  # fmt: skip
MAX_BYTES = 300

# Of a method's first bytes nobody can tell whether it is unknown or none at all.
_SAME = {"unknown_method": "bad_request"}
_STATUS = re.compile(rb"^HTTP/1\.1 (\d{3}) ", re.MULTILINE)
_OK = Reply(200)


def once(data: bytes) -> None:
    """Feed a stream whole, and in pieces: to another parser, or to a connection."""
    cuts, stream = data[:3], data[3:]
    pieces = _pieces(stream, cuts)
    from_nginx = cuts[-1:] >= b"\x80"
    whole = parse(stream, any_value=from_nginx)
    if not from_nginx:
        cut = parse_pieces(pieces)
        assert _comparable(whole) == _comparable(cut), (whole, cut)
    else:
        _connected(pieces, whole)


def _connected(pieces: list[bytes], whole: Outcome) -> None:
    """A connection takes the same requests, and answers each, and the refusal."""
    requests: list[tuple[bytes, bytes, bytes]] = []
    refused: list[str] = []

    def intake(exchange: Exchange, request: Request) -> None:
        requests.append((request.method, request.target, request.body))
        exchange.answer(_OK)

    transport, connection = connect(intake, refused=refused.append)
    for piece in pieces:
        connection.data_received(piece)
    assert requests == [(request.method, request.target, request.body) for request in whole.requests]
    assert [_SAME.get(reason, reason) for reason in refused] == _comparable_refusals(whole)
    final = [int(status) for status in _STATUS.findall(transport.written) if status != b"100"]
    assert final == [200] * len(requests) + [REFUSALS[reason].status for reason in refused]


def _pieces(stream: bytes, cuts: bytes) -> list[bytes]:
    if cuts[:1] == b"\xff":
        return list(by_byte(stream))
    places = sorted(cut * (len(stream) + 1) // 256 for cut in cuts)
    pieces = [stream[start:stop] for start, stop in zip([0, *places], [*places, None], strict=True)]
    return [piece for piece in pieces if piece]  # no loop hands over nothing


def _comparable_refusals(outcome: Outcome) -> list[str]:
    return [] if outcome.refused is None else [_SAME.get(outcome.refused, outcome.refused)]


def _comparable(outcome: Outcome) -> Outcome:
    refused = outcome.refused and _SAME.get(outcome.refused, outcome.refused)
    return Outcome(outcome.requests, refused, outcome.open)
