"""How a manifest and its chain come onto the disk: what is durable when, what it says, how long it stays."""

from __future__ import annotations

import errno
import os
import stat
import time
from pathlib import Path

import orjson
import pytest

from ingestd.file import names
from ingestd.file.manifest import Chain, Manifest
from ingestd.system import durable
from tests.support.event_files import event, finished, manifests_at, mark_removed, read, write_manifest
from tests.support.filing import failing, synced

DAY = 86_400.0
CHAIN = "clicks-one.chain"


def made(directory: Path, number: int = 1, removed_at: float | None = None) -> Path:
    """A finished file with its manifest."""
    path = finished(directory, number, [event(number)])
    assert write_manifest(path) is not None
    if removed_at is not None:
        mark_removed(path, removed_at)
    return path


def left(directory: Path) -> list[int]:
    """Numbers of the manifests that are there."""
    return sorted(Manifest.decode(path.read_bytes()).number for path in directory.glob("*.manifest"))


def test_each_step_of_a_manifest_is_durable_before_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(tmp_path)
    second = finished(tmp_path, 2, [event(2)])
    target = names.manifest_path(second)
    seen = synced(monkeypatch)
    write_manifest(second)
    size, chain_size = target.stat().st_size, (tmp_path / CHAIN).stat().st_size
    assert [path.name for path, _ in seen] == [
        f"{target.name}.tmp", tmp_path.name, f"{CHAIN}.tmp", tmp_path.name, tmp_path.name,
    ]  # fmt: skip
    assert [what for _, what in seen[:3:2]] == [size, chain_size]
    first, before, after = seen[1][1], seen[3][1], seen[4][1]
    assert isinstance(first, list)
    assert isinstance(before, list)
    assert f"{target.name}.tmp" in first, "else the chain may outlive what it speaks of"
    assert f"{CHAIN}.tmp" not in before
    assert f"{target.name}.tmp" in before
    assert after == sorted(path.name for path in tmp_path.iterdir())


def test_a_manifest_says_what_the_manual_says_it_does(tmp_path: Path) -> None:
    path = finished(tmp_path, 1, [event(1), b"no event\n", event(2)])
    write_manifest(path)
    data = names.manifest_path(path).read_bytes()
    tree = orjson.loads(data)
    [row] = tree.pop("rows")
    assert (row["source"], row["hour"], row["events"]) == ("demo", "2023-11-14T22", 2)
    assert len(tree.pop("xxh3")) == 32
    assert tree == {
        "v": 1, "file": path.name, "instance": "one", "number": 1, "previous": None, "events": 2,
        "size": path.stat().st_size, "others": 1, "removed_at": None,
    }  # fmt: skip
    assert data.endswith(b"}\n")
    inode = tmp_path.stat().st_ino
    chain = orjson.loads((tmp_path / CHAIN).read_bytes())
    assert chain == {"v": 1, "number": 1, "file": path.name, "pruned": 0, "inode": inode}


def test_what_it_writes_is_not_for_everybody_to_read(tmp_path: Path) -> None:
    path = made(tmp_path)
    modes = [stat.S_IMODE(one.stat().st_mode) for one in (names.manifest_path(path), tmp_path / CHAIN)]
    assert modes == [0o640, 0o640]


def test_what_a_crash_left_of_an_earlier_one_is_no_part_of_it(tmp_path: Path) -> None:
    path = finished(tmp_path, 1, [event(1)])
    for name in (f"{path.name}.manifest.tmp", f"{CHAIN}.tmp"):
        (tmp_path / name).write_bytes(b"x" * 10_000)
    assert write_manifest(path) == read(path)
    assert Chain.read(tmp_path / CHAIN) == Chain(1, path.name, 0)


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    path = finished(tmp_path, 1, [event(1)])
    other = tmp_path / "other"
    other.write_bytes(b"another's")
    (tmp_path / f"{path.name}.manifest.tmp").symlink_to(other)
    assert write_manifest(path) == read(path)
    assert other.read_bytes() == b"another's"


def test_nothing_stays_open_whether_it_is_written_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = finished(tmp_path, 1, [event(1)])
    before = os.listdir("/proc/self/fd")
    with monkeypatch.context() as patch:
        patch.setattr(durable, "write_all", failing(errno.ENOSPC))
        with pytest.raises(OSError, match="No space left"):
            write_manifest(path)
    assert os.listdir("/proc/self/fd") == before
    assert write_manifest(path) is not None
    assert os.listdir("/proc/self/fd") == before


def test_who_waits_for_another_does_so_in_short_pauses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = os.open(tmp_path, os.O_RDONLY)
    assert durable.try_lock(other)
    pauses: list[float] = []

    def until_it_is_done(pause: float) -> None:
        pauses.append(pause)
        if len(pauses) == 3:
            os.close(other)

    monkeypatch.setattr(time, "sleep", until_it_is_done)
    manifests_at(tmp_path).settle()
    assert len(pauses) == 3
    assert max(pauses) <= 0.1


# what a crash left


def test_a_manifest_the_chain_has_already_gets_its_name(tmp_path: Path) -> None:
    target = names.manifest_path(made(tmp_path))
    target.rename(f"{target}.tmp")
    manifests_at(tmp_path).settle()
    assert left(tmp_path) == [1]
    assert not list(tmp_path.glob("*.tmp"))


def test_a_manifest_that_is_there_is_not_replaced_by_half_of_another(tmp_path: Path) -> None:
    target = names.manifest_path(made(tmp_path))
    target.with_name(f"{target.name}.tmp").write_bytes(b"{")
    manifests_at(tmp_path).settle()
    assert left(tmp_path) == [1]


def test_a_chain_whose_last_manifest_is_gone_is_left_alone(tmp_path: Path) -> None:
    names.manifest_path(made(tmp_path)).unlink()
    manifests_at(tmp_path).settle()
    assert left(tmp_path) == []


# how long they stay


@pytest.mark.parametrize(("days", "kept"), [(399.9, [1]), (400, [1]), (400.001, [])])
def test_a_manifest_outlives_its_file_by_400_days(days: float, kept: list[int], tmp_path: Path) -> None:
    made(tmp_path, removed_at=10 * DAY).unlink()
    manifests_at(tmp_path).prune((10 + days) * DAY)
    assert left(tmp_path) == kept


def test_no_manifest_goes_before_an_older_one(tmp_path: Path) -> None:
    """The chain says up to which number they are gone: a hole behind it would be a file that is missing."""
    made(tmp_path, 1)
    made(tmp_path, 2, removed_at=1.0)
    manifests_at(tmp_path).prune(1000 * DAY)
    assert left(tmp_path) == [1, 2]
    assert Chain.read(tmp_path / CHAIN).pruned == 0


def test_the_chain_says_that_a_manifest_goes_before_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash in between must not look like a deleted file; after it, the next time removes the rest."""
    for number in (1, 2):
        made(tmp_path, number, removed_at=1.0)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", failing(errno.EIO))
        with pytest.raises(OSError, match="Input/output error"):
            manifests_at(tmp_path).prune(1000 * DAY)
    assert (left(tmp_path), Chain.read(tmp_path / CHAIN).pruned) == ([1, 2], 1)
    manifests_at(tmp_path).prune(1000 * DAY)
    assert (left(tmp_path), Chain.read(tmp_path / CHAIN).pruned) == ([], 2)


def test_a_removal_is_durably_in_the_manifest_before_the_file_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = made(tmp_path)
    target = names.manifest_path(path)
    seen = synced(monkeypatch)
    mark_removed(path, 1.0)
    assert [one.name for one, _ in seen] == [f"{target.name}.tmp", tmp_path.name]


def test_a_file_without_a_manifest_is_removed_without_a_word(tmp_path: Path) -> None:
    path = finished(tmp_path, 1, [event(1)])
    mark_removed(path, 1.0)
    assert list(tmp_path.iterdir()) == [path]


def test_an_instance_whose_name_begins_with_another_s_does_not_end_its_pruning(tmp_path: Path) -> None:
    """By name the files of `one-1` come before those of `one`."""
    for stem in ("clicks-one-1", "clicks-one"):
        path = tmp_path / f"{stem}-20240610T061320.123Z.ndjson"
        path.write_bytes(event(1))
        assert write_manifest(path) is not None
    mark_removed(path, 1.0)
    manifests_at(tmp_path).prune(1000 * DAY)
    assert [one.name for one in tmp_path.glob("*.manifest")] == [
        "clicks-one-1-20240610T061320.123Z.ndjson.manifest"
    ]
