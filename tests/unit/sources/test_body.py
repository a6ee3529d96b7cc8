"""Bodies: forms, JSON byte for byte, arrays, lines, compressed or not, and what only pretends to be one."""

from __future__ import annotations

import gzip
import zlib

import orjson
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from ingestd.errors import RequestRefusedError
from ingestd.sources import body
from tests.support.fakes import headers, make_source, request_for, taken

JSON = "application/json"
LINES = "application/x-ndjson"
FORM = "application/x-www-form-urlencoded"
LIMIT = 100_000

text = st.text(max_size=20).filter(str.isprintable)
json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**63), text),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(text, inner, max_size=4)),
    max_leaves=12,
)


def lines(body: bytes, content_type: str = JSON, raw: bytes = b"", **fields: str) -> list[bytes]:
    """The lines of the events a request with this body becomes."""
    found = headers(Content_Type=content_type, **fields)
    source = make_source(toml=f'[ingest]\nmax_inflated = "{LIMIT}B"')
    made = taken(source, request_for(raw, found, body))
    split = made.data.splitlines()
    assert len(split) == made.count
    return split


def events(body: bytes, content_type: str = JSON, raw: bytes = b"", **fields: str) -> list[dict[str, object]]:
    return [orjson.loads(line) for line in lines(body, content_type, raw, **fields)]


def refused(body: bytes, encoding: str) -> str:
    with pytest.raises(RequestRefusedError) as caught:
        lines(body, JSON, Content_Encoding=encoding)
    return caught.value.reason


# forms


def test_a_form_is_among_the_parameters() -> None:
    [event] = events(b"b=2&a=3&c=%E7%82%B9", FORM, b"a=1")
    assert event["params"] == {"a": ["1", "3"], "b": "2", "c": "点"}
    assert "body" not in event


def test_a_form_that_loses_something_is_kept_as_it_came() -> None:
    [event] = events(b"a=%D6%D0&b", FORM + "; charset=gbk")
    assert event["body"] == "a=%D6%D0&b"
    assert set(event["flags"]) == {"bad_utf8", "raw_body"}  # type: ignore[call-overload]


# JSON, byte for byte


@pytest.mark.parametrize(
    "text",
    [
        b'{"id":12345678901234567890123456789,"big":1e300,"small":1e-400}',
        b'{"pi":3.14159265358979323846264338327950288}',
        b'{"a":1,"a":2,"a":{"b":3,"b":4}}',
        b'{"z":1,"a":2,"m":3}',
        rb'{"t":"\u70b9\ud83d\ude00\/"}',
        '{"t":"点击"}'.encode(),
        b'{"neg":-0,"exp":1E+2,"float":1.0}',
        b"null", b"true", b"0", b'""', b"{}", b"[]",
        b"[" * 500 + b"]" * 500,
        b'{"a":' * 500 + b"1" + b"}" * 500,
    ],
)  # fmt: skip
def test_json_is_kept_byte_for_byte(text: bytes) -> None:
    # A body that is an array is one event an element, so it is given inside an object.
    whole = b'{"x":' + text + b"}"
    [line] = lines(whole)
    assert b'"body":' + whole + b"}" in line


def test_json_over_several_lines_stays_one_line() -> None:
    [line] = lines(b'\r\n{\n  "a": "x\\ny",\r\n  "b": 2\n}\n')
    assert b'"body":{   "a": "x\\ny",    "b": 2 }}' in line


@given(st.lists(json_values, min_size=1, max_size=8), st.sampled_from([b"", b" ", b"\n", b" \t\r\n"]))
def test_an_array_is_one_event_an_element_byte_for_byte(values: list[object], space: bytes) -> None:
    texts = [orjson.dumps(value) if not _too_big(value) else b"0" for value in values]
    body = space + b"[" + space + (space + b"," + space).join(texts) + space + b"]" + space
    found = lines(body)
    assert len(found) == len(texts)
    for line, text in zip(found, texts, strict=True):
        assert line.endswith(b'"body":' + text + b"}")


def _too_big(value: object) -> bool:
    return isinstance(value, int) and value > 2**64 - 1


def test_an_array_of_nothing_is_one_event() -> None:
    assert [event["body"] for event in events(b" [ ] ")] == [[]]


def test_numbers_in_an_array_keep_every_digit() -> None:
    found = lines(b'[{"id":12345678901234567890123456789},{"id":1.50e300}]')
    assert b'"id":12345678901234567890123456789}' in found[0]
    assert b'"id":1.50e300}' in found[1]


def test_the_events_of_an_array_have_ids_of_their_own() -> None:
    found = events(b'[{"a":1},{"a":2},{"a":1}]')
    assert len({str(event["id"]) for event in found}) == 3
    assert found[0]["dup_key"] == found[2]["dup_key"] != found[1]["dup_key"]


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[1,",
        b"[1 2]",
        b'{"a":NaN}',
        b"1e400",
        b"\xff",
        b'{"a":"\xff"}',
        b"[" * 100_000,
        b'"\\ud800"',
        b"'a'",
    ],
)
def test_what_is_no_json_is_kept_as_text_and_said_so(body: bytes) -> None:
    [event] = events(body)
    assert "bad_json" in event["flags"]  # type: ignore[operator]
    text = str(event["body"])
    assert (text.encode("latin-1") if "body_not_utf8" in event["flags"] else text.encode()) == body  # type: ignore[operator]


def test_text_of_no_known_kind_is_kept_as_it_is() -> None:
    [event] = events("点击 <x/>".encode(), "application/xml")
    assert (event["body"], event["content_type"], event["flags"]) == ("点击 <x/>", "application/xml", [])
    [event] = events(b"\xd6\xd0", "text/plain")
    assert (event["body"], event["flags"]) == ("\xd6\xd0", ["body_not_utf8"])


# NDJSON


def test_lines_are_one_event_each() -> None:
    found = events(b'{"a":1}\r\n\n  \n{"a":2}\nnot json\n3', LINES)
    assert [event["body"] for event in found] == [{"a": 1}, {"a": 2}, "not json", 3]
    assert [event["flags"] for event in found] == [[], [], ["bad_json"], []]


@pytest.mark.parametrize(
    "kind", [LINES, "application/jsonl", "application/json-seq", "APPLICATION/X-NDJSON; charset=utf-8"]
)
def test_lines_are_known_by_any_of_their_names(kind: str) -> None:
    assert len(events(b"\x1e1\n\x1e2\n" if "seq" in kind else b"1\n2\n", kind)) == 2


@pytest.mark.parametrize("body", [b"\n", b" \r\n \n"])
def test_lines_of_nothing_are_one_event(body: bytes) -> None:
    assert len(events(body, LINES)) == 1


# compressed


def squeeze(data: bytes, encoding: str) -> bytes:
    return gzip.compress(data) if "gzip" in encoding else zstandard.ZstdCompressor().compress(data)


ENCODINGS = ["gzip", "zstd", "x-gzip", " GZIP "]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_compressed_body_is_as_if_it_were_not(encoding: str) -> None:
    packed = squeeze(b'{"a": 1}', encoding.lower())
    [event] = events(packed, JSON, Content_Encoding=encoding)
    assert event["body"] == {"a": 1}


@pytest.mark.parametrize("encoding", ["", "identity"])
def test_a_body_may_say_that_it_is_not_compressed(encoding: str) -> None:
    assert events(b"1", JSON, Content_Encoding=encoding)[0]["body"] == 1


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "zip"])
def test_another_encoding_is_refused(encoding: str) -> None:
    assert refused(b"x", encoding) == "encoding"


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_several_members_are_one_body(encoding: str) -> None:
    parts = [b'{"a":', b"", b"[1,2", b",3]}"]
    packed = b"".join(squeeze(part, encoding) for part in parts)
    assert events(packed, JSON, Content_Encoding=encoding)[0]["body"] == {"a": [1, 2, 3]}


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_compressed_body_that_was_cut_is_refused_wherever_it_was_cut(encoding: str) -> None:
    packed = squeeze(b'{"a": 1}' * 20, encoding) + squeeze(b"more", encoding)
    first = len(squeeze(b'{"a": 1}' * 20, encoding))
    for size in range(1, len(packed)):
        if size != first:
            assert refused(packed[:size], encoding) == "bad_encoding"


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
@pytest.mark.parametrize("tail", [b"x", b"garbage behind it", b"\0\0"])
def test_garbage_behind_a_compressed_body_is_refused(encoding: str, tail: bytes) -> None:
    assert refused(squeeze(b"1", encoding) + tail, encoding) == "bad_encoding"


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_damaged_compressed_body_is_refused_or_read_and_never_a_bug(encoding: str) -> None:
    packed = squeeze(b'{"a": "some text that is long enough to be squeezed"}' * 5, encoding)
    outcomes = set()
    for place in range(len(packed)):
        broken = packed[:place] + bytes([packed[place] ^ 0x55]) + packed[place + 1 :]
        try:
            body.inflate(broken, encoding.encode(), LIMIT)
        except RequestRefusedError as error:
            outcomes.add(error.reason)
    assert "bad_encoding" in outcomes
    assert outcomes <= {"bad_encoding", "inflated_too_large"}


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_bomb_is_taken_up_to_the_cap_and_refused_past_it(encoding: str) -> None:
    fits = b'"' + b"x" * (LIMIT - 2) + b'"'
    assert len(str(events(squeeze(fits, encoding), JSON, Content_Encoding=encoding)[0]["body"])) == LIMIT - 2
    assert refused(squeeze(fits + b" ", encoding), encoding) == "inflated_too_large"
    halves = squeeze(fits[:50_000], encoding) + squeeze(fits[50_000:] + b" ", encoding)
    assert refused(halves, encoding) == "inflated_too_large"
    assert refused(squeeze(b"\0" * 1_000_000, encoding), encoding) == "inflated_too_large"


@pytest.mark.parametrize("level", [3, 9])
def test_a_body_compressed_as_a_stream_is_as_if_it_were_not(level: int) -> None:
    packer = zstandard.ZstdCompressor(level=level).compressobj()
    packed = packer.compress(b"[1]") + packer.flush()
    assert body.inflate(packed, b"zstd", 8 << 20) == b"[1]"


def test_a_window_larger_than_the_cap_is_refused_before_memory_is_spent_on_it() -> None:
    packed = b"\x28\xb5\x2f\xfd\x00\x88" + b"\x01\x00\x00"  # a frame of 128 MiB's window with nothing in it
    assert refused(packed, "zstd") == "bad_encoding"


def test_raw_deflate_is_not_gzip() -> None:
    assert refused(zlib.compress(b"1"), "gzip") == "bad_encoding"


def test_an_array_nested_deeper_than_is_followed_is_kept_as_text() -> None:
    """Taken by the check, but not by the scanner that finds where its elements end."""
    body = b"[1,%b]" % (b"[" * 1000 + b"]" * 1000)
    [event] = events(body)
    assert (event["body"], event["flags"]) == (body.decode(), ["bad_json"])
