"""One file being written: made, appended to, finished, abandoned, and the races with other processes."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
from pathlib import Path

import pytest

from ingestd.file import listing, recovery
from ingestd.file.names import finished_path
from ingestd.file.ndjson import NdjsonFile
from ingestd.system import durable
from tests.support.fakes import event_line
from tests.support.filing import failing, synced

WALL = 1_718_000_000.123


def create(directory: Path, mode: int = 0o640) -> NdjsonFile:
    return NdjsonFile.create(directory, "clicks-one", mode, WALL)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def locked(path: Path) -> bool:
    with path.open("rb") as file:
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_a_file_is_named_after_its_prefix_its_instance_and_its_start(tmp_path: Path) -> None:
    create(tmp_path)
    assert names(tmp_path) == ["clicks-one-20240610T061320.123Z.ndjson.open"]


def test_a_new_file_holds_nothing(tmp_path: Path) -> None:
    file = create(tmp_path)
    assert (file.size, file.events) == (0, 0)


def test_files_of_one_moment_are_numbered(tmp_path: Path) -> None:
    for _ in range(3):
        create(tmp_path)
    stem = "clicks-one-20240610T061320.123Z"
    assert names(tmp_path) == [f"{stem}-1.ndjson.open", f"{stem}-2.ndjson.open", f"{stem}.ndjson.open"]


def test_a_file_has_the_configured_mode_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        file = create(tmp_path, 0o664)
    finally:
        os.umask(before)
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o664


def test_a_file_is_locked_while_it_is_written(tmp_path: Path) -> None:
    file = create(tmp_path)
    assert locked(file.path)
    file.append(b"x\n")
    assert not locked(file.finish())


def test_what_was_appended_is_in_the_file(tmp_path: Path) -> None:
    file = create(tmp_path)
    file.append(b"a\n")
    file.append(b"b\n")
    assert (file.path.read_bytes(), file.size) == (b"a\nb\n", 4)


def test_a_finished_file_loses_its_suffix_and_nothing_else(tmp_path: Path) -> None:
    file = create(tmp_path)
    file.append(b"a\n")
    final = file.finish()
    assert names(tmp_path) == [final.name] == ["clicks-one-20240610T061320.123Z.ndjson"]
    assert final.read_bytes() == b"a\n"


def test_no_name_is_taken_twice(tmp_path: Path) -> None:
    files = [create(tmp_path) for _ in range(3)]
    for number, file in enumerate(files):
        file.append(b"%d\n" % number)
    assert len({file.path for file in files}) == 3
    finals = [file.finish() for file in files]
    later = create(tmp_path)  # the names of finished files are taken, too
    assert finished_path(later.path) not in finals
    assert [final.read_bytes() for final in finals] == [b"0\n", b"1\n", b"2\n"]


def test_finishing_never_overwrites(tmp_path: Path) -> None:
    file = create(tmp_path)
    file.append(b"mine\n")
    foreign = finished_path(file.path)
    foreign.write_bytes(b"theirs\n")
    final = file.finish()
    assert final != foreign
    assert re.fullmatch(r"clicks-one-20240610T061320\.123Z-1\.ndjson", final.name)
    assert (foreign.read_bytes(), final.read_bytes()) == (b"theirs\n", b"mine\n")


def test_a_file_a_recovery_removed_before_it_was_locked_is_not_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes start at once: the one's new file is empty and unlocked for a moment."""
    real = durable.try_lock
    raced: list[Path] = []

    def recovery_comes_first(fd: int) -> bool:
        if not raced:
            raced.extend(listing.orphans(tmp_path, "clicks"))
            monkeypatch.setattr(durable, "try_lock", real)
            for path in raced:
                found = recovery.recover(path)
                assert found is not None
                assert found[:2] == (None, 0)
        return real(fd)

    monkeypatch.setattr(durable, "try_lock", recovery_comes_first)
    file = create(tmp_path)
    assert raced
    file.append(b"kept\n")
    assert file.path.read_bytes() == b"kept\n"


def test_a_file_a_recovery_is_looking_at_is_left_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = len(os.listdir("/proc/self/fd"))
    answers = iter([False, True])
    monkeypatch.setattr(durable, "try_lock", lambda fd: next(answers))
    file = create(tmp_path)
    file.append(b"kept\n")
    assert file.path.read_bytes() == b"kept\n"
    assert len(names(tmp_path)) == 2
    assert len(os.listdir("/proc/self/fd")) == before + 1, "the other is closed"


def test_an_unlink_that_fails_is_left_to_recovery_and_makes_no_second_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = create(tmp_path)
    file.append(b"a\n")

    def failing(*arguments: object, **named: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", failing)
        with pytest.raises(OSError, match="Input/output"):
            file.finish()
    assert file.closed, "readers may have it under its final name: nothing may be added"
    found = recovery.recover(file.path)
    assert found is not None
    assert found.file == tmp_path / "clicks-one-20240610T061320.123Z.ndjson"
    assert names(tmp_path) == [found.file.name]


def test_where_links_are_missing_a_file_is_renamed_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*arguments: object, **named: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    file = create(tmp_path)
    file.append(b"a\n")
    assert file.finish().read_bytes() == b"a\n"
    other = create(tmp_path)
    other.append(b"b\n")
    finished_path(other.path).write_bytes(b"theirs\n")
    with pytest.raises(FileExistsError):
        other.finish()
    assert other.path.read_bytes() == b"b\n"


def test_a_reservation_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    file = create(tmp_path)
    file.append(b"a\n")
    file.reserve(1 << 20)
    assert file.path.read_bytes() == b"a\n"
    file.append(b"b\n")
    assert file.path.read_bytes() == b"a\nb\n"


@pytest.mark.parametrize("call", ["posix_fallocate", "fdatasync", "ftruncate"])
def test_a_reservation_that_the_disk_refuses_is_an_error(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = create(tmp_path)
    monkeypatch.setattr(os, call, failing(errno.EIO))
    with pytest.raises(OSError, match="Input/output error"):
        file.reserve(1 << 20)


def test_what_was_reserved_and_cut_again_is_durably_cut_before_a_file_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No recovery looks at a finished file: zeros at its end would stay."""
    file = create(tmp_path)
    file.append(b"a\n")
    file.reserve(1 << 20)
    seen = synced(monkeypatch)
    final = file.finish()
    assert seen == [
        (file.path, 2), (tmp_path, [final.name, file.path.name]), (tmp_path, [final.name]),
    ]  # fmt: skip


def test_an_abandoned_file_ends_where_it_was_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = create(tmp_path)
    file.append(event_line(1))

    def failing(fd: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", failing)
        with pytest.raises(OSError, match="Input/output"):
            file.append(event_line(2))
    file.abandon()
    assert file.path.read_bytes() == event_line(1)
    assert not locked(file.path)


def test_a_closed_files_descriptor_is_never_used_again(tmp_path: Path) -> None:
    # Its number may be a client's socket by then.
    file = create(tmp_path)
    file.append(b"a\n")
    file.finish()
    with pytest.raises(OSError, match="Bad file descriptor"):
        file.append(b"b\n")


def test_a_discarded_file_is_gone(tmp_path: Path) -> None:
    file = create(tmp_path)
    file.discard()
    assert names(tmp_path) == []
    with pytest.raises(OSError, match="Bad file descriptor"):
        file.append(b"a\n")


def test_a_file_whose_name_cannot_be_made_durable_is_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is nobody's, and the next recovery removes it."""
    with monkeypatch.context() as patch:
        patch.setattr(durable, "fsync_directory", failing(errno.EIO))
        with pytest.raises(OSError, match="Input/output error"):
            create(tmp_path)
    (left,) = tmp_path.iterdir()
    assert not locked(left)
    recovery.recover(left)
    assert names(tmp_path) == []
