"""Each platform's requests become the right events, with the right replies."""

from __future__ import annotations

from collections import Counter

import jsonschema
import pytest
import xxhash

from ingestd.config import profiles
from ingestd.event import DUP_KEY_SLICE, ID_SLICE, LINE_START, RECEIVED_AT_SLICE
from ingestd.sources.event_schema import JSON_SCHEMA
from tests.support.desk import NOW_MS, Taken, one
from tests.support.platforms import abroad, media, more_media, others, phones
from tests.support.platforms.cases import EXAMPLES, Case

CASES = [*media.CASES, *more_media.CASES, *phones.CASES, *others.CASES, *abroad.CASES]


def take(case: Case) -> Taken:
    url = case.request
    path = url.decode("latin-1") if isinstance(url, bytes) else url.partition("trk.example.com")[2]
    desk = one(case.profile, path="/" + "/".join(path.partition("?")[0].split("/")[1:3]))
    headers = {"Content-Type": case.content_type} if case.body else {}
    return desk.take(url, case.body, dict(headers))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_platform_s_request_becomes_the_right_event(case: Case) -> None:
    taken = take(case)
    event = taken.event
    jsonschema.validate(event, JSON_SCHEMA)
    assert (taken.reply.status, taken.reply.keep.partition(b"\r\n\r\n")[2]) == case.reply
    assert tuple(event["flags"]) == case.flags
    assert event["event_at"] == case.event_at
    assert event["received_at"] == NOW_MS
    assert {name: event["params"][name] for name in case.params} == case.params
    assert event.get("body") == case.body_is
    target = case.request if isinstance(case.request, bytes) else case.request.encode()
    query = target.partition(b"?")[2]
    assert event.get("raw") == (query.decode("latin-1") if case.raw else None)
    assert event["signature"] == case.signature
    if case.click_id is not None:
        prefix = f"x\0{event['type']}\0"
        assert event["dup_key"] == xxhash.xxh3_128_hexdigest((prefix + case.click_id).encode())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_line_has_its_first_keys_at_fixed_places(case: Case) -> None:
    taken = take(case)
    line, event = taken.lines, taken.event
    assert line.startswith(LINE_START)
    assert line[ID_SLICE].decode() == event["id"]
    assert line[DUP_KEY_SLICE].decode() == event["dup_key"]
    assert int(line[RECEIVED_AT_SLICE]) == event["received_at"]


@pytest.mark.parametrize("case", [one for one in CASES if one.click_id is None], ids=lambda case: case.name)
def test_without_a_click_id_the_same_request_again_has_the_same_dup_key(case: Case) -> None:
    first, again = take(case).event, take(case).event
    assert first["dup_key"] == again["dup_key"]
    assert first["id"] != again["id"]


def test_every_profile_has_its_three_kinds_of_case() -> None:
    kinds = Counter(case.profile for case in CASES)
    for word in ("full", "macros", "hostile"):
        assert {case.profile for case in CASES if f" {word}" in case.name} == set(profiles.Profiles().names)
    assert min(kinds.values()) >= 3


def test_every_profile_has_an_example_that_send_sends() -> None:
    assert sorted([*EXAMPLES, "generic"]) == profiles.Profiles().names
