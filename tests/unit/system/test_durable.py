"""Small things every durable file depends on."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from ingestd.system import durable
from tests.support.crashing import crash_before
from tests.support.filing import failing, synced


@pytest.mark.parametrize("most", [1, 7, 1000])
def test_every_byte_is_written_however_few_a_call_takes(
    most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, bytes(data[:most])))
    path, data = tmp_path / "file", os.urandom(500)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    durable.write_all(fd, data)
    os.close(fd)
    assert path.read_bytes() == data


def test_a_rename_never_overwrites(tmp_path: Path) -> None:
    names = []
    for number in range(4):
        source = tmp_path / f"{number}.open"
        source.write_text(str(number))
        names.append(durable.rename_new(source, tmp_path / "final.ndjson").name)
        assert not source.exists()
    assert names == ["final.ndjson", "final-1.ndjson", "final-2.ndjson", "final-3.ndjson"]
    assert [(tmp_path / name).read_text() for name in names] == ["0", "1", "2", "3"]


def test_a_rename_whose_second_step_failed_ends_when_it_is_repeated(tmp_path: Path) -> None:
    source, target = tmp_path / "a.open", tmp_path / "a.ndjson"
    source.write_text("x")
    os.link(source, target)  # as far as it came
    assert durable.rename_new(source, target) == target
    assert [path.name for path in tmp_path.iterdir()] == ["a.ndjson"]


def test_a_rename_of_what_is_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        durable.rename_new(tmp_path / "gone", tmp_path / "target")
    (tmp_path / "target").write_text("x")
    with pytest.raises(FileNotFoundError):
        durable.rename_new(tmp_path / "gone", tmp_path / "target")


def test_bytes_set_aside_are_added_to_those_before(tmp_path: Path) -> None:
    path = tmp_path / "a.ndjson"
    bad = durable.quarantine(path, b"one\n")
    assert durable.quarantine(path, b"two\n") == bad == tmp_path / "a.ndjson.bad"
    assert bad.read_bytes() == b"one\ntwo\n"


def test_a_lock_is_the_open_files_and_goes_with_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    first, second = (os.open(path, os.O_RDWR | os.O_CREAT) for _ in range(2))
    assert durable.try_lock(first)
    assert durable.try_lock(second) is False
    os.close(first)
    assert durable.try_lock(second)
    os.close(second)


def test_removing_what_is_gone_is_no_trouble(tmp_path: Path) -> None:
    durable.unlink_quietly(tmp_path / "gone")
    (tmp_path / "there").touch()
    durable.unlink_quietly(tmp_path / "there")
    assert list(tmp_path.iterdir()) == []


def test_only_a_directory_is_synced_as_one(tmp_path: Path) -> None:
    durable.fsync_directory(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        durable.fsync_directory(tmp_path / "file")


def test_a_directory_is_made_with_all_above_it_and_each_name_is_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = synced(monkeypatch)
    durable.make_directory(tmp_path / "a" / "b")
    assert seen[1:] == [(tmp_path, ["a"]), (tmp_path / "a", ["b"])]
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o750 & ~umask()
    seen.clear()
    durable.make_directory(tmp_path / "a" / "b")
    assert seen == [(tmp_path / "a", ["b"])], "whoever made it may have been killed before the sync"


def umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_what_is_set_aside_is_on_the_disk_with_its_name_and_no_descriptor_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = os.listdir("/proc/self/fd")
    seen = synced(monkeypatch)
    bad = durable.quarantine(tmp_path / "a.ndjson", b"one\n")
    assert seen == [(bad, 4), (tmp_path, [bad.name])]
    assert bad.stat().st_mode & 0o007 == 0, "it holds clicks"
    assert os.listdir("/proc/self/fd") == before


# atomic writes


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_what_is_written_atomically_is_on_the_disk_before_its_name_and_its_name_when_it_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = os.listdir("/proc/self/fd")
    seen = synced(monkeypatch)
    durable.atomic_write(tmp_path / "a", b"first", 0o604)
    assert seen == [(tmp_path / "a.tmp", 5), (tmp_path, ["a"])]
    assert ((tmp_path / "a").read_bytes(), (tmp_path / "a").stat().st_mode & 0o777) == (b"first", 0o604)
    durable.atomic_write(tmp_path / "a", b"2")
    assert ((tmp_path / "a").read_bytes(), (tmp_path / "a").stat().st_mode & 0o777) == (b"2", 0o640)
    assert os.listdir("/proc/self/fd") == before


def test_a_crash_at_any_step_of_an_atomic_write_leaves_the_old_content_or_the_new(tmp_path: Path) -> None:
    path, old, new = tmp_path / "a", b"old" * 9, b"new" * 99
    path.write_bytes(old)
    step, found = 0, []
    while crash_before(step, lambda: durable.atomic_write(path, new)):
        found.append(path.read_bytes())
        path.write_bytes(old)  # with whatever the crash left beside it
        step += 1
    assert path.read_bytes() == new
    assert set(found) == {old, new}
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("call", ["write", "fchmod", "fsync"])
def test_an_atomic_write_that_fails_leaves_everything_as_it_was(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_bytes(b"old")
    monkeypatch.setattr(os, call, failing(errno.ENOSPC))
    with pytest.raises(OSError, match="space"):
        durable.atomic_write(tmp_path / "a", b"new")
    assert (names(tmp_path), (tmp_path / "a").read_bytes()) == (["a"], b"old")


def test_a_temporary_name_that_somebody_made_a_link_leads_nowhere(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / "a.tmp").symlink_to(victim)
    durable.atomic_write(tmp_path / "a", b"new")
    assert ((tmp_path / "a").read_bytes(), victim.read_bytes()) == (b"new", b"precious")
    assert not (tmp_path / "a").is_symlink()


def test_a_hint_is_written_without_a_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = synced(monkeypatch)
    durable.atomic_write(tmp_path / "a", b"new", sync=False)
    assert (seen, (tmp_path / "a").read_bytes()) == ([], b"new")
