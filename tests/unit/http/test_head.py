"""The compiled recognizer of plain requests: what it takes, what it leaves to httptools, and its memory."""

from __future__ import annotations

import gc
import random
import sys
from math import inf
from types import ModuleType

import pytest

from ingestd.http.parser import Limits, RequestHandler, RequestParser
from ingestd.http.request import Request
from tests.commands import fuzz_head
from tests.support import compiled

PLAIN = (
    b"GET /c/ocean/app42?ts=1&x=%E4%BD%A0+&y HTTP/1.1\r\nHost: click.example.com\r\nX-Real-IP: 10.0.0.1\r\n"
    b"User-Agent: Mozilla/5.0 (x; y)\r\n\r\n"
)
POST = b"POST /c/x HTTP/1.1\r\nHost: h\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\na\r\n\x00b"


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    return compiled.built_or_skip(fuzz_head.SOURCE, tmp_path_factory.mktemp("head"))


def test_a_plain_get_is_recognized_with_its_headers(module: ModuleType) -> None:
    headers: dict[bytes, bytes] = {}
    assert module.recognize(PLAIN, headers) == (b"GET", b"/c/ocean/app42?ts=1&x=%E4%BD%A0+&y", b"")
    assert headers == {
        b"Host": b"click.example.com", b"X-Real-IP": b"10.0.0.1", b"User-Agent": b"Mozilla/5.0 (x; y)",
    }  # fmt: skip


def test_a_post_is_recognized_with_its_body_whatever_its_bytes(module: ModuleType) -> None:
    assert module.recognize(POST, {}) == (b"POST", b"/c/x", b"a\r\n\x00b")


@pytest.mark.parametrize(
    "data",
    [
        PLAIN[:-1], PLAIN + b"G", POST[:-1], POST + b"x", b"", b"GET / HTTP/1.1\r\n",
        PLAIN.replace(b"GET", b"HEAD"), PLAIN.replace(b"HTTP/1.1", b"HTTP/1.0"), PLAIN.replace(b"/c/", b"c/"),
        PLAIN.replace(b"&y", b"#y"), PLAIN.replace(b"&y", b"&\xff"), PLAIN.replace(b"&y", b"& y"),
        PLAIN.replace(b"Host: ", b"Host:"), PLAIN.replace(b"Host: ", b"Host:  "),
        PLAIN.replace(b"Host: ", b"Host : "), PLAIN.replace(b"\r\nHost", b"\nHost"),
        PLAIN.replace(b"Host: click.example.com", b"Connection: close"),
        PLAIN.replace(b"Host: click.example.com", b"Transfer-Encoding: chunked"),
        POST.replace(b"Host: h", b"content-length: 5"), POST.replace(b": 5", b": 5, 5"),
        POST.replace(b": 5", b": +5"),
    ],
)  # fmt: skip
def test_what_is_not_plain_is_declined_and_leaves_no_header(module: ModuleType, data: bytes) -> None:
    headers: dict[bytes, bytes] = {}
    assert module.recognize(data, headers) is None
    assert headers == {}


def test_more_headers_than_there_is_room_for_are_declined(module: ModuleType) -> None:
    def request(count: int) -> bytes:
        return b"GET / HTTP/1.1\r\n" + b"".join(b"n%d: x\r\n" % number for number in range(count)) + b"\r\n"

    headers: dict[bytes, bytes] = {}
    assert module.recognize(request(63), headers) is not None
    assert len(headers) == 63
    assert module.recognize(request(64), {}) is None


def test_it_agrees_with_httptools_about_made_up_requests(module: ModuleType) -> None:
    count, own = compiled.compare(fuzz_head.PART, module, random.Random(7), seconds=inf, at_most=20_000)
    assert count == 20_000
    assert own > 1000


@pytest.mark.timeout(900)  # it compiles twice, on whatever is left of the machine
def test_the_sanitizers_find_nothing_in_a_moment() -> None:
    assert compiled.fuzz_for_a_moment(fuzz_head.__name__, seconds=3).count("as httptools reads them") == 2


def test_it_keeps_nothing(module: ModuleType) -> None:
    def blocks() -> int:
        for _ in range(1000):
            module.recognize(PLAIN, {})
            module.recognize(POST, {})
            module.recognize(PLAIN[:-1], {})
        gc.collect()
        return sys.getallocatedblocks()

    blocks()
    before = blocks()
    assert abs(blocks() - before) < 100


class Seen(RequestHandler):
    def __init__(self) -> None:
        self.requests: list[tuple[bytes, bytes, dict[bytes, bytes], bytes, bool]] = []

    def on_request(self, request: Request) -> None:
        self.requests.append(
            (request.method, request.target, dict(request.headers), request.body, request.keep)
        )


@pytest.mark.parametrize("second", [PLAIN, POST])
@pytest.mark.parametrize("first", [PLAIN, POST])
def test_a_parser_gives_the_same_requests_whole_in_pieces_and_with_a_neighbour(
    first: bytes, second: bytes
) -> None:
    def fed(*pieces: bytes) -> list[tuple[bytes, bytes, dict[bytes, bytes], bytes, bool]]:
        seen = Seen()
        parser = RequestParser(Limits(), seen)
        for piece in pieces:
            parser.feed(piece)
        assert not parser.in_request
        return seen.requests

    both = first + second
    whole = fed(first, second)
    assert len(whole) == 2
    assert fed(both) == whole
    assert fed(*(both[at : at + 1] for at in range(len(both)))) == whole
    assert fed(first[:20], first[20:], second) == whole
