"""The window for repeats: exact within its bound, forgetful of what was refused, and measured."""

from __future__ import annotations

import random
from collections import OrderedDict

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from ingestd.admin.metrics import _recognition
from ingestd.pipeline.counters import Counters
from ingestd.sources.dedup_window import DuplicateWindow
from ingestd.sources.factory import build, windows_of
from tests.support.desk import NOW_MS, Desk, one


def key(number: int) -> bytes:
    return xxhash.xxh3_128_digest(str(number).encode())


@given(st.integers(1, 20), st.lists(st.tuples(st.integers(0, 30), st.booleans()), max_size=200))
def test_the_window_is_the_last_different_keys_and_no_more(
    capacity: int, steps: list[tuple[int, bool]]
) -> None:
    """Against a plain model; True in a step: the event is refused, so its key is forgotten."""
    window, model, ring = DuplicateWindow(capacity), OrderedDict[int, int](), 0
    for number, refused in steps:
        place = window.add(key(number), 1)
        assert (place < 0) == (number in model)
        if place < 0:
            continue
        for old, taken in list(model.items()):
            if taken == ring - capacity:
                del model[old]
        model[number] = ring
        ring += 1
        if refused:
            window.forget([(place, key(number))])
            del model[number]
        assert window.size == len(model) <= capacity


def test_forgetting_late_does_not_forget_who_took_the_place() -> None:
    window = DuplicateWindow(2)
    place = window.add(key(1), 1)
    window.add(key(2), 1)
    window.add(key(3), 1)  # in the place of 1
    window.forget([(place, key(1))])
    assert window.add(key(3), 1) == -1
    for number in range(4, 8):
        window.add(key(number), 1)
    assert window.size == 2, "3 had its turn to be forgotten, too"


def test_reach_is_the_age_of_the_oldest_key() -> None:
    window = DuplicateWindow(3)
    assert window.reach(5000) == 0
    for number in range(3):
        window.add(key(number), 1000 * (number + 1))
    assert window.reach(5000) == 4
    window.add(key(3), 5000)
    assert window.reach(5000) == 3


def desk(window: int) -> Desk:
    return one("generic", f'dedup = ["id"]\ndedup_window = {window}')


def test_a_repeat_is_marked_and_kept() -> None:
    place = desk(10)
    assert place.take("/c/x?id=abc&n=1").event["flags"] == []
    again = place.take("/c/x?id=abc&n=2").event
    assert (again["flags"], again["params"]["n"]) == (["duplicate"], "2")
    assert place.demo.duplicates == 1


def test_elements_of_one_array_repeat_one_another_too() -> None:
    fields = {"Content-Type": "application/json"}
    events = desk(10).take("/c/x", b'[{"id":1},{"id":2},{"id":1}]', fields).events
    assert [event["flags"] for event in events] == [[], [], ["duplicate"]]


def test_each_state_of_a_conversion_is_an_event_and_its_repeat_a_duplicate() -> None:
    """Pending, approved, charged back: what each network's postback says of one transaction."""
    place = one("postback", "dedup_window = 10")
    states = [f"/c/x?transaction_id=T1&goal_id=1&status={status}" for status in (2, 1, 3)]
    assert [place.take(state).event["flags"] for state in states] == [[], [], []]
    assert [place.take(state).event["flags"] for state in states] == [["duplicate"]] * 3
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert place.take("/c/x", b"transaction_id=T1&goal_id=1&status=4", form).event["flags"] == []


def test_what_the_window_has_forgotten_is_no_repeat() -> None:
    place = desk(2)
    for number in (1, 2, 3, 1):
        assert place.take(f"/c/x?id=k{number}").event["flags"] == []
    assert place.take("/c/x?id=k3").event["flags"] == ["duplicate"]


def test_an_event_that_was_refused_is_none_when_it_is_sent_again() -> None:
    place = desk(10)
    refused = place.take("/c/x", b'[{"id":1},{"id":2}]', {"Content-Type": "application/json"})
    assert refused.replies.undo is not None
    refused.replies.undo()
    again = place.take("/c/x", b'[{"id":1},{"id":2}]', {"Content-Type": "application/json"})
    assert [event["flags"] for event in again.events] == [[], []]


def test_a_window_outlives_a_reload_unless_its_size_changes() -> None:
    known: dict[str, DuplicateWindow] = {}

    def reloaded(capacity: int) -> DuplicateWindow | None:
        settings = desk(capacity).config
        known.update(windows_of(build(settings, Counters(), "node", known)))
        return known.get("x")

    window = reloaded(10)
    assert window is not None
    assert reloaded(10) is window
    larger = reloaded(20)
    assert larger is not None
    assert (larger is window, larger.capacity) == (False, 20)
    assert windows_of(build(desk(0).config, Counters(), "node", known)) == {}


def test_the_metrics_tell_size_and_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    place = desk(4)
    for number in range(3):
        place.take(f"/c/x?id={number + 1}")
    monkeypatch.setattr("time.time_ns", lambda: (NOW_MS + 7000) * 1_000_000)
    shown = {
        sample.name: sample.value
        for metric in _recognition([], windows_of(place.sources))
        for sample in metric.samples
    }
    assert shown == {
        "ingestd_dedup_window_events": 3,
        "ingestd_dedup_window_max_events": 4,
        "ingestd_dedup_window_reach_seconds": 7,
    }


def test_a_full_window_holds_as_many_as_it_says() -> None:
    window, dice = DuplicateWindow(5000), random.Random(1)
    for number in range(20_000):
        window.add(dice.randbytes(16), number + 1)
    assert window.size == 5000
    assert window.reach(20_000) == 4.999
