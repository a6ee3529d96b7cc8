"""Which files of a directory are there: finished ones, those a crash left open, those not seen to yet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ingestd.file import listing
from ingestd.file import names as names_module
from ingestd.file.names import claim
from ingestd.system import durable
from tests.support.aged_files import DATA, NOT_OURS, finished, names


def found(directory: Path, prefix: str = "clicks") -> list[str]:
    return [file.name for file in listing.finished(directory, prefix)]


def test_files_are_listed_oldest_first_whatever_their_names(tmp_path: Path) -> None:
    for name, age in (("clicks-b-1.ndjson", 5), ("clicks-a-2.ndjson.gz", 50), ("clicks-a-3.ndjson.zst", 0.5)):
        finished(tmp_path, name, age=age)
    for name in NOT_OURS:
        finished(tmp_path, name)
    (tmp_path / "clicks-directory.ndjson").mkdir()
    assert found(tmp_path) == ["clicks-a-2.ndjson.gz", "clicks-b-1.ndjson", "clicks-a-3.ndjson.zst"]
    assert [(file.written_ns, file.size) for file in listing.finished(tmp_path, "clicks")] == [
        (999_950 * 10**9, len(DATA)), (999_995 * 10**9, len(DATA)), (999_999_500 * 10**6, len(DATA)),
    ]  # fmt: skip


def test_a_file_that_goes_while_files_are_listed_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        finished(tmp_path, f"clicks-a-{number}.ndjson")

    def listed_before(directory: Path, prefix: str) -> Callable[[str], bool]:
        def ours(name: str) -> bool:
            (directory / "clicks-a-1.ndjson").unlink(missing_ok=True)
            return True

        return ours

    monkeypatch.setattr(names_module, "ours", listed_before)
    assert sorted(found(tmp_path)) == ["clicks-a-0.ndjson", "clicks-a-2.ndjson"]


def test_a_longer_prefix_in_the_same_directory_is_left_to_its_own_rules(tmp_path: Path) -> None:
    """`clicks-ios-1` could as well be an instance `ios-1` of `clicks`: the longer prefix left a mark."""
    for name in (
        *("clicks-ios-1.ndjson", "clicks-a-1.ndjson", "clicks-iosx-1.ndjson", "clicks-ios-2.ndjson.open"),
    ):
        finished(tmp_path, name, age=100)
    claim(tmp_path, "clicks-ios")
    claim(tmp_path, "clicks")
    assert found(tmp_path, "clicks-ios") == ["clicks-ios-1.ndjson"]
    assert sorted(found(tmp_path)) == ["clicks-a-1.ndjson", "clicks-iosx-1.ndjson"]
    assert listing.orphans(tmp_path, "clicks") == []
    assert len(listing.orphans(tmp_path, "clicks-ios")) == 1


def test_files_that_lack_what_they_should_have_are_not_done_with(tmp_path: Path) -> None:
    finished(tmp_path, "clicks-a-1.ndjson", age=3)
    finished(tmp_path, "clicks-a-2.ndjson.zst", age=2)
    finished(tmp_path, "clicks-a-3.ndjson", age=1)
    finished(tmp_path, "clicks-a-3.ndjson.manifest")

    def left(*, manifests: bool, compressed: bool) -> list[str]:
        files = listing.unfinished(tmp_path, "clicks", manifests=manifests, compressed=compressed)
        return [file.name[9:10] for file in files]

    assert left(manifests=True, compressed=False) == ["1", "2"]
    assert left(manifests=False, compressed=True) == ["1", "3"]
    assert left(manifests=True, compressed=True) == ["1", "2", "3"]
    assert left(manifests=False, compressed=False) == []
    assert (tmp_path / ".clicks.prefix").exists()


def test_where_there_are_no_files_a_prefix_is_not_noted(tmp_path: Path) -> None:
    assert listing.unfinished(tmp_path, "clicks", manifests=True, compressed=True) == []
    assert names(tmp_path) == []


def test_an_open_file_that_somebody_holds_was_not_left(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"clicks-{name}-1.ndjson.open").write_bytes(b"12345")
    with (tmp_path / "clicks-a-1.ndjson.open").open("rb") as held:
        assert durable.try_lock(held.fileno())
        assert listing.left_open(tmp_path, "clicks") == [(tmp_path / "clicks-b-1.ndjson.open", 5)]
    assert len(listing.left_open(tmp_path, "clicks")) == 2
