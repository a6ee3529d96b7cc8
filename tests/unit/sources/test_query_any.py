"""Whatever bytes a query holds, it is one event; nothing is lost; valid ones are decoded as usual."""

from __future__ import annotations

from urllib.parse import parse_qsl, unquote_to_bytes, urlencode

import jsonschema
import orjson
from hypothesis import example, given
from hypothesis import strategies as st

from ingestd.sources import query
from ingestd.sources.event_schema import JSON_SCHEMA
from tests.support.desk import one
from tests.support.queries import QUERY

PLAIN = one("generic")
EVERYTHING = one(
    "generic",
    """dedup = ["a+b"]
dedup_window = 50
volatile = ["v"]
key = ["k", "a"]
max_rate = 1e9
event_time = { param = "t" }
privacy = { p = "sha256" }
address_privacy = "truncate_ip"
reply.redirect = { param = "u", hosts = ["x.example"] }""",
)
VALIDATE = jsonschema.Draft202012Validator(JSON_SCHEMA)


def pairs(raw: bytes) -> list[tuple[bytes, bytes]]:
    split = [pair.replace(b"+", b" ").partition(b"=") for pair in raw.split(b"&")]
    return sorted((unquote_to_bytes(name), unquote_to_bytes(value)) for name, _, value in split)


def pairs_of(params: dict[str, str | list[str]]) -> list[tuple[bytes, bytes]]:
    return sorted(
        (name.encode(), one_value.encode())
        for name, value in params.items()
        for one_value in (value if isinstance(value, list) else [value])
    )


@given(QUERY)
@example(b"a&&b=1")
@example(b"=")
@example(b"%EF%BF%BD=%EF%BF%BD")
@example(b"a=%5C&b")
def test_any_query_is_one_event_from_which_it_can_be_had_back(raw: bytes) -> None:
    event = PLAIN.take(b"/c/x?" + raw).event
    VALIDATE.validate(event)
    if "raw" in event:
        assert event["raw"].encode("latin-1") == raw
    else:
        assert pairs_of(event["params"]) == (pairs(raw) if raw else [])


@given(QUERY, QUERY)
def test_any_query_and_form_are_one_event_of_a_source_that_asks_for_everything(
    raw: bytes, form: bytes
) -> None:
    fields = {"Content-Type": "application/x-www-form-urlencoded"}
    VALIDATE.validate(EVERYTHING.take(b"/c/x?" + raw, form, fields).event)


@given(
    st.binary(max_size=80), st.sampled_from(["application/json", "application/x-ndjson", "text/plain", "x"])
)
def test_any_body_is_at_least_one_event(body: bytes, content_type: str) -> None:
    for desk in (PLAIN, EVERYTHING):
        for event in desk.take("/c/x?a=1", body, {"Content-Type": content_type}).events:
            VALIDATE.validate(event)


@given(st.binary(max_size=40), st.binary(max_size=40), st.binary(max_size=40))
def test_any_header_and_path_is_an_event(path: bytes, agent: bytes, forwarded: bytes) -> None:
    taken = PLAIN.take(
        b"/c/x/" + path.replace(b"?", b""), headers={"User-Agent": agent, "X-Forwarded-For": forwarded}
    )
    VALIDATE.validate(taken.event)
    assert ("header_not_utf8" in taken.event["flags"]) == (not (_is_utf8(agent) and _is_utf8(forwarded)))


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


@given(st.lists(st.tuples(st.text(min_size=1), st.text()), max_size=12))
def test_valid_queries_are_decoded_as_the_standard_library_does(items: list[tuple[str, str]]) -> None:
    items = [(_clean(name), _clean(value)) for name, value in items]
    raw = urlencode(items).encode()
    gathered: dict[str, list[str]] = {}
    for name, value in parse_qsl(raw.decode(), keep_blank_values=True):
        gathered.setdefault(name, []).append(value)
    decoded = query.decode(raw)
    assert decoded.params == {name: found if len(found) > 1 else found[0] for name, found in gathered.items()}
    assert decoded.flags == ()


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


@given(QUERY)
def test_decoding_gives_what_the_general_path_gives(raw: bytes) -> None:
    found, general = query.decode(raw), query.general_path(raw)
    if raw:
        assert found == general
    assert orjson.loads(found.encoded) == found.params
