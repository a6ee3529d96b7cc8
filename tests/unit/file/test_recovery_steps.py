"""What a recovery leaves beside the file: durable before a name is given, no descriptor, no repeat."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from ingestd.file import listing, recovery
from ingestd.system import durable
from tests.support.fakes import event_line
from tests.support.filing import failing, synced

STEM = "clicks-one-20240610T061320.123Z.ndjson"
ONE, TWO = event_line(1), event_line(2)
DAMAGED = ONE + b"damage\n" + TWO


def left_open(directory: Path, data: bytes) -> Path:
    path = directory / f"{STEM}.open"
    path.write_bytes(data)
    return path


def result(path: Path) -> tuple[Path | None, int]:
    found = recovery.recover(path)
    assert found is not None
    return found[:2]


def test_a_whole_file_is_durable_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as it is open the next start looks at it again; a finished one nobody looks at."""
    path = left_open(tmp_path, ONE)
    seen = synced(monkeypatch)
    recovery.recover(path)
    assert seen == [(path, len(ONE)), (tmp_path, [STEM, path.name]), (tmp_path, [STEM])]


def test_a_torn_tail_is_durable_elsewhere_before_it_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, bad = left_open(tmp_path, ONE + b"torn"), f"{STEM}.bad"
    seen = synced(monkeypatch)
    recovery.recover(path)
    assert seen == [
        (tmp_path / bad, 4), (tmp_path, [bad, path.name]), (path, len(ONE)),
        (tmp_path, [STEM, bad, path.name]), (tmp_path, [STEM, bad]),
    ]  # fmt: skip


def test_a_copy_without_the_damage_is_durable_before_it_takes_the_file_s_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, bad, size = left_open(tmp_path, DAMAGED), f"{STEM}.bad", len(ONE + TWO)
    seen = synced(monkeypatch)
    recovery.recover(path)
    assert seen[2:] == [
        (tmp_path / f"{path.name}.tmp", size), (tmp_path, [bad, path.name]),
        (path, size), (tmp_path, [STEM, bad, path.name]), (tmp_path, [STEM, bad]),
    ]  # fmt: skip


def test_a_name_that_a_crash_cut_off_is_durable_before_the_other_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut after the crash could take both, had nobody synced the first."""
    path = left_open(tmp_path, ONE)
    os.link(path, tmp_path / STEM)
    seen = synced(monkeypatch)
    recovery.recover(path)
    assert seen == [(tmp_path, [STEM, path.name]), (tmp_path, [STEM])]


def test_an_empty_file_is_not_recovered_into_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = left_open(tmp_path, b"")
    seen = synced(monkeypatch)
    assert result(path) == (None, 0)
    assert seen == [(path, 0)]


@pytest.mark.parametrize("data", [b"", ONE, ONE + b"torn", DAMAGED])
def test_no_recovery_keeps_a_descriptor(data: bytes, tmp_path: Path) -> None:
    """It would keep the lock of a file that others wait for."""
    before = os.listdir("/proc/self/fd")
    recovery.recover(left_open(tmp_path, data))
    assert os.listdir("/proc/self/fd") == before


def test_nor_does_one_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = left_open(tmp_path, DAMAGED)
    monkeypatch.setattr(Path, "replace", failing(errno.ENOSPC))
    before = os.listdir("/proc/self/fd")
    with pytest.raises(OSError, match="No space left"):
        recovery.recover(path)
    assert os.listdir("/proc/self/fd") == before


def test_what_is_left_of_an_earlier_copy_is_no_part_of_the_next(tmp_path: Path) -> None:
    path = left_open(tmp_path, DAMAGED)
    path.with_name(f"{path.name}.tmp").write_bytes(b"x" * 10_000)
    assert result(path) == (tmp_path / STEM, len(b"damage\n"))
    assert (tmp_path / STEM).read_bytes() == ONE + TWO


def test_a_link_in_a_copy_s_place_is_not_followed(tmp_path: Path) -> None:
    path, other = left_open(tmp_path, DAMAGED), tmp_path / "other"
    other.write_bytes(b"another's")
    path.with_name(f"{path.name}.tmp").symlink_to(other)
    with pytest.raises(OSError, match="symbolic links"):
        recovery.recover(path)
    assert other.read_bytes() == b"another's"


def test_a_link_is_nobody_s_file(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(ONE)
    (tmp_path / f"{STEM}.open").symlink_to(tmp_path / "elsewhere")
    assert listing.orphans(tmp_path, "clicks") == []


def test_a_copy_is_held_like_the_file_whose_place_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may look at it before it is finished."""
    path = left_open(tmp_path, DAMAGED)
    real, looked = durable.rename_new, []

    def looked_at_by_another(source: Path, target: Path) -> Path:
        with source.open("rb") as file:
            looked.append(durable.try_lock(file.fileno()))
        return real(source, target)

    monkeypatch.setattr(durable, "rename_new", looked_at_by_another)
    recovery.recover(path)
    assert looked == [False]


@pytest.mark.parametrize("name", [STEM, STEM.replace(".ndjson", "-1.ndjson")])
def test_a_file_that_has_its_name_already_is_not_copied_whatever_is_in_it(name: str, tmp_path: Path) -> None:
    """The copy would get a name of its own, and its events would be there twice."""
    path = left_open(tmp_path, DAMAGED)
    os.link(path, tmp_path / name)
    assert result(path) == (tmp_path / name, 0)
    assert [one.name for one in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_bytes() == DAMAGED
