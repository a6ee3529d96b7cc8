"""What one request may become, in bytes for each byte received: counted, never timed."""

from __future__ import annotations

import gzip
import tracemalloc

import orjson
import pytest
import zstandard

from ingestd.errors import ConfigError, RequestRefusedError
from ingestd.http.request import Request
from ingestd.sources.budget import FLOOR, Budget
from ingestd.sources.source import Source
from ingestd.spool import envelope
from ingestd.spool import format as spool_format
from tests.support.fakes import headers, make_source, request_for, settings, taken

EXPANSION = Budget().expansion
LINES = Budget().lines
FORM, JSON, LINED = "application/x-www-form-urlencoded", "application/json", "application/x-ndjson"


def posted(body: bytes, media_type: str = JSON, query: bytes = b"", encoding: str = "") -> Request:
    fields = {"Content_Type": media_type} | ({"Content_Encoding": encoding} if encoding else {})
    return request_for(query, headers(**fields), body)


def received(request: Request) -> int:
    return len(request.target) + len(request.body)


def array(count: int, element: bytes = b"1") -> bytes:
    return b"[" + b",".join([element] * count) + b"]"


def refusal(source: Source, request: Request) -> str:
    with pytest.raises(RequestRefusedError) as caught:
        taken(source, request)
    return caught.value.reason


# Each was worth many times its bytes: 81 KB became 614 MB of lines, 8 KB of gzip an event of 48 MiB.
EXPANDING = {
    "a query in every event of an array": posted(array(10_000), query=b"a=" + b"x" * 6600),
    "a query in every line": posted(b"1\n" * 10_000, LINED, b"a=" + b"x" * 6600),
    "an array, compressed": posted(gzip.compress(array(10_000)), encoding="gzip"),
    "zeros": posted(zstandard.compress(bytes(4 << 20)), "text/plain", encoding="zstd"),
    "control characters": posted(b"\x01" * (1 << 20) * 3, "text/plain"),
    "control characters in a form": posted(b"a=" + b"\x01" * (3 << 20), FORM),
    "flags of macros in every event": posted(
        array(10_000), query=b"&".join(b"%x=__A__" % number for number in range(1000))
    ),
    "a long user agent": request_for(
        b"", headers(Content_Type=JSON, User_Agent="\x01" * 8000), array(10_000)
    ),
}


@pytest.mark.parametrize("what", EXPANDING)
def test_what_would_expand_too_much_is_refused_before_it_is_made(what: str) -> None:
    request = EXPANDING[what]
    allowed = Budget().allowance(received(request))
    source = make_source()
    tracemalloc.start()
    try:
        assert refusal(source, request) == "expands_too_much"
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2 * max(allowed, received(request)) + (8 << 20)
    assert (source.counters.macros or {}).get("none") is None


@pytest.mark.parametrize("count", [1, 10, 100, 1000, 10_000])
@pytest.mark.parametrize("media_type", [JSON, LINED])
@pytest.mark.parametrize("query", [b"", b"a=b&c=d", b"q=" + b"%01" * 1000])
def test_lines_are_never_more_than_the_factor(count: int, media_type: str, query: bytes) -> None:
    element = b'{"click_id":"1234567890"}'
    body = array(count, element) if media_type == JSON else b"\n".join([element] * count)
    request = posted(body, media_type, query)
    allowed = Budget().allowance(received(request))
    source = make_source()
    if count * len(query) * 2 > allowed:
        assert refusal(source, request) == "expands_too_much"
    else:
        made = taken(source, request)
        assert made.count == count
        assert len(made.data) <= allowed


def test_an_ordinary_array_is_taken_whole() -> None:
    element = orjson.dumps({f"key{number}": "value" * 3 for number in range(12)})
    made = taken(make_source(), posted(array(5000, element), query=b"token=abc"))
    assert made.count == 5000
    assert len(made.data) <= LINES


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        (b'{"a":[' + b"[]," * 300_000 + b"0]}", JSON),
        (b"{" + b",".join(b'"%x":0' % number for number in range(110_000)) + b"}", JSON),
        (b"[" * 250_000 + b"]" * 250_000, JSON),
        (b"1\n" * 250_000, LINED),
        (b"a&" * 250_000, FORM),
        (b"\n".join([b"[0,0,0,0]"] * 60_000), LINED),
    ],
)
@pytest.mark.parametrize("private", [False, True])
def test_more_values_than_allowed_are_refused_unread(body: bytes, media_type: str, private: bool) -> None:
    source = make_source(toml="[ingest]\nmax_values = 100000", privacy={"imei": "drop"} if private else {})
    assert refusal(source, posted(body, media_type)) == "too_many_values"


def test_the_limits_are_the_configurations() -> None:
    small = "[ingest]\nmax_lines = '256KiB'\nmax_events = 20\nmax_values = 50\nmax_expansion = 16"
    source = make_source(toml=small)
    assert taken(source, posted(array(20))).count == 20
    assert refusal(source, posted(array(21))) == "too_many_events"
    assert refusal(source, posted(array(51))) == "too_many_values"
    assert refusal(source, posted(b"x" * FLOOR, "text/plain")) == "expands_too_much"
    assert taken(make_source(), posted(b"x" * FLOOR, "text/plain")).count == 1


def test_what_a_request_may_become_fits_into_a_frame_of_the_spool() -> None:
    """The largest envelopes: a key as long as the line, and a traceparent of control characters."""
    source = make_source(key=["k"], toml="[ingest]\nmax_lines = '1MiB'")
    query = b"k=" + b"%01x" * 1000
    fields = headers(Content_Type=JSON, traceparent="\x01" * 128)
    count = 1
    while True:
        try:
            made = taken(source, request_for(query, fields, array(count, b"10000000")))
        except RequestRefusedError:
            break
        [payload] = envelope.payloads([made])
        assert len(payload) <= 2 * (1 << 20) + count * 1024
        count *= 2
    assert count > 32
    assert spool_format.MAX_PAYLOAD == 64 << 20


def test_a_zstd_body_may_ask_for_a_larger_window_than_it_needs() -> None:
    packed = zstandard.ZstdCompressor(level=19).compressobj()
    body = packed.compress(b"[1]") + packed.flush()
    assert taken(make_source(), posted(body, encoding="zstd")).count == 1


@pytest.mark.parametrize("lines", ["28MiB", "64MiB"])
def test_a_configuration_whose_requests_would_not_fit_is_refused(lines: str) -> None:
    with pytest.raises(ConfigError, match=r"ingest.max_lines: .*write at most 27MiB"):
        settings(f'[ingest]\nmax_lines = "{lines}"')
    settings('[ingest]\nmax_lines = "27MiB"')
