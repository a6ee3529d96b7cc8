"""The lines events become: valid against the published schema, cut at the places that are promised."""

from __future__ import annotations

import json
from importlib import resources
from urllib.parse import urlsplit
from uuid import UUID

import jsonschema
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ingestd.event import DUP_KEY_SLICE, ID_SLICE, LINE_START, RECEIVED_AT_SLICE
from ingestd.http.request import Headers
from ingestd.sources.event_schema import JSON_SCHEMA
from tests.support.fakes import make_source, request_for, taken

NOW = 1_718_000_000_123_456_789
VALIDATOR = jsonschema.Draft202012Validator(JSON_SCHEMA)
CALLBACKS = {
    name: urlsplit(url)
    for name, url in json.loads(
        resources.files("ingestd").joinpath("data/callbacks.json").read_text("utf-8")
    )["callbacks"].items()
}
HOSTILE = [
    b"m=1_reallog_mark_ad:8|1_16&a={{IMEI}}&b=[TS]&c={x}&d=$im$", b"imei=%IMEI%&n=100%&p=%zz",
    b"n=\xd6\xd0\xb9\xfa", b"a=1#frag&b=2", b"a=%00&b=%0a", b"a=1&a=2;b=3&&=&c", b"", b"&", b"=", b"%", b"+",
    b"a=" + b"x" * 30_000, b"&".join(b"p%d=%d" % (n, n) for n in range(1000)), bytes(range(33, 256)),
    b'a="\\\x7f&b=%22%5C%0A', b"a=%ED%A0%80", b"__proto__=1&constructor=2",
]  # fmt: skip

SOURCES = {
    "plain": make_source(),
    "everything kept": make_source(keep_raw="always", dedup=["click_id"], event_time={"param": "ts"}),
    "nothing kept": make_source(keep_raw="never", volatile=["sign", "ts"]),
}
blobs = st.binary(max_size=60)


def lines_of(
    source: str, raw: bytes, body: bytes = b"", path: bytes = b"/c/demo", **fields: bytes
) -> list[bytes]:
    found = Headers({name.replace("_", "-").encode(): value for name, value in fields.items()})
    text = path.decode("latin-1")
    route = text.removeprefix("/c/demo").removeprefix("/")
    request = request_for(raw, found, body)
    request.path, request.route, request.client_ip, request.received_ns = text, route, "192.0.2.7", NOW
    made = taken(SOURCES[source], request)
    assert made.data.endswith(b"\n")
    lines = made.data.split(b"\n")[:-1]
    assert len(lines) == made.count
    return lines


def checked(line: bytes) -> dict[str, object]:
    """The event of a line that keeps every promise."""
    event: dict[str, object] = orjson.loads(line)
    VALIDATOR.validate(event)
    assert json.loads(line) == event or b"body" in line
    assert line.startswith(LINE_START)
    assert list(event)[:4] == ["v", "id", "dup_key", "received_at"]
    assert line[ID_SLICE].decode() == event["id"]
    assert line[DUP_KEY_SLICE].decode() == event["dup_key"]
    assert int(line[RECEIVED_AT_SLICE]) == event["received_at"] == NOW // 1_000_000
    assert b"\0" not in line
    return event


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("name", CALLBACKS)
def test_what_platforms_send_keeps_every_promise(name: str, source: str) -> None:
    [line] = lines_of(source, CALLBACKS[name].query.encode())
    assert len(checked(line)["params"]) > 3  # type: ignore[arg-type]


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("raw", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_queries_keep_every_promise(raw: bytes, source: str) -> None:
    [line] = lines_of(source, raw)
    event = checked(line)
    if source == "everything kept" and raw:
        assert str(event["raw"]).encode("latin-1") == raw
    if source == "nothing kept":
        assert "raw" not in event


@given(st.sampled_from(sorted(SOURCES)), blobs, blobs, blobs, blobs, blobs, blobs)
@example("plain", b"\xff", b"\xff", b"/\xff", b"\xff", b"\xff", b"\xff/json")
def test_any_bytes_anywhere_keep_every_promise(
    source: str, raw: bytes, body: bytes, path: bytes, agent: bytes, forwarded: bytes, content_type: bytes
) -> None:
    for kind in (content_type, b"application/json", b"application/x-www-form-urlencoded", b"x-ndjson"):
        fields = {"User_Agent": agent, "X_Forwarded_For": forwarded, "Content_Type": kind}
        for line in lines_of(source, raw, body, b"/c/demo/" + path, **fields):
            event = checked(line)
            assert str(event["path"]).encode("latin-1") == b"/c/demo/" + path


@given(blobs)
def test_the_query_can_always_be_had_back(raw: bytes) -> None:
    [line] = lines_of("everything kept", raw)
    event = checked(line)
    assert str(event.get("raw", "")).encode("latin-1") == raw


def test_ids_are_unique_in_the_order_of_time_and_of_version_7() -> None:
    ids = [UUID(str(checked(lines_of("plain", b"a=1")[0])["id"])) for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert {one.version for one in ids} == {7}
    assert sorted(ids, key=lambda one: one.int) == ids


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ((b"click_id=A&x=1",), (b"x=2&click_id=A",), True),
        ((b"click_id=A",), (b"click_id=B",), False),
        ((b"click_id=__CLICKID__&x=1",), (b"click_id=__CLICKID__&x=2",), False),  # a macro left in is no id
        ((b"click_id=&x=1",), (b"click_id=&x=2",), False),
        ((b"x=1",), (b"x=1",), True),
        ((b"x=1",), (b"x=2",), False),
        ((b"x=1", b"a"), (b"x=1", b"b"), False),
    ],
)
def test_repeats_of_a_click_have_one_key_and_others_have_their_own(
    first: tuple[bytes, ...], second: tuple[bytes, ...], same: bool
) -> None:
    keys = [checked(lines_of("everything kept", *made)[0])["dup_key"] for made in (first, second)]
    assert (keys[0] == keys[1]) is same


def test_what_changes_with_every_repeat_is_left_out_of_the_key() -> None:
    keys = {
        checked(lines_of("nothing kept", raw)[0])["dup_key"]
        for raw in (b"a=1&sign=x&ts=1", b"a=1&sign=y&ts=2", b"sign=z&a=1", b"a=1")
    }
    assert len(keys) == 1
    assert checked(lines_of("nothing kept", b"a=1&signs=x")[0])["dup_key"] not in keys


@pytest.mark.parametrize(
    ("text", "event_at"),
    [
        ("1718000000", 1_718_000_000_000), ("1718000000123", 1_718_000_000_123), ("", None), ("soon", None),
        ("__TS__", None), ("0", None), ("-5", None), ("1" * 40, None), ("1" * 5000, None), ("1e3", None),
        ("%00", None),
    ],
)  # fmt: skip
def test_the_platforms_time_is_told_in_milliseconds_or_not_at_all(text: str, event_at: int | None) -> None:
    event = checked(lines_of("everything kept", f"ts={text}".encode())[0])
    assert event["event_at"] == event_at


@pytest.mark.parametrize(
    "value", ["[]", "[[]]", "{}", "null", "true", "1e300", "-1", '""', '"x"', "[1718000000]"]
)
def test_any_json_where_a_time_or_an_id_is_wanted_is_an_event(value: str) -> None:
    body = f'{{"ts": {value}, "click_id": {value}}}'.encode()
    [line] = lines_of("everything kept", b"", body, Content_Type=b"application/json")
    checked(line)


def test_an_event_without_anything_is_one_all_the_same() -> None:
    [line] = lines_of("plain", b"")
    event = checked(line)
    assert (event["params"], event["flags"], event["client_ip"]) == ({}, [], "192.0.2.7")
    assert "raw" not in event
