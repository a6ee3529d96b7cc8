"""What a manifest counts, to the byte and the millisecond: where an hour begins, a row ends, a scan looks."""

from __future__ import annotations

import pytest

from ingestd.tally import Key, Row, add_row, count_lines_in_python, hour_text, key_of, parse_hour
from tests.support.event_files import HOUR, event
from tests.support.fakes import event_line

HOUR_IN_MS = 3_600_000


def at(moment: int) -> bytes:
    return event(1).replace(b"1700000000000", b"%d" % moment)


def test_an_hour_begins_with_its_first_millisecond_and_ends_with_its_last() -> None:
    begins = 472_222 * HOUR_IN_MS
    moments = (begins - 1, begins, begins + HOUR_IN_MS - 1, begins + HOUR_IN_MS)
    assert [key_of(at(moment)) for moment in moments] == [
        ("demo", hour) for hour in (472_221, 472_222, 472_222, 472_223)
    ]


def test_an_hour_has_one_text_at_any_time_of_the_year() -> None:
    for hour, text in ((0, "1970-01-01T00"), (472_222, "2023-11-14T22"), (477_000, "2024-06-01T00")):
        assert (hour_text(hour), parse_hour(text)) == (text, hour)


def test_an_event_that_says_no_source_is_counted_under_none() -> None:
    assert key_of(event_line(1)) == ("", HOUR)


def test_a_hash_has_128_bits_however_many_are_added() -> None:
    rows: dict[Key, Row] = {}
    for total in (2**128 - 1, 3, 2**127, 2**127):
        add_row(rows, ("demo", HOUR), 1, 10, total)
    assert rows["demo", HOUR].figures() == (4, 40, 2)


def test_a_row_is_written_as_the_manual_says_and_read_again() -> None:
    row = Row(3, 30, 0xAB)
    tree = {"events": 3, "bytes": 30, "hash": "0" * 30 + "ab"}
    assert row.tree() == tree
    assert Row.parse(tree) == row
    assert Row().figures() == (0, 0, 0)


@pytest.mark.parametrize("other", [Row(3, 30, 2), Row(3, 31, 1), Row(2, 30, 1), (3, 30, 1)])
def test_a_row_is_no_other(other: object) -> None:
    assert Row(3, 30, 1) != other


def test_in_python_every_line_with_a_newline_is_left_to_be_judged() -> None:
    assert count_lines_in_python(b"one\ntwo\nthr", False) == ([], [(0, 3), (4, 7)], b"")
    assert count_lines_in_python(b"one\n", True) == ([], [(0, 3)], b"")
    assert count_lines_in_python(b"", False) == count_lines_in_python(b"torn", False) == ([], [], b"")
