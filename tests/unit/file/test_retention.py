"""Finished files are removed by age and size, and nothing else ever is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ingestd.file import names as names_module
from ingestd.file import recovery, retention
from ingestd.file.names import claim
from tests.support.aged_files import finished, names

NOT_OURS = [
    "clicks-a-1.ndjson.open", "clicks-a-1.ndjson.bad", "clicks-a-1.ndjson.zst.tmp", "clicks-a-1.txt",
    "impressions-a-1.ndjson", "notes.ndjson", "clicks-a-1.ndjson.open.tmp",
]  # fmt: skip


def test_files_are_listed_oldest_first_whatever_their_names(tmp_path: Path) -> None:
    for name, age in (("clicks-b-1.ndjson", 5), ("clicks-a-2.ndjson.gz", 50), ("clicks-a-3.ndjson.zst", 0.5)):
        finished(tmp_path, name, age=age)
    for name in NOT_OURS:
        finished(tmp_path, name)
    (tmp_path / "clicks-directory.ndjson").mkdir()
    found = [path.name for path in retention.finished(tmp_path, "clicks")]
    assert found == ["clicks-a-2.ndjson.gz", "clicks-b-1.ndjson", "clicks-a-3.ndjson.zst"]


def test_a_file_that_goes_while_files_are_listed_is_no_trouble(
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
    found = sorted(path.name for path in retention.finished(tmp_path, "clicks"))
    assert found == ["clicks-a-0.ndjson", "clicks-a-2.ndjson"]


def test_files_are_removed_by_age(tmp_path: Path) -> None:
    for age in range(5):
        finished(tmp_path, f"clicks-a-{age}.ndjson", age=age)
    removed = retention.expire(tmp_path, "clicks", older_than=1_000_000 - 2, keep_bytes=0)
    assert [path.name for path in removed] == ["clicks-a-4.ndjson", "clicks-a-3.ndjson"]
    assert names(tmp_path) == ["clicks-a-0.ndjson", "clicks-a-1.ndjson", "clicks-a-2.ndjson"]


@pytest.mark.parametrize(("keep", "left"), [(400, 4), (399, 3), (300, 3), (299, 2), (1, 0), (0, 4)])
def test_the_oldest_files_are_removed_past_the_bytes_to_keep(keep: int, left: int, tmp_path: Path) -> None:
    for age in range(4):
        finished(tmp_path, f"clicks-a-{age}.ndjson", b"x" * 100, age=age)
    retention.expire(tmp_path, "clicks", older_than=None, keep_bytes=keep)
    assert names(tmp_path) == [f"clicks-a-{age}.ndjson" for age in range(left)]


def test_who_wants_to_know_is_told_of_each_file_before_it_goes(tmp_path: Path) -> None:
    for age in (9, 8, 1):
        finished(tmp_path, f"clicks-a-{age}.ndjson", age=age)
    told: list[tuple[str, bool]] = []
    retention.expire(
        tmp_path, "clicks", older_than=1_000_000 - 5, keep_bytes=0,
        removing=lambda path: told.append((path.name, path.exists())),
    )  # fmt: skip
    assert told == [("clicks-a-9.ndjson", True), ("clicks-a-8.ndjson", True)]


def test_without_limits_everything_is_kept(tmp_path: Path) -> None:
    finished(tmp_path, "clicks-a-1.ndjson", age=10**6)
    assert retention.expire(tmp_path, "clicks", older_than=None, keep_bytes=0) == []


def test_nothing_but_finished_files_of_the_prefix_is_ever_removed(tmp_path: Path) -> None:
    for name in NOT_OURS:
        finished(tmp_path, name, age=10**6)
    (tmp_path / "clicks-directory.ndjson").mkdir()
    finished(tmp_path, "clicks-a-2.ndjson", age=10**6)
    removed = retention.expire(tmp_path, "clicks", older_than=1_000_000, keep_bytes=1)
    assert [path.name for path in removed] == ["clicks-a-2.ndjson"]
    assert names(tmp_path) == sorted([*NOT_OURS, "clicks-directory.ndjson"])


def test_a_longer_prefix_in_the_same_directory_is_left_to_its_own_rules(tmp_path: Path) -> None:
    """`clicks-ios-1` could as well be an instance `ios-1` of `clicks`: the longer prefix left a mark."""
    for name in (
        "clicks-ios-1.ndjson",
        "clicks-a-1.ndjson",
        "clicks-iosx-1.ndjson",
        "clicks-ios-2.ndjson.open",
    ):
        finished(tmp_path, name, age=100)
    claim(tmp_path, "clicks-ios")
    claim(tmp_path, "clicks")
    assert [path.name for path in retention.finished(tmp_path, "clicks-ios")] == ["clicks-ios-1.ndjson"]
    assert recovery.orphans(tmp_path, "clicks") == []
    removed = retention.expire(tmp_path, "clicks", older_than=2_000_000, keep_bytes=0)
    assert sorted(path.name for path in removed) == ["clicks-a-1.ndjson", "clicks-iosx-1.ndjson"]
    assert (tmp_path / "clicks-ios-1.ndjson").exists()
    [removed_last] = retention.expire(tmp_path, "clicks-ios", older_than=2_000_000, keep_bytes=0)
    assert removed_last.name == "clicks-ios-1.ndjson"
