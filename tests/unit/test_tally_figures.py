"""What a manifest counts, to the byte and the millisecond: where an hour begins, a row ends, a scan looks."""

from __future__ import annotations

from pathlib import Path

import pytest
import zstandard

from ingestd import tally
from ingestd.tally import Key, Row, add_row, count_lines_in_python, hour_text, key_of, parse_hour, scan
from tests.support.fakes import event_line
from tests.unit.file.test_manifests import HOUR, event, finished, rows_of

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


def test_in_python_a_block_is_cut_behind_its_last_newline() -> None:
    assert count_lines_in_python(b"one\ntwo\nthr") == ([], [b"one", b"two"], 8)
    assert count_lines_in_python(b"one\n") == ([], [b"one"], 4)


def test_a_scan_says_how_much_it_has_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "_CHUNK", 1000)
    path = finished(tmp_path, 1, [event(n) for n in range(20)])
    told: list[int] = []
    scan(path, read=told.append)
    assert told == [1000] * (path.stat().st_size // 1000) + [path.stat().st_size % 1000]


def test_who_wants_to_know_of_each_event_is_asked_whatever_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is compiled counts in one go, and asks nobody."""

    def compiled(block: bytes) -> tally.Counted:
        return [], [], len(block)

    monkeypatch.setattr(tally, "count_lines", compiled)
    path = finished(tmp_path, 1, [event(1), event(2)])
    asked: list[tuple[bytes, Key]] = []

    def known(identity: int, line: bytes, key: Key) -> bool:
        asked.append((line, key))
        return line == event(2)[:-1]

    assert scan(path, known=known).tally.rows == rows_of([event(1)])
    assert asked == [(event(n)[:-1], ("demo", HOUR)) for n in (1, 2)]
    assert scan(path).tally.rows == {}


@pytest.mark.parametrize(("longest", "others"), [(999, 2), (1000, 1)])
def test_a_line_is_too_long_beyond_the_limit_alone(
    longest: int, others: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1,000 bytes of it have been read when it is judged; too long it is counted in two pieces."""
    monkeypatch.setattr(tally, "_CHUNK", 500)
    monkeypatch.setattr(tally, "_MAX_LINE", longest)
    found = scan(finished(tmp_path, 1, [b"x" * 1200 + b"\n", event(2)]))
    assert (found.tally.others, found.tally.rows) == (others, rows_of([event(2)]))


def test_what_comes_behind_a_piece_of_damage_is_looked_at_for_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tally, "_CHUNK", 500)
    monkeypatch.setattr(tally, "_MAX_LINE", 999)
    found = scan(finished(tmp_path, 1, [b"x" * 1000, event(2)]))
    assert (found.tally.others, found.tally.rows) == (1, rows_of([event(2)]))


def test_a_compressed_file_of_several_pieces_is_read_to_its_end(tmp_path: Path) -> None:
    """As `zstd` makes of two that are joined."""
    pieces = [zstandard.compress(event(number)) for number in range(3)]
    path = tmp_path / "clicks-one-20231114T221330.000Z.ndjson.zst"
    path.write_bytes(b"".join(pieces))
    assert scan(path).tally.rows == rows_of([event(number) for number in range(3)])
