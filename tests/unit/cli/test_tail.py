"""The line `ingestd tail` shows of an event."""

from __future__ import annotations

from typing import Any

import pytest

from ingestd.cli.tail import BODY, VALUE, brief


def event(**more: Any) -> dict[str, Any]:
    return {
        "source": "demo", "route": "app42", "client_ip": "192.0.2.1", "flags": [], "params": {},
        "received_at": 1_718_000_000_123, **more,
    }  # fmt: skip


def test_an_event_is_one_line_of_what_a_person_looks_for() -> None:
    shown = brief(event(params={"a": "1", "b": ["2", "3"]}, flags=["macro:imei", "stale"]))
    assert shown == "2024-06-10T06:13:20.123Z demo/app42 192.0.2.1 [macro:imei stale] a=1 b=2 b=3"


def test_a_value_that_is_cut_says_how_much_is_left_out_and_the_others_stay() -> None:
    shown = brief(event(params={"ua": "x" * (VALUE + 38), "whole": "y" * VALUE, "last": "z"}))
    assert shown.endswith(f" ua={'x' * VALUE}...(+38) whole={'y' * VALUE} last=z")


@pytest.mark.parametrize(("body", "shown"), [("text", "text"), ({"a": [1]}, '{"a":[1]}'), ([1, 2], "[1,2]")])
def test_without_parameters_the_body_is_shown(body: Any, shown: str) -> None:
    assert brief(event(body=body)).endswith(f" {shown}")
    long = brief(event(body="b" * (BODY + 1)))
    assert long.endswith(f" {'b' * BODY}...(+1)")


def test_no_event_moves_the_cursor_or_begins_a_line() -> None:
    assert brief(event(params={"a\nb": "c\x1b[2Jd\u202ee"})).endswith(" a?b=c?[2Jd?e")
