"""Bytes above 127 in a request target come through as they are, however the bytes are cut."""

from __future__ import annotations

import random

from ingestd.http.parser import Limits, RequestHandler
from ingestd.http.raw_target import RawTargetParser
from ingestd.http.request import Request

GBK = "点击~".encode("gbk")
TARGETS = [
    b"/c/demo?n=" + GBK + b"&x=~" + bytes(range(0x80, 0x100)),
    b"/c/demo/~" + GBK + b"#" + GBK,
    b"/c/~/~~?a=~",
    b"/",
]


class Collected(RequestHandler):
    """Keeps the requests its parser is fed."""

    def __init__(self) -> None:
        self.feed = RawTargetParser(Limits(), self).feed
        self.requests: list[tuple[bytes, bytes, dict[bytes, bytes], bytes]] = []

    def on_request(self, request: Request) -> None:
        self.requests.append((request.method, request.target, dict(request.headers), request.body))

    def on_expect_continue(self) -> None:
        raise NotImplementedError


def stream() -> tuple[bytes, list[tuple[bytes, bytes, dict[bytes, bytes], bytes]]]:
    """Pipelined requests with raw bytes in targets, headers and bodies, and what they are."""
    body = b"GET /~ HTTP/1.1\n" + GBK + b"\r\n~\n"
    wanted: list[tuple[bytes, bytes, dict[bytes, bytes], bytes]] = []
    sent = b""
    for target in TARGETS:
        head = {b"Host": b"h", b"User-Agent": GBK + b" ~ x"}
        sent += b"GET " + target + b" HTTP/1.1\r\nHost: h\r\nUser-Agent: " + head[b"User-Agent"] + b"\r\n\r\n"
        wanted.append((b"GET", target, head, b""))
        length = b"%d" % len(body)
        sent += b"\r\nPOST " + target + b" HTTP/1.1\r\nContent-Length: " + length + b"\r\n\r\n" + body
        wanted.append((b"POST", target, {b"Content-Length": length}, body))
        sent += b"POST " + target + b" HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
        sent += b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        wanted.append((b"POST", target, {b"Transfer-Encoding": b"chunked"}, body))
    return sent, wanted


def test_raw_bytes_come_through_whole_and_byte_by_byte() -> None:
    sent, wanted = stream()
    whole, bytewise = Collected(), Collected()
    whole.feed(sent)
    for place in range(len(sent)):
        bytewise.feed(sent[place : place + 1])
    assert whole.requests == wanted
    assert bytewise.requests == wanted


def test_raw_bytes_come_through_cut_in_two_at_every_place() -> None:
    sent, wanted = stream()
    for place in range(len(sent)):
        parser = Collected()
        parser.feed(sent[:place])
        parser.feed(sent[place:])
        assert parser.requests == wanted, place


def test_raw_bytes_come_through_cut_at_random() -> None:
    sent, wanted = stream()
    for seed in range(300):
        dice = random.Random(seed)
        places = sorted(dice.sample(range(len(sent)), dice.randint(2, 40)))
        parser = Collected()
        for start, end in zip([0, *places], [*places, len(sent)], strict=True):
            parser.feed(sent[start:end])
        assert parser.requests == wanted, seed
