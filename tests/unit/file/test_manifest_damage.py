"""Manifests and chains that are damaged or lost: named, kept, and made again; nothing else waits for them."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest

from ingestd.file import names
from ingestd.file.inventory import Inventory
from ingestd.file.manifest import Chain
from tests.support.event_files import (
    event,
    finished,
    manifests_at,
    mark_removed,
    read,
    rows_of,
    write_manifest,
)

CHAIN = "clicks-one.chain"
DAMAGE = {"empty": b"", "cut short": b'{"v":1,"file":', "zeros": bytes(300), "another thing": b"[1, 2]"}


@pytest.fixture
def kept(tmp_path: Path) -> list[Path]:
    """Four files with manifests, one after the other."""
    paths = [finished(tmp_path, number, [event(number)]) for number in range(4)]
    for path in paths:
        write_manifest(path)
    return paths


def assert_whole(directory: Path, numbers: list[int]) -> None:
    inventory = Inventory.read(directory)
    assert list(inventory.defects()) == []
    found = sorted(inventory.manifests, key=lambda one: one.number)
    assert [one.number for one in found] == numbers
    assert [one.previous for one in found[1:]] == [one.file for one in found[:-1]]


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("number", range(4))
def test_a_damaged_manifest_is_made_again_from_its_file_under_its_number(
    number: int, damage: str, kept: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    target = names.manifest_path(kept[number])
    target.write_bytes(DAMAGE[damage])
    with caplog.at_level(logging.ERROR):
        mark_removed(kept[number], 1000.0)
    assert read(kept[number]).removed_at == 1_000_000
    assert read(kept[number]).rows == rows_of([event(number)])
    assert_whole(kept[0].parent, [1, 2, 3, 4])
    assert target.with_name(target.name + ".bad").read_bytes() == DAMAGE[damage]
    assert [vars(one)["file"] for one in caplog.records] == [target.name]


@pytest.mark.parametrize("number", range(4))
def test_a_manifest_that_was_deleted_is_made_again_under_its_number(number: int, kept: list[Path]) -> None:
    """Also where the chain came onto the disk in a power cut, and the manifest of which it speaks did not."""
    names.manifest_path(kept[number]).unlink()
    made = write_manifest(kept[number])
    assert made is not None
    assert made.number == number + 1
    assert_whole(kept[0].parent, [1, 2, 3, 4])


def test_a_file_that_turns_up_late_gets_the_next_number(kept: list[Path]) -> None:
    """Another machine's, or one that was moved away for a while: no number is missing for it."""
    late = kept[0].with_name("clicks-one-20200101T000000.000Z.ndjson")
    late.write_bytes(event(9))
    made = write_manifest(late)
    assert made is not None
    assert (made.number, made.previous) == (5, kept[3].name)
    assert_whole(kept[0].parent, [1, 2, 3, 4, 5])


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_chain_is_made_again_from_the_manifests(
    damage: str, kept: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    directory = kept[0].parent
    mark_removed(kept[0], 10.0)
    kept[0].unlink()
    manifests_at(directory).prune(11.0 + 400 * 86400)
    (directory / CHAIN).write_bytes(DAMAGE[damage])
    with caplog.at_level(logging.ERROR):
        made = write_manifest(finished(directory, 5, [event(5)]))
    assert made is not None
    assert (made.number, made.previous) == (5, kept[3].name)
    assert Chain.read(directory / CHAIN) == Chain(5, made.file, pruned=1)
    assert_whole(directory, [2, 3, 4, 5])
    assert (directory / f"{CHAIN}.bad").read_bytes() == DAMAGE[damage]
    assert [vars(one)["file"] for one in caplog.records] == [CHAIN]


def test_a_damaged_chain_without_manifests_begins_again(tmp_path: Path) -> None:
    (tmp_path / CHAIN).write_bytes(b"")
    made = write_manifest(finished(tmp_path, 1, [event(1)]))
    assert made is not None
    assert made.number == 1


def test_what_is_in_quarantine_is_never_overwritten(kept: list[Path]) -> None:
    directory = kept[0].parent
    for content in (b"", b"{"):
        (directory / CHAIN).write_bytes(content)
        manifests_at(directory).settle()
    assert sorted(path.read_bytes() for path in directory.glob(f"{CHAIN}*.bad")) == [b"", b"{"]


def test_a_damaged_manifest_of_a_file_that_is_gone_does_not_keep_others_from_being_pruned(
    kept: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    for path in kept[:3]:
        mark_removed(path, 10.0)
        path.unlink()
    damaged = names.manifest_path(kept[1])
    damaged.write_bytes(b"")
    with caplog.at_level(logging.ERROR):
        manifests_at(damaged.parent).prune(11.0 + 400 * 86400)
    left = sorted(path.name for path in damaged.parent.glob("*.manifest"))
    assert left == [damaged.name, names.manifest_path(kept[3]).name]
    assert Chain.read(damaged.parent / CHAIN).pruned == 3
    assert [vars(one)["file"] for one in caplog.records] == [damaged.name]


# copies


def test_a_copy_whose_chain_is_newer_than_its_manifests_is_whole(kept: list[Path], tmp_path: Path) -> None:
    """Files were finished while it was taken; the name of the chain sorts behind those of the files."""
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in kept[:2]:
        for one in (path, names.manifest_path(path)):
            (copy / one.name).write_bytes(one.read_bytes())
    (copy / CHAIN).write_bytes((tmp_path / CHAIN).read_bytes())
    inventory = Inventory.read(copy)
    assert list(inventory.defects()) == []
    [note] = inventory.notes()
    assert "2 newer" in note
    assert kept[3].name in note


def test_a_copy_lacks_what_is_missing_in_its_middle(kept: list[Path], tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in (kept[0], kept[2]):
        for one in (path, names.manifest_path(path)):
            (copy / one.name).write_bytes(one.read_bytes())
    (copy / CHAIN).write_bytes((tmp_path / CHAIN).read_bytes())
    assert [defect.where for defect in Inventory.read(copy).defects()] == [kept[1].name]


def test_a_directory_that_was_moved_is_not_a_copy(kept: list[Path], tmp_path: Path) -> None:
    """Whoever deletes the last file with its manifest is found out."""
    kept[3].unlink()
    names.manifest_path(kept[3]).unlink()
    moved = kept[0].parent.rename(tmp_path.with_name("moved"))
    assert [defect.where for defect in Inventory.read(moved).defects()] == [kept[3].name]


def test_a_daemon_that_goes_on_in_a_copy_makes_it_the_directory(kept: list[Path], tmp_path: Path) -> None:
    copy = Path(shutil.copytree(kept[0].parent, tmp_path / "copy"))
    assert Chain.read(copy / CHAIN).copied
    write_manifest(finished(copy, 5, [event(5)]))
    assert not Chain.read(copy / CHAIN).copied
    assert_whole(copy, [1, 2, 3, 4, 5])
