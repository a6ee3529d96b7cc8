"""What is no event is refused with its own status, is counted, and harms nobody else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.daemon import Daemon
from tests.support.front import Front
from tests.support.place import open_place
from tests.support.wire import Wire, ask, request

OVER = "x" * 33_000

# What is sent straight to the socket, the status, and the reason it is counted under.
REFUSED = {
    "unknown path": (request("/nowhere?a=1"), 404, "not_found"),
    "a path that only begins like a source's": (request("/c/demonstration?a=1"), 404, "not_found"),
    "a method no source takes": (request("/c/demo", "PUT"), 405, "method"),
    "a method nobody knows": (request("/c/demo", "BREW"), 405, "unknown_method"),
    "a target over the limit": (request("/c/demo?" + OVER), 414, "target_too_long"),
    "headers over the limit": (request("/c/demo", headers={"X": OVER}), 431, "headers_too_large"),
    "a length over the limit": (
        request("/c/demo", "POST", {"Content-Length": "9999999"}, b""), 413, "body_too_large",
    ),
    "a chunked body over the limit": (
        request("/c/demo", "POST", {"Transfer-Encoding": "chunked"}, b"110000\r\n" + b"x" * 0x110000), 413,
        "body_too_large",
    ),
    "a length and chunks": (
        request("/c/demo", "POST", {"Transfer-Encoding": "chunked", "Content-Length": "3"}, b"0\r\n\r\n"),
        400, "bad_length",
    ),
    "a length that is no number": (
        request("/c/demo", "POST", {"Content-Length": "3x"}, b"abc"), 400, "bad_length",
    ),
    "two lengths": (
        b"POST /c/demo HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400, "bad_length",
    ),
    "an expectation": (request("/c/demo", "POST", {"Expect": "more"}, b"x"), 417, "expectation"),
    "HTTP/2.0": (b"GET /c/demo HTTP/2.0\r\n\r\n", 505, "version"),
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "bad_request"),
    "a header without a colon": (b"GET /c/demo HTTP/1.1\r\nnonsense\r\n\r\n", 400, "bad_request"),
}  # fmt: skip


@pytest.fixture(scope="module")
def alone() -> Iterator[Daemon]:
    """A daemon without nginx, which would refuse much of this itself."""
    with open_place() as path, Daemon(path) as daemon:
        yield daemon


@pytest.mark.parametrize("what", sorted(REFUSED))
def test_it_is_refused_counted_and_makes_no_event(alone: Daemon, what: str) -> None:
    data, status, reason = REFUSED[what]
    before = alone.status()["requests_refused"].get(reason, 0)
    answer = ask(alone.socket, data)
    assert answer.status == status, answer
    assert answer.text.strip(), "a refusal says why"
    assert alone.status()["requests_refused"][reason] == before + 1
    assert alone.events() == []
    if status == 405:
        assert answer.headers["allow"] == "GET, HEAD, POST"


def test_after_a_refusal_that_keeps_its_framing_the_connection_goes_on(alone: Daemon) -> None:
    with Wire(alone.socket) as wire:
        for _ in range(2):
            wire.send(request("/nowhere"))
            assert wire.receive().status == 404


def test_after_a_refusal_that_does_not_the_connection_ends(alone: Daemon) -> None:
    with Wire(alone.socket) as wire:
        wire.send(b"GET /c/demo HTTP/1.1\r\nContent-Length: x\r\n\r\nGET /c/demo?smuggled=1 HTTP/1.1\r\n\r\n")
        answer = wire.receive()
        assert (answer.status, answer.headers["connection"]) == (400, "close")
        assert wire.ended()
    assert alone.events() == []


def test_refusals_pass_through_nginx(front: Front) -> None:
    for data, status in [
        (request("/nowhere"), 404),
        (request("/c/demo", "PUT"), 405),
        (request("/c/demo?" + OVER), 414),
        (request("/c/demo", headers={"X": OVER}), 400),  # nginx' own word for it
        (request("/c/demo", "POST", {"Content-Length": "9999999"}, b""), 413),
    ]:
        answer, events = front.send(data)
        assert (answer.status, events) == (status, [])


def test_head_is_answered_and_makes_no_event(front: Front) -> None:
    for address in (front.nginx.address, front.daemon.socket):
        answer, events = front.send(request("/c/demo?a=1", "HEAD"), address)
        assert (answer.status, answer.headers["content-length"], events) == (200, "2", [])


@pytest.mark.parametrize(
    ("version", "headers", "stays"),
    [
        ("HTTP/1.1", "", True),
        ("HTTP/1.1", "Connection: close\r\n", False),
        ("HTTP/1.0", "", False),
        ("HTTP/1.0", "Connection: keep-alive\r\n", True),
    ],
)
def test_the_connection_stays_as_http_says(front: Front, version: str, headers: str, stays: bool) -> None:
    data = f"GET /c/demo?a=1 {version}\r\nHost: x\r\n{headers}\r\n".encode()
    with Wire(front.daemon.socket) as wire:
        wire.send(data)
        answer = wire.receive()
        assert answer.status == 200
        if stays:
            wire.send(data)
            assert wire.receive().status == 200
        else:
            assert answer.headers["connection"] == "close"
            assert wire.ended()
    assert len(front.fresh()) == 1 + stays


def test_an_absolute_target_is_taken_like_its_path(front: Front) -> None:
    event = front.one(request("http://click.example.com/c/demo/app42?a=1"), front.daemon.socket)
    assert (event["source"], event["route"], event["params"]) == ("demo", "app42", {"a": "1"})
