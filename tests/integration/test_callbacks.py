"""Real callbacks and hostile queries through the shipped nginx: one request, one event, no byte lost."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

import jsonschema
import pytest

from ingestd.sources.event_schema import JSON_SCHEMA
from tests.support.front import HOSTILE, SAMPLES, Front
from tests.support.wire import request

# What nginx lets through in a request target: everything but controls, the space and DEL.
PASSED = [*range(0x21, 0x7F), *range(0x80, 0x100)]


def as_bytes(text: str) -> bytes:
    """A hostile query as bytes; one is written with its bytes as escapes and a remark in parentheses."""
    text = text.partition("  (")[0]
    return (
        text.encode("latin-1").decode("unicode_escape").encode("latin-1") if "\\x" in text else text.encode()
    )


def recovered(event: dict[str, Any]) -> bytes | None:
    """The query as received where the event keeps it."""
    return event["raw"].encode("latin-1") if "raw" in event else None


def pairs(query: bytes) -> list[tuple[bytes, bytes]]:
    """A query's pairs, unescaped to bytes, in the order of their names; repeated ones as they stood."""
    found = []
    for pair in query.split(b"&"):
        name, _, value = pair.replace(b"+", b" ").partition(b"=")
        found.append((unquote_to_bytes(name), unquote_to_bytes(value)))
    return sorted(found, key=lambda one: one[0])


def pairs_of(params: dict[str, str | list[str]]) -> list[tuple[bytes, bytes]]:
    """The same of an event's parameters."""
    found = [
        (name.encode(), one.encode())
        for name, value in params.items()
        for one in (value if isinstance(value, list) else [value])
    ]
    return sorted(found, key=lambda one: one[0])


def assert_recoverable(event: dict[str, Any], query: bytes) -> None:
    """The query's bytes follow from the event: it holds them, or its parameters say the same."""
    raw = recovered(event)
    if raw is not None:
        assert raw == query
    else:
        assert pairs_of(event["params"]) == pairs(query)
    jsonschema.validate(event, JSON_SCHEMA)


@pytest.mark.parametrize("platform", sorted(SAMPLES))
def test_each_sample_callback_becomes_one_event_with_its_fields(front: Front, platform: str) -> None:
    url = urlsplit(SAMPLES[platform])
    query = url.query.encode()
    headers = {"User-Agent": "okhttp/3.12", "X-Forwarded-For": "198.51.100.7", "X-Real-IP": "203.0.113.9"}
    event = front.one(request(f"{url.path}?{url.query}", headers=headers))
    _, _, source, route = url.path.split("/")
    assert (event["source"], event["route"], event["path"]) == (source, route, url.path)
    assert (event["type"], event["method"], event["v"]) == ("click", "GET", 1)
    assert event["user_agent"] == "okhttp/3.12"
    assert event["client_ip"] == "127.0.0.1", "nginx' word for the client's address, not the client's own"
    assert event["forwarded_for"] == "198.51.100.7, 127.0.0.1"
    assert pairs_of(event["params"]) == pairs(query), "samples are clean: parameters lose nothing"
    assert_recoverable(event, query)


def test_a_macro_left_in_is_flagged_and_kept(front: Front) -> None:
    url = urlsplit(SAMPLES["oceanengine"])
    event = front.one(request(f"{url.path}?{url.query}"))
    assert event["params"]["imei"] == "__IMEI__"
    assert {"macro:imei", "macro:idfa", "macro:union_site"} <= set(event["flags"])


def test_a_repeat_has_another_id_and_the_same_dup_key(front: Front) -> None:
    url = urlsplit(SAMPLES["tencent"])
    first, second = (front.one(request(f"{url.path}?{url.query}")) for _ in range(2))
    assert first["id"] != second["id"]
    assert first["dup_key"] == second["dup_key"]


@pytest.mark.parametrize("text", HOSTILE)
def test_each_hostile_query_becomes_one_event_with_its_bytes(front: Front, text: str) -> None:
    query = as_bytes(text)
    event = front.one(request(b"/c/demo/app42?" + query))
    assert event["route"] == "app42"
    assert_recoverable(event, query)


def test_bytes_that_are_no_utf_8_are_flagged_and_recoverable(front: Front) -> None:
    event = front.one(request(b"/c/demo?n=\xd6\xd0\xb9\xfa&m=%D6%D0"))
    assert event["raw"].encode("latin-1") == b"n=\xd6\xd0\xb9\xfa&m=%D6%D0"
    assert "bad_utf8" in event["flags"]


def test_every_byte_nginx_passes_comes_through_and_the_others_make_no_event(front: Front) -> None:
    for byte in set(range(256)) - {ord("\n")}:  # a newline ends the request line: an HTTP/0.9 request
        query = b"a=x" + bytes([byte]) + b"y&b=2"
        answer, events = front.send(request(b"/c/demo?" + query))
        if byte in PASSED:
            assert (answer.status, len(events)) == (200, 1), (byte, answer)
            assert_recoverable(events[0], query)
        else:
            assert (answer.status, events) == (400, []), (byte, answer)


def test_every_escaped_byte_comes_through(front: Front) -> None:
    query = b"&".join(b"p%d=%%%02X" % (byte, byte) for byte in range(256))
    assert_recoverable(front.one(request(b"/c/demo?" + query)), query)


def test_every_byte_without_nginx_is_an_event_or_a_400(front: Front) -> None:
    for byte in set(range(256)) - {ord("\n")}:
        query = b"a=x" + bytes([byte]) + b"y"
        answer, events = front.send(request(b"/c/demo?" + query), front.daemon.socket)
        assert (answer.status, len(events)) in ((200, 1), (400, 0)), (byte, answer)
        assert answer.status == 200 or byte not in PASSED, byte
        if events:
            assert_recoverable(events[0], query)


def test_a_target_of_31_000_bytes_comes_through(front: Front) -> None:
    query = b"callback=" + b"%e4%bd%a0x" * 3098 + b"y" * 8
    target = b"/c/demo?" + query
    assert len(target) > 31_000 - 40
    event = front.one(request(target))
    assert_recoverable(event, query)


@pytest.mark.parametrize(
    "path",
    [b"/c/demo/a%2Fb", b"/c/demo//x/../y", b"/c/demo/%E4%BD%A0", b"/c/demo/\xd6\xd0", b"/c/demo/a;b=1,2|3"],
)
def test_the_path_is_kept_as_it_was_received(front: Front, path: bytes) -> None:
    event = front.one(request(path + b"?a=1"))
    assert event["path"].encode("latin-1") == path
    assert event["route"].encode("latin-1") == path[len(b"/c/demo/") :]


def test_a_user_agent_of_raw_bytes_is_kept_and_flagged(front: Front) -> None:
    event = front.one(request("/c/demo?a=1", headers={"User-Agent": "小米".encode("gbk").decode("latin-1")}))
    assert event["user_agent"].encode("latin-1") == "小米".encode("gbk")
    assert "header_not_utf8" in event["flags"]
