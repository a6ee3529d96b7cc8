"""Finished files: compressed without losing a byte, removed by age and size, and never anything else."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from pathlib import Path

import pytest

from ingestd.file import ndjson, recovery, retention
from tests.support.fakes import event_line
from tests.support.filing import failing, synced
from tests.support.sinks_under_test import read_files

DATA = b"".join(event_line(number) for number in range(500))
METHODS = list(retention.SUFFIXES)
NOT_OURS = [
    "clicks-a-1.ndjson.open", "clicks-a-1.ndjson.bad", "clicks-a-1.ndjson.zst.tmp", "clicks-a-1.txt",
    "impressions-a-1.ndjson", "notes.ndjson", "clicks-a-1.ndjson.open.tmp",
]  # fmt: skip


def finished(directory: Path, name: str, data: bytes = DATA, age: float = 0.0) -> Path:
    path = directory / name
    path.write_bytes(data)
    os.utime(path, (1_000_000 - age, 1_000_000 - age))
    return path


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


# compression


@pytest.mark.parametrize("method", METHODS)
def test_a_compressed_file_holds_what_the_plain_one_held(method: str, tmp_path: Path) -> None:
    path = finished(tmp_path, "clicks-a-1.ndjson")
    target = retention.compress(path, method)
    assert target == tmp_path / f"clicks-a-1.ndjson{retention.SUFFIXES[method]}"
    assert names(tmp_path) == [target.name]
    assert b"".join(read_files(tmp_path)) == DATA
    assert target.stat().st_size < len(DATA) / 3


@pytest.mark.parametrize("method", METHODS)
def test_a_compressed_file_keeps_the_mode_and_the_time_of_the_plain_one(method: str, tmp_path: Path) -> None:
    path = finished(tmp_path, "clicks-a-1.ndjson", age=77)
    path.chmod(0o604)
    target = retention.compress(path, method)
    assert target is not None
    state = target.stat()
    assert (stat.S_IMODE(state.st_mode), state.st_mtime) == (0o604, 1_000_000 - 77)


@pytest.mark.parametrize("method", METHODS)
def test_a_copy_is_whole_and_durable_before_the_plain_file_goes(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = finished(tmp_path, "clicks-a-1.ndjson")
    before = os.listdir("/proc/self/fd")
    seen = synced(monkeypatch)
    target = retention.compress(path, method)
    assert target is not None
    copy = target.with_name(f"{target.name}.tmp")
    assert seen == [(copy, target.stat().st_size), (tmp_path, [path.name, target.name])]
    assert os.listdir("/proc/self/fd") == before


def test_a_gzip_file_holds_no_name_of_its_own(tmp_path: Path) -> None:
    """`gunzip -N` would take it for the file's."""
    target = retention.compress(finished(tmp_path, "clicks-a-1.ndjson"), "gzip")
    assert target is not None
    assert target.read_bytes()[3] == 0


@pytest.mark.parametrize("method", METHODS)
def test_an_empty_file_can_be_compressed(method: str, tmp_path: Path) -> None:
    retention.compress(finished(tmp_path, "clicks-a-1.ndjson", b""), method)
    assert read_files(tmp_path) == [b""]


def test_a_file_another_instance_compresses_is_left_to_it(tmp_path: Path) -> None:
    path = finished(tmp_path, "clicks-a-1.ndjson")
    with path.open("rb") as theirs:
        fcntl.flock(theirs.fileno(), fcntl.LOCK_EX)
        assert retention.compress(path, "zstd") is None
    assert names(tmp_path) == [path.name]


def test_a_file_that_is_gone_is_no_trouble(tmp_path: Path) -> None:
    assert retention.compress(tmp_path / "clicks-a-1.ndjson", "zstd") is None


def test_a_file_removed_while_it_was_compressed_is_no_trouble(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = finished(tmp_path, "clicks-a-1.ndjson")
    real = os.fsync

    def removed_meanwhile(fd: int) -> None:
        path.unlink(missing_ok=True)
        real(fd)

    monkeypatch.setattr(os, "fsync", removed_meanwhile)
    assert retention.compress(path, "gzip") is not None
    assert names(tmp_path) == ["clicks-a-1.ndjson.gz"]


@pytest.mark.parametrize("method", METHODS)
def test_where_the_disk_is_full_no_half_copy_stays(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = finished(tmp_path, "clicks-a-1.ndjson")

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        retention.compress(path, method)
    assert names(tmp_path) == [path.name]
    assert path.read_bytes() == DATA


@pytest.mark.parametrize("method", METHODS)
def test_a_file_whose_copy_fails_stays(method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though everything after the copy would succeed."""
    path = finished(tmp_path, "clicks-a-1.ndjson")
    monkeypatch.setattr(retention, "_copy", failing(errno.EIO))
    with pytest.raises(OSError, match="Input/output error"):
        retention.compress(path, method)
    assert names(tmp_path) == [path.name]


def test_a_copy_a_crash_left_whole_is_used(tmp_path: Path) -> None:
    path = finished(tmp_path, "clicks-a-1.ndjson")
    retention.compress(path, "zstd")
    finished(tmp_path, "clicks-a-1.ndjson")  # the crash came before it was removed
    retention.compress(path, "zstd")
    assert names(tmp_path) == ["clicks-a-1.ndjson.zst"]


def test_half_a_copy_a_crash_left_is_written_anew(tmp_path: Path) -> None:
    path = finished(tmp_path, "clicks-a-1.ndjson")
    (tmp_path / "clicks-a-1.ndjson.zst.tmp").write_bytes(b"half")
    retention.compress(path, "zstd")
    assert names(tmp_path) == ["clicks-a-1.ndjson.zst"]
    assert b"".join(read_files(tmp_path)) == DATA


# retention


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
    real = Path.stat

    def gone_meanwhile(path: Path, **options: bool) -> os.stat_result:
        if path.name == "clicks-a-1.ndjson":
            path.unlink(missing_ok=True)
        return real(path, **options)

    monkeypatch.setattr(Path, "stat", gone_meanwhile)
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
    ndjson.claim(tmp_path, "clicks-ios")
    ndjson.claim(tmp_path, "clicks")
    assert [path.name for path in retention.finished(tmp_path, "clicks-ios")] == ["clicks-ios-1.ndjson"]
    assert recovery.orphans(tmp_path, "clicks") == []
    removed = retention.expire(tmp_path, "clicks", older_than=2_000_000, keep_bytes=0)
    assert sorted(path.name for path in removed) == ["clicks-a-1.ndjson", "clicks-iosx-1.ndjson"]
    assert (tmp_path / "clicks-ios-1.ndjson").exists()
    [removed_last] = retention.expire(tmp_path, "clicks-ios", older_than=2_000_000, keep_bytes=0)
    assert removed_last.name == "clicks-ios-1.ndjson"


def test_half_copies_a_kill_left_are_removed_whatever_the_method_is_now(tmp_path: Path) -> None:
    """Not that of a file somebody is at."""
    finished(tmp_path, "clicks-a-1.ndjson")
    busy = finished(tmp_path, "clicks-a-2.ndjson")
    names_of_copies = ["clicks-a-1.ndjson.zst.tmp", "clicks-a-2.ndjson.gz.tmp", "clicks-a-3.ndjson.gz.tmp"]
    for name in [*names_of_copies, "other-a-1.ndjson.zst.tmp", "clicks-a-1.ndjson.manifest.tmp"]:
        finished(tmp_path, name, b"half")
    with busy.open("rb") as theirs:
        fcntl.flock(theirs.fileno(), fcntl.LOCK_EX)
        removed = retention.sweep(tmp_path, "clicks")
    assert sorted(path.name for path in removed) == [names_of_copies[0], names_of_copies[2]]
    assert names(tmp_path) == [
        "clicks-a-1.ndjson", "clicks-a-1.ndjson.manifest.tmp", "clicks-a-2.ndjson", names_of_copies[1],
        "other-a-1.ndjson.zst.tmp",
    ]  # fmt: skip


def test_every_half_copy_is_removed_though_others_are_without_their_file(tmp_path: Path) -> None:
    for number in range(4):
        finished(tmp_path, f"clicks-a-{number}.ndjson.gz.tmp", b"half")
    assert len(retention.sweep(tmp_path, "clicks")) == 4
    assert names(tmp_path) == []
