"""Compressed files: not a byte is lost, a damaged one is seen, and a crash leaves no half of one."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from pathlib import Path

import pytest
import zstandard

from ingestd.file import compression
from ingestd.file.names import COMPRESSED
from tests.support.aged_files import finished, names
from tests.support.fakes import event_line
from tests.support.filing import failing, synced
from tests.support.sinks_under_test import read_files

DATA = b"".join(event_line(number) for number in range(500))
METHODS = list(COMPRESSED)


@pytest.mark.parametrize("method", METHODS)
def test_a_compressed_file_holds_what_the_plain_one_held(method: str, tmp_path: Path) -> None:
    path = finished(tmp_path, "clicks-a-1.ndjson")
    target = compression.compress(path, method)
    assert target == tmp_path / f"clicks-a-1.ndjson{COMPRESSED[method]}"
    assert names(tmp_path) == [target.name]
    assert b"".join(read_files(tmp_path)) == DATA
    assert target.stat().st_size < len(DATA) / 3


@pytest.mark.parametrize("method", METHODS)
def test_a_compressed_file_keeps_the_mode_and_the_time_of_the_plain_one(method: str, tmp_path: Path) -> None:
    path = finished(tmp_path, "clicks-a-1.ndjson", age=77)
    path.chmod(0o604)
    target = compression.compress(path, method)
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
    target = compression.compress(path, method)
    assert target is not None
    copy = target.with_name(f"{target.name}.tmp")
    assert seen == [(copy, target.stat().st_size), (tmp_path, [path.name, target.name])]
    assert os.listdir("/proc/self/fd") == before


def test_a_gzip_file_holds_no_name_of_its_own(tmp_path: Path) -> None:
    """`gunzip -N` would take it for the file's."""
    target = compression.compress(finished(tmp_path, "clicks-a-1.ndjson"), "gzip")
    assert target is not None
    assert target.read_bytes()[3] == 0


def test_a_zstd_file_is_one_frame_with_its_size_and_a_checksum(tmp_path: Path) -> None:
    """A reader that needs the size before it reads can have it."""
    content = DATA * 40  # several pieces
    target = compression.compress(finished(tmp_path, "clicks-a-1.ndjson", content), "zstd")
    assert target is not None
    packed = target.read_bytes()
    frame = zstandard.get_frame_parameters(packed)
    assert (frame.content_size, frame.has_checksum) == (len(content), True)
    whole = zstandard.ZstdDecompressor().decompressobj()
    assert whole.decompress(packed) == content
    assert whole.unused_data == b""


@pytest.mark.parametrize("method", METHODS)
def test_a_flipped_bit_is_not_another_event(method: str, tmp_path: Path) -> None:
    target = compression.compress(finished(tmp_path, "clicks-a-1.ndjson"), method)
    assert target is not None
    packed = target.read_bytes()
    unreadable = 0
    for place in [*range(0, len(packed), 17), *range(len(packed) - 8, len(packed))]:
        target.write_bytes(packed[:place] + bytes([packed[place] ^ 4]) + packed[place + 1 :])
        try:
            with compression.open_plain(target) as plain:
                assert plain.read() == DATA, f"byte {place}"
        except compression.UNREADABLE:
            unreadable += 1
    assert unreadable > len(packed) / 17


@pytest.mark.parametrize("method", METHODS)
def test_a_pause_that_raises_ends_the_work_and_leaves_the_file(method: str, tmp_path: Path) -> None:
    path = finished(tmp_path, "clicks-a-1.ndjson", DATA * 40)

    def leave() -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        compression.compress(path, method, leave)
    assert names(tmp_path) == [path.name]
    assert compression.compress(path, method) is not None


def test_a_size_that_was_wrong_is_an_error() -> None:
    """A file that shrinks while it is compressed is not finished, and is not to be half a copy."""
    packer = compression.compressor("zstd", 6)
    packer.compress(b"12345")
    with pytest.raises(compression.UNREADABLE):
        packer.flush()


@pytest.mark.parametrize("method", METHODS)
def test_an_empty_file_can_be_compressed(method: str, tmp_path: Path) -> None:
    compression.compress(finished(tmp_path, "clicks-a-1.ndjson", b""), method)
    assert read_files(tmp_path) == [b""]


def test_a_file_another_instance_compresses_is_left_to_it(tmp_path: Path) -> None:
    path = finished(tmp_path, "clicks-a-1.ndjson")
    with path.open("rb") as theirs:
        fcntl.flock(theirs.fileno(), fcntl.LOCK_EX)
        assert compression.compress(path, "zstd") is None
    assert names(tmp_path) == [path.name]


def test_a_file_that_is_gone_is_no_trouble(tmp_path: Path) -> None:
    assert compression.compress(tmp_path / "clicks-a-1.ndjson", "zstd") is None


def test_a_file_removed_while_it_was_compressed_is_no_trouble(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = finished(tmp_path, "clicks-a-1.ndjson")
    real = os.fsync

    def removed_meanwhile(fd: int) -> None:
        path.unlink(missing_ok=True)
        real(fd)

    monkeypatch.setattr(os, "fsync", removed_meanwhile)
    assert compression.compress(path, "gzip") is not None
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
        compression.compress(path, method)
    assert names(tmp_path) == [path.name]
    assert path.read_bytes() == DATA


@pytest.mark.parametrize("method", METHODS)
def test_a_file_whose_copy_fails_stays(method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though everything after the copy would succeed."""
    path = finished(tmp_path, "clicks-a-1.ndjson")
    monkeypatch.setattr(compression, "compressor", failing(errno.EIO))
    with pytest.raises(OSError, match="Input/output error"):
        compression.compress(path, method)
    assert names(tmp_path) == [path.name]


def test_a_copy_a_crash_left_whole_is_used(tmp_path: Path) -> None:
    path = finished(tmp_path, "clicks-a-1.ndjson")
    compression.compress(path, "zstd")
    finished(tmp_path, "clicks-a-1.ndjson")  # the crash came before it was removed
    compression.compress(path, "zstd")
    assert names(tmp_path) == ["clicks-a-1.ndjson.zst"]


def test_half_a_copy_a_crash_left_is_written_anew(tmp_path: Path) -> None:
    path = finished(tmp_path, "clicks-a-1.ndjson")
    (tmp_path / "clicks-a-1.ndjson.zst.tmp").write_bytes(b"half")
    compression.compress(path, "zstd")
    assert names(tmp_path) == ["clicks-a-1.ndjson.zst"]
    assert b"".join(read_files(tmp_path)) == DATA


def test_half_copies_a_kill_left_are_removed_whatever_the_method_is_now(tmp_path: Path) -> None:
    """Not that of a file somebody is at."""
    finished(tmp_path, "clicks-a-1.ndjson")
    busy = finished(tmp_path, "clicks-a-2.ndjson")
    names_of_copies = ["clicks-a-1.ndjson.zst.tmp", "clicks-a-2.ndjson.gz.tmp", "clicks-a-3.ndjson.gz.tmp"]
    for name in [*names_of_copies, "other-a-1.ndjson.zst.tmp", "clicks-a-1.ndjson.manifest.tmp"]:
        finished(tmp_path, name, b"half")
    with busy.open("rb") as theirs:
        fcntl.flock(theirs.fileno(), fcntl.LOCK_EX)
        removed = compression.sweep(tmp_path, "clicks")
    assert sorted(path.name for path in removed) == [names_of_copies[0], names_of_copies[2]]
    assert names(tmp_path) == [
        "clicks-a-1.ndjson", "clicks-a-1.ndjson.manifest.tmp", "clicks-a-2.ndjson", names_of_copies[1],
        "other-a-1.ndjson.zst.tmp",
    ]  # fmt: skip


def test_every_half_copy_is_removed_though_others_are_without_their_file(tmp_path: Path) -> None:
    for number in range(4):
        finished(tmp_path, f"clicks-a-{number}.ndjson.gz.tmp", b"half")
    assert len(compression.sweep(tmp_path, "clicks")) == 4
    assert names(tmp_path) == []
