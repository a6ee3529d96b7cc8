"""The names in a directory: whose they are, and what each is."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from ingestd.file import names
from ingestd.file.names import claim, ours
from ingestd.system import durable


def test_a_prefix_is_noted_once_and_for_whoever_may_see_the_files(tmp_path: Path) -> None:
    claim(tmp_path, "clicks")
    mark = tmp_path / ".clicks.prefix"
    assert stat.S_IMODE(mark.stat().st_mode) == 0o640
    os.utime(mark, (1, 1))
    claim(tmp_path, "clicks")
    assert mark.stat().st_mtime == 1
    claim(tmp_path / "missing", "clicks")  # the next one notes it


def test_a_note_is_on_disk_before_any_file_that_needs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[list[str]] = []
    monkeypatch.setattr(
        durable, "fsync_directory", lambda path: synced.append([one.name for one in path.iterdir()])
    )
    claim(tmp_path, "clicks")
    claim(tmp_path, "clicks")
    assert synced == [[".clicks.prefix"]]


def test_suffixes_are_those_that_readers_and_earlier_versions_know() -> None:
    """Who takes finished files away goes by them: another suffix is another contract."""
    assert (names.NDJSON, names.OPEN, names.MANIFEST, names.CHAIN, names.BAD, names.TEMPORARY) == (
        ".ndjson", ".open", ".manifest", ".chain", ".bad", ".tmp",
    )  # fmt: skip
    assert names.COMPRESSED == {"gzip": ".gz", "zstd": ".zst"}
    assert names.manifest_path(Path("a.ndjson.gz")) == Path("a.ndjson.manifest")


def test_a_name_of_a_longer_prefix_that_was_noted_is_not_ours(tmp_path: Path) -> None:
    for prefix in ("clicks", "clicks-ios"):
        claim(tmp_path, prefix)
    mine, theirs = ours(tmp_path, "clicks"), ours(tmp_path, "clicks-ios")
    found = [f"{stem}-1.ndjson" for stem in ("clicks-ios", "clicks-iosx", "clicks-one")]
    assert list(map(mine, found)) == [False, True, True]
    assert theirs(found[0])


def test_the_name_of_a_directory_that_only_begins_alike_is_not_ours(tmp_path: Path) -> None:
    assert list(map(ours(tmp_path, "clicks"), ["clicks-1.ndjson", "clicksx-1.ndjson", "x", "clicks"])) == [
        True, False, False, False,
    ]  # fmt: skip


@pytest.mark.parametrize("at_ms", [1_718_000_000_123, 1_718_000_000_999, 1_718_000_000_001])
def test_a_name_tells_the_millisecond(at_ms: int) -> None:
    name = names.file_name("clicks-one", at_ms)
    assert name == f"clicks-one-20240610T061320.{at_ms % 1000:03d}Z.ndjson"
    assert names.stem_of(name) == names.stem_of(names.file_name("clicks-one", at_ms, 3)) == "clicks-one"


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        *(("a.ndjson", "a.ndjson"), ("a.ndjson.gz", "a.ndjson"), ("a.ndjson.zst", "a.ndjson")),
        *(("a.gz", "a.gz"), ("a.ndjson.open", "a.ndjson.open"), ("a.ndjson.zst.tmp", "a.ndjson.zst.tmp")),
    ],
)
def test_a_plain_name_is_without_what_compression_adds(name: str, plain: str) -> None:
    assert names.plain_name(name) == plain
    assert names.is_finished(name) == (plain == "a.ndjson")


def test_of_a_file_that_is_there_twice_the_compressed_one_is_taken() -> None:
    there = map(Path, ("b.ndjson", "a.ndjson", "a.ndjson.zst", "a.ndjson.open", "x", "c.ndjson.gz"))
    assert [path.name for path in names.finished_once(there)] == ["a.ndjson.zst", "b.ndjson", "c.ndjson.gz"]
