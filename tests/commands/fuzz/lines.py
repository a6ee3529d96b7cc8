"""The invariant of every event line: JSON of the schema, and one newline, at its end."""

from __future__ import annotations

import re
from typing import Any

import jsonschema
import orjson

from ingestd.event import DUP_KEY_SLICE, ID_SLICE, LINE_START, RECEIVED_AT_SLICE
from ingestd.sources.event_schema import JSON_SCHEMA

_VALIDATOR = jsonschema.Draft202012Validator(JSON_SCHEMA)
_ID = re.compile(JSON_SCHEMA["properties"]["id"]["pattern"])
_DUP_KEY = re.compile(JSON_SCHEMA["properties"]["dup_key"]["pattern"])
_REQUIRED = frozenset(JSON_SCHEMA["required"])
_KNOWN = frozenset(JSON_SCHEMA["properties"])
# The whole schema takes a hundred times as long as the line: it is asked for every so many.
_EVERY = 50
_seen = 0


def checked(data: bytes, count: int) -> list[dict[str, Any]]:
    """The events of an entry's lines. Raises AssertionError, ValueError or ValidationError."""
    assert data.endswith(b"\n")
    lines = data[:-1].split(b"\n")
    assert len(lines) == count, (len(lines), count)
    return [_event(line) for line in lines]


def _event(line: bytes) -> dict[str, Any]:
    global _seen
    assert line.startswith(LINE_START)
    event: dict[str, Any] = orjson.loads(line)
    assert event["id"].encode() == line[ID_SLICE]
    assert event["dup_key"].encode() == line[DUP_KEY_SLICE]
    assert str(event["received_at"]).encode() == line[RECEIVED_AT_SLICE]
    assert _ID.fullmatch(event["id"])
    assert _DUP_KEY.fullmatch(event["dup_key"])
    assert _REQUIRED <= event.keys() <= _KNOWN
    assert all(isinstance(flag, str) for flag in event["flags"])
    for value in event["params"].values():
        assert all(isinstance(one, str) for one in (value if isinstance(value, list) else [value]))
    _seen += 1
    if _seen % _EVERY == 0:
        _VALIDATOR.validate(event)
    return event
