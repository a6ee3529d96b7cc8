"""What the file sink does beside writing: upkeep of finished files, what it tells of them, and its end."""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from ingestd.errors import SinkError
from ingestd.file import recovery
from ingestd.file.manifest import Manifest
from ingestd.file.manifests import Manifests
from ingestd.file.ndjson import NdjsonFile
from ingestd.file.sink import BREATH, FileSink
from tests.support.fakes import event_line
from tests.support.filing import Files, failing, synced
from tests.support.sinks_under_test import batch_of, read_files
from tests.support.waiting import FAR


async def keeper_idle(sink: FileSink) -> None:
    """Wait until all that was handed to the keeper's thread is done."""
    sink._keeper.submit(int).result()


def orphan(files: Files, instance: str, number: int) -> Path:
    path = files.directory / f"clicks-{instance}-20240101T000000.000Z.ndjson.open"
    path.write_bytes(event_line(number))
    return path


# finishing


async def test_a_finished_file_has_its_name_on_the_disk(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = await files.opened(manifest=False)
    await sink.commit(batch_of(1))
    with monkeypatch.context() as patch:
        seen = synced(patch)
        await sink.rotate()
    assert seen[-1] == (files.directory, files.names(".ndjson"))
    await sink.close()


async def test_a_file_that_cannot_be_finished_at_its_size_is_counted_each_time(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = await files.opened(rotate_bytes="100B")
    with monkeypatch.context() as patch:
        patch.setattr(os, "link", failing(errno.EROFS))
        await sink.commit(batch_of(1))
        await sink.commit(batch_of(2))
    assert sink.snapshot().metrics["file_errors"] == 2
    await sink.close()


async def test_a_prefix_is_noted_with_its_first_file_and_where_files_are_found(files: Files) -> None:
    """A shorter prefix in the same directory leaves them alone because of it."""
    mark = files.directory / ".clicks-ios.prefix"

    sink = await files.opened(prefix="clicks-ios")
    assert not mark.exists()
    await sink.commit(batch_of(1))
    await sink.rotate()
    assert mark.exists()
    await sink.close()
    mark.unlink()
    again = await files.opened(prefix="clicks-ios")
    assert mark.exists()
    await again.close()


# what a crash left


async def test_a_probe_finishes_what_another_left_since_and_sees_to_it(files: Files) -> None:
    """Whatever stands before it: our own open file, one that another holds, an empty one."""

    held = await files.opened("aaa")
    await held.commit(batch_of(1))
    sink = await files.opened("mmm", compress="zstd")
    await sink.commit(batch_of(2))
    orphan(files, "bbb", 3).write_bytes(b"")
    left = orphan(files, "zzz", 4)
    await sink.probe()
    await keeper_idle(sink)
    assert not left.exists()
    assert files.names(".zst") == ["clicks-zzz-20240101T000000.000Z.ndjson.zst"]
    assert (files.directory / "clicks-zzz-20240101T000000.000Z.ndjson.manifest").exists()
    assert sink.snapshot().metrics["files_recovered"] == 1
    await held.close()
    await sink.close()


async def test_one_that_cannot_be_recovered_does_not_keep_the_next_from_it(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = recovery.recover

    sink = await files.opened("mmm")
    bad, left = orphan(files, "aaa", 1), orphan(files, "bbb", 2)
    with monkeypatch.context() as patch:
        patch.setattr(recovery, "recover", lambda path: failing(errno.EIO)() if path == bad else real(path))
        await sink.probe()
    assert (bad.exists(), left.exists()) == (True, False)
    await sink.close()


async def test_a_directory_is_made_with_those_above_it(tmp_path: Path) -> None:
    sink = await Files(tmp_path / "a" / "b").opened()
    await sink.close()
    assert (tmp_path / "a" / "b").is_dir()


# upkeep


async def test_files_go_when_they_are_older_than_their_days_and_not_before(files: Files) -> None:
    sink = await files.opened(keep_days=1000)
    for name, more in (("young", -500), ("old", 500)):
        path = files.directory / f"clicks-{name}-20200101T000000.000Z.ndjson"
        path.write_bytes(event_line(1))
        os.utime(path, (files.wall - 1000 * 86400 - more,) * 2)
    await sink.tick()
    await keeper_idle(sink)
    assert files.names(".ndjson") == ["clicks-young-20200101T000000.000Z.ndjson"]
    await sink.close()


async def test_files_go_by_their_bytes_alone(files: Files) -> None:
    sink = await files.opened(keep_bytes="500B")
    for number in range(4):
        await sink.commit(batch_of(number))
        await sink.rotate()
    await sink.tick()
    await keeper_idle(sink)
    await sink.close()
    assert read_files(files.directory) == [event_line(2), event_line(3)]


@pytest.mark.parametrize("manifest", [True, False])
async def test_manifests_are_pruned_where_files_went_and_there_are_manifests(
    manifest: bool, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    pruned: list[float] = []
    monkeypatch.setattr(Manifests, "prune", lambda manifests, now: pruned.append(now))

    sink = await files.opened(keep_bytes="1B", manifest=manifest)
    await sink.tick()
    await keeper_idle(sink)
    assert pruned == [], "none has gone"
    await sink.commit(batch_of(1))
    await sink.rotate()
    await files.clock.advance(60)
    await sink.tick()
    await keeper_idle(sink)
    assert len(pruned) == manifest
    await sink.close()


async def test_what_was_owed_and_is_done_is_not_done_again(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = await files.opened()
    await sink.commit(batch_of(1))
    with monkeypatch.context() as patch:
        patch.setattr(Manifests, "write", failing(errno.ENOSPC))
        await sink.rotate()
        await keeper_idle(sink)
    asked: list[Path] = []
    real = Manifests.write

    def noted(manifests: Manifests, path: Path, *rest: Any) -> Manifest | None:
        asked.append(path)
        return real(manifests, path, *rest)

    monkeypatch.setattr(Manifests, "write", noted)
    for _ in range(3):
        await sink.tick()
        await files.clock.advance(60)
        await keeper_idle(sink)
    assert [path.name for path in asked] == files.names(".ndjson")
    await sink.close()


async def test_a_manifest_is_made_with_pauses_for_the_loop_unless_we_are_leaving(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    naps: list[float] = []
    monkeypatch.setattr(time, "sleep", naps.append)

    sink = await files.opened()
    await sink.commit(batch_of(*range(1000)))
    await sink.rotate()
    await keeper_idle(sink)
    assert (len(naps) > 5, set(naps)) == (True, {BREATH})
    naps.clear()
    await sink.commit(batch_of(*range(1000)))
    await sink.close()
    assert naps == []


# what it tells


async def test_its_status_is_that_of_the_open_file_or_of_none(files: Files) -> None:
    sink = await files.opened()
    await files.clock.advance(1.25)
    await sink.commit(batch_of(1))
    name = files.names(".open")[0]
    size = len(event_line(1))
    status = {
        "directory": str(files.directory),
        "file": name,
        "file_bytes": size,
        "file_age_seconds": 1.2,
    }
    assert sink.snapshot().status == {"file": status}
    await sink.rotate()
    status |= {"file": None, "file_bytes": 0, "file_age_seconds": 0}
    assert sink.snapshot().status == {"file": status}
    assert sink.snapshot().error == ""
    await sink.close()


async def test_a_file_that_holds_something_else_is_told_in_figures(
    files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    size = len(event_line(1))

    sink = await files.opened()
    await sink.commit(batch_of(1, 2))
    with (files.directory / files.names(".open")[0]).open("ab") as found:
        found.write(event_line(3))
    await sink.close()
    [told] = [vars(one) for one in caplog.records if one.message.startswith("a file does not hold")]
    assert told["file"] == files.names(".ndjson")[0]
    assert (told["events"], told["bytes"], told["written_events"], told["written_bytes"]) == (
        3, 3 * size, 2, 2 * size,
    )  # fmt: skip


async def test_a_recovered_file_is_told_with_what_was_torn(
    files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    files.directory.mkdir()
    orphan(files, "zzz", 1).write_bytes(event_line(1) + b"torn")

    with caplog.at_level(logging.WARNING):
        await (await files.opened()).close()
    [told] = [vars(one) for one in caplog.records]
    assert (told["file"], told["bad_bytes"]) == ("clicks-zzz-20240101T000000.000Z.ndjson", 4)


# its end


async def test_a_sink_that_is_closed_leaves_no_thread(files: Files) -> None:
    before = set(threading.enumerate())

    sink = await files.opened()
    await sink.commit(batch_of(1))
    await sink.close()
    for thread in set(threading.enumerate()) - before:
        thread.join(FAR)
        assert not thread.is_alive(), thread


async def test_a_sink_that_cannot_finish_its_file_does_not_wait_for_upkeep_that_hangs(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what had not begun is left to the next start."""
    begun, release, later = threading.Event(), threading.Event(), threading.Event()
    released: list[bool] = []

    def hang() -> None:
        begun.set()
        released.append(release.wait(FAR))

    sink = await files.opened()
    await sink.commit(batch_of(1))
    sink._keep(hang)
    sink._keep(later.set)
    assert begun.wait(FAR)
    with monkeypatch.context() as patch:
        patch.setattr(NdjsonFile, "finish", failing(errno.EIO))
        with pytest.raises(SinkError):
            await sink.close()
    release.set()
    for thread in sink._keeper._threads:
        thread.join(FAR)
    assert released == [True], "the end came before it gave up"
    assert not later.is_set()
