"""Bodies through the shipped nginx: forms, JSON, arrays, NDJSON, compressed, chunked, odd ones."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
import zstandard

from tests.support.front import Front
from tests.support.wire import Wire, request

JSON = "application/json"
NDJSON = "application/x-ndjson"
FORM = "application/x-www-form-urlencoded"


TARGET = "/c/demo/app42?q=1"


def post(body: bytes, content_type: str | None = JSON, encoding: str | None = None) -> bytes:
    """A POST to the demo source."""
    headers = {"Content-Type": content_type} if content_type is not None else {}
    if encoding is not None:
        headers["Content-Encoding"] = encoding
    return request(TARGET, "POST", headers, body)


def bodies(events: list[dict[str, Any]]) -> list[Any]:
    """The events' bodies, in the order they were stored."""
    return [event.get("body") for event in events]


def test_a_form_is_put_among_the_parameters(front: Front) -> None:
    body = b"click_id=7239924572828155962&name=%E6%8A%96%E9%9F%B3&blank=&q=2&x=__IMEI__"
    event = front.one(post(body, FORM))
    assert event["params"] == {
        "q": ["1", "2"], "click_id": "7239924572828155962", "name": "抖音", "blank": "", "x": "__IMEI__",
    }  # fmt: skip
    assert event["method"] == "POST"
    assert "macro:x" in event["flags"]
    assert "body" not in event


def test_a_form_of_raw_bytes_is_recoverable(front: Front) -> None:
    body = b"n=\xd6\xd0\xb9\xfa&&p=%zz"
    assert front.one(post(body, FORM))["body"].encode("latin-1") == body


def test_json_stays_json_with_every_digit(front: Front) -> None:
    body = (
        b'{ "id": 72399245728281559627239924572828155962,\n "price": 0.10000000000000000001, "n": {"a": []}}'
    )
    event = front.one(post(body))
    [path] = front.daemon.files(unfinished=True)
    line = next(line for line in path.read_bytes().splitlines() if event["id"].encode() in line)
    assert b"72399245728281559627239924572828155962" in line
    assert b"0.10000000000000000001" in line


def test_an_array_is_one_event_an_element_and_ndjson_one_a_line(front: Front) -> None:
    elements = [{"click": 1}, {"click": 2, "t": "]},[\\"}, [3, [4]], "five", None, 6]
    answer, events = front.send(post(json.dumps(elements).encode()))
    assert (answer.status, bodies(events)) == (200, elements)
    answer, more = front.send(post(b'{"a":1}\n\r\n{"a":2}\r\n{"a":3}', NDJSON))
    assert (answer.status, bodies(more)) == (200, [{"a": 1}, {"a": 2}, {"a": 3}])
    assert len({event["id"] for event in events + more}) == 9


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_compressed_body_is_what_it_was(front: Front, encoding: str) -> None:
    elements = [{"n": number, "text": "点击" * 50} for number in range(200)]
    _, events = front.send(post(packed(json.dumps(elements).encode(), encoding), JSON, encoding))
    assert bodies(events) == elements


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_decompression_bomb_is_refused_and_makes_no_event(front: Front, encoding: str) -> None:
    bomb = packed(b"a" * (100 << 20), encoding)
    before = front.daemon.resident()
    answer, events = front.send(post(bomb, JSON, encoding))
    assert (answer.status, events) == (413, [])
    assert front.daemon.resident() - before < 48 << 20


def packed(body: bytes, encoding: str) -> bytes:
    """The body compressed."""
    return gzip.compress(body, 6) if encoding == "gzip" else zstandard.compress(body)


@pytest.mark.parametrize(
    ("body", "encoding", "status"), [(b"no gzip", "gzip", 400), (b"no zstd", "zstd", 400), (b"x", "br", 415)]
)
def test_a_body_that_does_not_decompress_is_refused(
    front: Front, body: bytes, encoding: str, status: int
) -> None:
    answer, events = front.send(post(body, JSON, encoding))
    assert (answer.status, events) == (status, [])


def test_a_chunked_body_comes_through_and_a_trailer_is_no_header(front: Front) -> None:
    chunked = request(
        "/c/demo", "POST", {"Content-Type": JSON, "Transfer-Encoding": "chunked"},
        b'6;ext=1\r\n{"a": \r\n3\r\n12}\r\n0\r\nX-Real-IP: 192.0.2.66\r\n\r\n',
    )  # fmt: skip
    for address in (front.nginx.address, front.daemon.socket):
        event = front.one(chunked, address)
        assert event["body"] == {"a": 12}
        assert event["client_ip"] != "192.0.2.66"


@pytest.mark.parametrize(
    ("body", "content_type", "kept", "flag"),
    [
        (b'{"a": 1', JSON, '{"a": 1', "bad_json"),
        (b"[1,2", JSON, "[1,2", "bad_json"),
        ("你好".encode(), "text/plain", "你好", None),
        (bytes(range(256)), "application/octet-stream", bytes(range(256)).decode("latin-1"), "body_not_utf8"),
        (b"no type at all", None, "no type at all", None),
        (b"[]", JSON, [], None),
    ],
)
def test_a_body_that_is_odd_is_kept_and_flagged(
    front: Front, body: bytes, content_type: str | None, kept: object, flag: str | None
) -> None:
    event = front.one(post(body, content_type))
    assert event["body"] == kept
    assert event["flags"] == ([flag] if flag else [])


def test_a_body_of_a_megabyte_is_taken_and_one_byte_more_is_refused(front: Front) -> None:
    for address in (front.nginx.address, front.daemon.socket):
        assert len(front.one(post(b"x" * (1 << 20), "text/plain"), address)["body"]) == 1 << 20
    with Wire(front.daemon.socket) as wire:  # the head alone: who refuses so early need not be sent the rest
        wire.send(request(TARGET, "POST", {"Content-Length": str((1 << 20) + 1)}))
        assert wire.receive().status == 413
    answer, events = front.send(post(b"x" * ((1 << 20) + 1), "text/plain"))
    assert (answer.status, events) == (413, [])


def test_expect_100_continue_is_answered_before_the_body(front: Front) -> None:
    head = request(TARGET, "POST", {"Content-Type": JSON, "Content-Length": "2", "Expect": "100-continue"})
    for address in (front.daemon.socket, front.nginx.address):
        with Wire(address) as wire:
            wire.send(head)
            assert wire.receive().status == 100
            wire.send(b"{}")
            assert wire.receive().status == 200
    assert bodies(front.fresh()) == [{}, {}]
