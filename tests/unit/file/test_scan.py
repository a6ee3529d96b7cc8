"""One pass over a file: what it counts, to the byte, however long its lines are, compressed or not."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
import zstandard

from ingestd import tally
from ingestd.file import compression, names
from ingestd.file import scan as scan_module
from ingestd.file.scan import scan, scan_lines
from ingestd.tally import Key, Row
from tests.commands import fuzz_tally
from tests.support import compiled
from tests.support.event_files import HOUR, event, finished, rows_of


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    return compiled.built_or_skip(fuzz_tally.SOURCE, tmp_path_factory.mktemp("tally"))


@pytest.mark.parametrize("method", ["none", *names.COMPRESSED])
def test_a_scan_of_a_file_is_of_its_plain_bytes(method: str, tmp_path: Path) -> None:
    lines = [event(number) for number in range(5000)]  # more than one chunk
    path = finished(tmp_path, 1, lines)
    whole = scan(path)
    if method != "none":
        path = compression.compress(path, method) or path
    assert scan(path)[:2] == whole[:2]
    assert scan(path).tally.rows == rows_of(lines)
    assert whole.size == sum(map(len, lines))


def test_a_scan_pauses_between_slices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "count_lines", tally.count_lines_in_python)
    pauses = []
    scan(finished(tmp_path, 1, [event(n) for n in range(1000)]), pause=lambda: pauses.append(1))
    assert len(pauses) >= 1000 / 128


def test_a_file_with_no_newline_is_read_in_bounded_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is longer than any line is no event, and is not held to its end; what comes behind it counts."""
    monkeypatch.setattr(scan_module, "_MAX_LINE", 500_000)
    path = finished(tmp_path, 1, [b"x" * 3_000_000, b"\n", event(1)])
    found = scan(path)
    assert (found.size, found.tally.rows) == (path.stat().st_size, rows_of([event(1)]))
    assert found.tally.others > 3_000_000 // 800_000


def test_a_last_line_without_its_end_is_no_event(tmp_path: Path) -> None:
    found = scan(finished(tmp_path, 1, [event(1), event(2)[:-1]]))
    assert (found.tally.rows, found.tally.others) == (rows_of([event(1)]), 1)


def test_a_scan_says_how_much_it_has_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_module, "_CHUNK", 1000)
    path = finished(tmp_path, 1, [event(n) for n in range(20)])
    told: list[int] = []
    scan(path, read=told.append)
    assert sum(told) == path.stat().st_size
    assert max(told) < 2000


def test_line_by_line_each_event_is_asked_about_and_what_is_known_is_not_counted(tmp_path: Path) -> None:
    path = finished(tmp_path, 1, [event(1), event(2), b"no event\n", event(3)[:50]])
    asked: list[tuple[bytes, Key]] = []

    def known(identity: int, line: bytes, key: Key) -> bool:
        asked.append((line, key))
        return line == event(2)[:-1]

    found = scan_lines(path, known)
    assert found.tally.rows == rows_of([event(1)])
    assert asked == [(event(n)[:-1], ("demo", HOUR)) for n in (1, 2)]
    assert (found.size, found.digest, found.tally.others) == (*scan(path)[:2], 2)


@pytest.mark.parametrize("in_python", [False, True])
def test_events_that_are_there_twice_are_noticed_by_their_ids(
    in_python: bool, native: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever counts them: a line the compiled count leaves to Python is the same event."""
    count = tally.count_lines_in_python if in_python else native.count_lines
    monkeypatch.setattr(tally, "count_lines", count)
    other = event(1).replace(b'"demo"', '"demö"'.encode())
    for lines, repeats in (
        ([event(1), event(2)], 0),
        ([event(1), event(2), event(1)], 1),
        ([event(1), other], 1),
    ):
        ids = bytearray()
        scan(finished(tmp_path, 1, lines), ids=ids)
        assert (len(ids), tally.count_repeats(ids)) == (8 * len(lines), repeats)


@pytest.mark.parametrize(("longest", "others"), [(999, 2), (1000, 1)])
def test_a_line_is_too_long_beyond_the_limit_alone(
    longest: int, others: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1,000 bytes of it have been read when it is judged; too long it is counted in two pieces."""
    monkeypatch.setattr(scan_module, "_CHUNK", 500)
    monkeypatch.setattr(scan_module, "_MAX_LINE", longest)
    found = scan(finished(tmp_path, 1, [b"x" * 1200 + b"\n", event(2)]))
    assert (found.tally.others, found.tally.rows) == (others, rows_of([event(2)]))


def test_what_comes_behind_a_piece_of_damage_is_looked_at_for_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan_module, "_CHUNK", 500)
    monkeypatch.setattr(scan_module, "_MAX_LINE", 999)
    found = scan(finished(tmp_path, 1, [b"x" * 1000, event(2)]))
    assert (found.tally.others, found.tally.rows) == (1, rows_of([event(2)]))


def test_a_compressed_file_of_several_pieces_is_read_to_its_end(tmp_path: Path) -> None:
    """As `zstd` makes of two that are joined."""
    pieces = [zstandard.compress(event(number)) for number in range(3)]
    path = tmp_path / "clicks-one-20231114T221330.000Z.ndjson.zst"
    path.write_bytes(b"".join(pieces))
    assert scan(path).tally.rows == rows_of([event(number) for number in range(3)])


def test_a_scan_counts_the_same_with_it_and_without(
    native: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [event(n, hours=n % 3) for n in range(3000)]  # several chunks, cut within a line
    path = finished(tmp_path, 1, [*lines[:1500], b"no event\n", *lines[1500:], event(1)[:50]])
    scans = []
    for count in (native.count_lines, tally.count_lines_in_python):
        monkeypatch.setattr(tally, "count_lines", count)
        scans.append(scan(path))
    assert [scan[:2] for scan in scans] == [scans[0][:2]] * 2
    assert [scan.tally.rows for scan in scans] == [rows_of(lines)] * 2
    assert [scan.tally.others for scan in scans] == [2, 2]
    assert scans[0].tally.rows["demo", HOUR] == Row(*scans[1].tally.rows["demo", HOUR].figures())
