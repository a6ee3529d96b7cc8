"""Entries to payloads and back: every event keeps its line, its key and its traceparent."""

from __future__ import annotations

import pytest
from hypothesis import given

from ingestd.event import Entry
from ingestd.spool.envelope import (
    PAYLOAD_BYTES,
    SpooledEvent,
    event_at,
    events,
    is_envelope,
    lines,
    payloads,
    traces,
)
from tests.support.spooled import TRACE, MadeEntry, entries_of, entry, line, made_entries


@given(made_entries)
def test_every_event_keeps_its_line_key_and_trace(made: list[MadeEntry]) -> None:
    entries = entries_of(made)
    wanted = []
    for one in entries:
        for number, own in enumerate(one.data[:-1].split(b"\n")):
            key = one.keys[number] if one.keys is not None else own[62:94]
            wanted.append((own, key, one.trace))
    found = [one for payload in payloads(entries) for one in events(payload)]
    assert [(one.line, one.key, one.trace) for one in found] == wanted
    enveloped = [one.keys is not None or one.trace is not None for one in entries for _ in range(one.count)]
    assert [one.enveloped for one in found] == enveloped


@given(made_entries)
def test_the_lines_and_traces_of_a_payload_are_those_of_its_events(made: list[MadeEntry]) -> None:
    stored = payloads(entries_of(made))
    found = [one for payload in stored for one in events(payload)]
    assert [own for payload in stored for own in lines(payload)] == [one.line for one in found]
    assert list(traces(stored)) == [one.trace.decode() for one in found if one.trace is not None]


def test_payloads_are_bounded_and_never_split_an_entry() -> None:
    entries = [entry([n], size=3000) for n in range(200)]
    made = payloads(entries)
    assert b"".join(made) == b"".join(one.data for one in entries)
    assert len(made) > 5
    assert all(one.endswith(b"\n") for one in made)
    assert max(map(len, made)) < PAYLOAD_BYTES + 4000


def test_a_payload_is_full_at_64_kib_and_not_a_byte_before() -> None:
    def sizes(*of_entries: int) -> list[int]:
        made = [Entry() for _ in of_entries]
        for one, size in zip(made, of_entries, strict=True):
            one.data, one.keys, one.trace = b"x" * size, None, None
        return [len(payload) for payload in payloads(made)]

    assert sizes(65_535, 1, 65_535, 1, 5) == [65_536, 65_536, 5]
    assert sizes(65_534, 1, 70_000, 65_535, 1) == [135_535, 65_536]


def test_behind_the_last_event_there_is_none() -> None:
    assert event_at(line(1), len(line(1))) == (None, len(line(1)))


def test_an_event_is_read_from_where_its_envelope_begins() -> None:
    payload = line(1) + b'#{"k":"mine"}\n' + line(2) + line(3)[:-1]
    first, second = len(line(1)), len(line(1)) + 14 + len(line(2))
    assert event_at(payload, first) == (SpooledEvent(line(2)[:-1], b"mine", None, enveloped=True), second)
    assert event_at(payload, second) == (
        SpooledEvent(line(3)[:-1], line(3)[62:94], None, enveloped=False),
        len(payload),
    )


def test_a_key_of_null_is_no_key_and_the_nearest_envelope_counts() -> None:
    payload = b'#{"k":"other"}\n#{"k":null,"t":"%b"}\n' % TRACE.encode() + line(1)
    assert list(events(payload)) == [SpooledEvent(line(1)[:-1], None, TRACE.encode(), enveloped=True)]


@pytest.mark.parametrize("payload", [b"", b"\n", b"\n\n", b'#{"k":"alone"}\n', b'#{"k":"alone"}'])
def test_what_holds_no_event_yields_none(payload: bytes) -> None:
    assert list(events(payload)) == []
    assert list(lines(payload)) == []
    if payload:
        event, end = event_at(payload, 0)
        assert event is None
        assert end > 0


def test_an_envelope_that_is_not_json_is_an_error() -> None:
    with pytest.raises(ValueError):
        list(events(b"#{\n" + line(1)))


def test_an_envelope_is_told_from_an_event() -> None:
    assert is_envelope(b'#{"k":null}')
    assert not is_envelope(line(1))
