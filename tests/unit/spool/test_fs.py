"""The spool's own file operations: nobody else reads it, and no link leads it to another's file."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from ingestd.spool.fs import RealFs
from ingestd.spool.spool import Spool, SpoolError


def test_what_the_spool_makes_is_for_its_user_and_group_alone(tmp_path: Path) -> None:
    mask = os.umask(0)
    try:
        spool = Spool(tmp_path / "above" / "spool", max_bytes=1 << 20)
        spool.open()
        spool.append([b"payload"])
        spool.close()
    finally:
        os.umask(mask)
    made = [tmp_path / "above" / "spool", *(tmp_path / "above" / "spool").iterdir()]
    assert len(made) == 3
    assert {path.stat().st_mode & 0o007 for path in made} == {0}


@pytest.mark.parametrize("call", ["create", "open_write", "open_read"])
def test_a_link_in_the_place_of_a_file_is_not_followed(call: str, tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"somebody else's")
    (tmp_path / "link").symlink_to(tmp_path / "other")
    with pytest.raises(OSError, match="symbolic links") as caught:
        getattr(RealFs(), call)(tmp_path / "link")
    assert caught.value.errno == errno.ELOOP
    assert (tmp_path / "other").read_bytes() == b"somebody else's"


def test_a_second_name_of_a_link_is_the_link_s_own(tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    (tmp_path / "link").symlink_to(tmp_path / "other")
    RealFs().link(tmp_path / "link", tmp_path / "second")
    assert (tmp_path / "second").is_symlink()
    assert (tmp_path / "other").stat().st_nlink == 1


@pytest.mark.parametrize("call", ["lock", "sync_directory"])
def test_only_a_directory_is_locked_and_synced_as_one(call: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        getattr(RealFs(), call)(tmp_path / "file")


def test_an_error_of_the_spool_is_its_words_and_knows_its_number() -> None:
    error = SpoolError("/spool: append: No space left on device", errno.ENOSPC)
    assert (str(error), error.errno) == ("/spool: append: No space left on device", errno.ENOSPC)


def test_each_sync_the_spool_asks_for_is_one_of_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest is tried on a disk in memory, which cannot tell whether this one was asked."""
    synced: list[str] = []

    def noting(name: str) -> Callable[[int], None]:
        def sync(fd: int) -> None:
            synced.append(f"{name} {'directory' if stat.S_ISDIR(os.fstat(fd).st_mode) else 'file'}")

        return sync

    for name in ("fdatasync", "fsync"):
        monkeypatch.setattr(os, name, noting(name))
    spool = Spool(tmp_path / "spool", max_bytes=1 << 20)
    spool.open()
    synced.clear()
    end = spool.append([b"the first of its segment"])
    assert synced == ["fdatasync file", "fsync directory"]
    synced.clear()
    spool.append([b"another"])
    spool.release(end)
    assert synced == ["fdatasync file"] * 2
    spool.close()


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    spool = Spool(tmp_path / "spool", max_bytes=1 << 20, segment_bytes=1)
    spool.open()
    for _ in range(3):
        with pytest.raises(SpoolError, match="another process owns"):
            Spool(tmp_path / "spool", max_bytes=1 << 20).open()
        end = spool.append([b"payload"])
        assert spool.read(spool.checkpoint, 1)[0]
        spool.release(end)
    spool.close()
    assert len(os.listdir("/proc/self/fd")) == len(before)
