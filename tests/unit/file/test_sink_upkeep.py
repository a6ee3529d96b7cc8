"""What the file sink does beside writing: upkeep of finished files, what it tells of them, and its end."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiofiles.os
import pytest

from ingestd.errors import SinkError
from ingestd.file import recovery, scan, upkeep
from ingestd.file.manifest import Manifest
from ingestd.file.manifests import Manifests
from ingestd.file.ndjson import NdjsonFile
from ingestd.file.sink import FileSink
from ingestd.file.upkeep import BREATH
from ingestd.system import durable
from tests.support.aged_files import NOT_OURS, finished
from tests.support.fakes import event_line
from tests.support.filing import Files, failing, synced
from tests.support.sinks_under_test import batch_of, read_files
from tests.support.waiting import FAR


async def upkeep_idle(sink: FileSink) -> None:
    """Wait until all that is to be done is done."""
    await sink._upkeep.idle()


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
    await upkeep_idle(again)
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
    await upkeep_idle(sink)
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
        patch.setattr(
            recovery, "recover", lambda path, pause: failing(errno.EIO)() if path == bad else real(path)
        )
        await sink.probe()
        await upkeep_idle(sink)
    assert (bad.exists(), left.exists()) == (True, False)
    await files.clock.advance(60)
    await sink.tick()
    await upkeep_idle(sink)
    assert not bad.exists(), "what the disk could not read then is tried again a minute later"
    await sink.close()


async def test_a_directory_is_made_with_those_above_it(tmp_path: Path) -> None:
    sink = await Files(tmp_path / "a" / "b").opened()
    await sink.close()
    assert (tmp_path / "a" / "b").is_dir()


# upkeep


async def test_files_go_when_they_are_older_than_their_days_and_not_before(files: Files) -> None:
    sink = await files.opened(keep_days=1000)
    ages = {"recent": 7200, "young": 1000 * 86400 - 500, "old": 1000 * 86400 + 500}
    for name, age in ages.items():
        path = files.directory / f"clicks-{name}-20200101T000000.000Z.ndjson"
        path.write_bytes(event_line(1))
        os.utime(path, (files.wall - age,) * 2)
    sink._upkeep.look()
    await upkeep_idle(sink)
    assert [name[7:12] for name in files.names(".ndjson")] == ["recen", "young"]
    await sink.close()


async def test_files_go_by_their_bytes_alone(files: Files) -> None:
    sink = await files.opened(keep_bytes="500B")
    for number in range(4):
        await sink.commit(batch_of(number))
        await sink.rotate()
    await files.clock.advance(60)
    await sink.tick()
    await upkeep_idle(sink)
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
    await upkeep_idle(sink)
    assert pruned == [], "none has gone"
    await sink.commit(batch_of(1))
    await sink.rotate()
    await files.clock.advance(60)
    await sink.tick()
    await upkeep_idle(sink)
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
        await upkeep_idle(sink)
    asked: list[Path] = []
    real = Manifests.write

    def noted(manifests: Manifests, path: Path, *rest: Any) -> Manifest | None:
        asked.append(path)
        return real(manifests, path, *rest)

    monkeypatch.setattr(Manifests, "write", noted)
    for _ in range(3):
        await sink.tick()
        await files.clock.advance(60)
        await upkeep_idle(sink)
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
    await upkeep_idle(sink)
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
    begun, release = threading.Event(), threading.Event()
    later: list[Path] = []
    released: list[bool] = []

    def hang(manifests: Manifests) -> None:
        begun.set()
        released.append(release.wait(FAR))

    sink = await files.opened()
    await upkeep_idle(sink)
    left = files.directory / "clicks-zzz-20240101T000000.000Z.ndjson"
    left.write_bytes(event_line(2))
    await sink.commit(batch_of(1))
    with monkeypatch.context() as patch:
        patch.setattr(Manifests, "settle", hang)
        patch.setattr(Manifests, "write", lambda manifests, path, *rest: later.append(path))
        sink._upkeep.look()
        await until(begun.is_set)
        patch.setattr(NdjsonFile, "finish", failing(errno.EIO))
        with pytest.raises(SinkError):
            await sink.close()
        release.set()
        for thread in sink._upkeep._thread._threads:
            thread.join(FAR)
    assert released == [True], "the end came before it gave up"
    assert later == []


async def until(reached: Callable[[], bool]) -> None:
    while not reached():
        await asyncio.sleep(0.001)


def large(monkeypatch: pytest.MonkeyPatch, size: int = 1000) -> None:
    """Files of more bytes are large ones."""
    monkeypatch.setattr(upkeep, "SMALL", size)


async def test_a_large_file_of_a_crash_does_not_keep_events_waiting(
    files: Files, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever its size: it is recovered beside, and status and log say how far that is."""
    large(monkeypatch)
    files.directory.mkdir()
    left, small = orphan(files, "zzz", 1), orphan(files, "aaa", 2)
    left.write_bytes(b"".join(event_line(number) for number in range(3000)))
    going, seen = threading.Event(), threading.Event()
    real = recovery.RecoveryProgress.add

    def held(progress: recovery.RecoveryProgress, size: int) -> None:
        real(progress, size)
        if size:
            seen.set()
            assert going.wait(FAR)

    monkeypatch.setattr(recovery.RecoveryProgress, "add", held)
    with caplog.at_level(logging.INFO):
        sink = await files.opened()
        assert (left.exists(), small.exists()) == (True, False)
        await sink.commit(batch_of(10_000))
        await until(seen.is_set)
        assert re.fullmatch(rf"{left.name}: 4\d %", sink.snapshot().status["file"]["recovering"])
        await files.clock.advance(10)
        going.set()
        await upkeep_idle(sink)
    assert not left.exists()
    assert "recovering" not in sink.snapshot().status["file"]
    assert sink.snapshot().metrics["files_recovered"] == 2
    (said,) = [record for record in caplog.records if record.message == "still recovering"]
    assert re.fullmatch(rf"{left.name}: \d\d %", vars(said)["progress"])
    await sink.close()


async def test_what_takes_long_is_left_to_the_next_start_and_what_is_short_is_not(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    large(monkeypatch, 5000)
    monkeypatch.setattr(scan, "_CHUNK", 4096)
    files.directory.mkdir()
    left, small = orphan(files, "zzz", 1), files.directory / "clicks-aaa-20240101T000000.000Z.ndjson"
    left.write_bytes(b"".join(event_line(number) for number in range(100)))
    small.write_bytes(event_line(2))
    begun, going = threading.Event(), threading.Event()

    def held(progress: recovery.RecoveryProgress, size: int) -> None:
        begun.set()
        assert going.wait(FAR)

    monkeypatch.setattr(recovery.RecoveryProgress, "add", held)
    sink = await files.opened(compress="zstd", rotate_bytes="10MiB")
    await until(begun.is_set)
    await sink.commit(batch_of(*range(100)))
    await close_while(sink, begun, going)
    assert left.exists(), "the recovery was given up"
    assert files.names(".zst") == [f"{small.name}.zst"]
    own = [name for name in files.names(".ndjson") if name.startswith("clicks-one")]
    assert len(own) == 1, "too large to be compressed now"
    assert (files.directory / f"{own[0]}.manifest").exists()
    again = await files.opened(compress="zstd")
    await upkeep_idle(again)
    assert files.names(".ndjson") == []
    assert len(files.names(".zst")) == 3
    await again.close()


async def close_while(sink: FileSink, begun: threading.Event, going: threading.Event) -> None:
    """Close the sink while a piece of upkeep, which `begun` and waits to be `going`, is under way."""
    await until(begun.is_set)
    ending = asyncio.create_task(sink.close())
    await until(lambda: sink._upkeep._leaving)
    going.set()
    await ending


async def test_the_end_does_not_wait_for_many_files_that_were_left(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "FEW", 3)
    begun, going = threading.Event(), threading.Event()

    def held(manifests: Manifests) -> None:
        begun.set()
        assert going.wait(FAR)

    monkeypatch.setattr(Manifests, "settle", held)
    files.directory.mkdir()
    for number in range(10):
        (files.directory / f"clicks-zzz-20240101T000000.{number:03d}Z.ndjson").write_bytes(event_line(number))
    await close_while(await files.opened(), begun, going)
    assert len(list(files.directory.glob("*.manifest"))) == 3


async def test_retention_ends_with_the_file_it_is_at(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stop in the middle of 20,000 removals does not wait for them."""
    files.directory.mkdir()
    for number in range(10):
        (files.directory / f"clicks-zzz-20240101T000000.{number:03d}Z.ndjson").write_bytes(event_line(number))
    begun, going = threading.Event(), threading.Event()

    def held(manifests: Manifests, path: Path, now: float) -> None:
        begun.set()
        assert going.wait(FAR)

    monkeypatch.setattr(Manifests, "mark_removed", held)
    await close_while(await files.opened(keep_bytes="1B", manifest=False), begun, going)
    assert len(files.names(".ndjson")) == 9


async def test_a_file_is_not_compressed_while_another_is_at_its_manifest(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is, holds its lock. Compressed first, it would not be compared with what was written."""
    sink = await files.opened(compress="zstd")
    await upkeep_idle(sink)
    path = files.directory / "clicks-zzz-20240101T000000.000Z.ndjson"
    path.write_bytes(event_line(1))
    real = Manifests.write

    def held(manifests: Manifests, one: Path, *rest: Any) -> Manifest | None:
        with one.open("rb") as theirs:
            assert durable.try_lock(theirs.fileno())
            return real(manifests, one, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(Manifests, "write", held)
        sink._upkeep.look()
        await upkeep_idle(sink)
    assert files.names(".zst") == []
    sink._upkeep.look()
    await upkeep_idle(sink)
    assert files.names(".zst") == [f"{path.name}.zst"]
    assert path.with_name(f"{path.name}.manifest").exists()
    await sink.close()


# retention


async def test_nothing_but_finished_files_of_the_prefix_is_ever_removed(files: Files) -> None:
    files.directory.mkdir()
    for name in (*NOT_OURS, "clicks-a-2.ndjson"):
        finished(files.directory, name, age=10**6)
    (files.directory / "clicks-directory.ndjson").mkdir()
    before = set(os.listdir(files.directory))
    sink = await files.opened("other", keep_bytes="1B", keep_days=1, manifest=False)
    await upkeep_idle(sink)
    gone = before - set(os.listdir(files.directory))
    assert gone == {"clicks-a-2.ndjson", "clicks-a-1.ndjson.open", "clicks-a-1.ndjson.zst.tmp"}
    assert files.names(".bad") == ["clicks-a-1.ndjson.bad"], "the open file was one of a crash, and recovered"
    await sink.close()


async def test_a_removal_is_in_the_manifest_before_the_file_goes(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, bool]] = []
    real = Manifests.mark_removed

    def noted(manifests: Manifests, path: Path, now: float) -> None:
        told.append((path.name, path.exists()))
        real(manifests, path, now)

    monkeypatch.setattr(Manifests, "mark_removed", noted)
    sink = await files.opened(keep_bytes="300B")
    for number in range(3):
        await sink.commit(batch_of(number))
        await sink.rotate()
    names = files.names(".ndjson")
    sink._upkeep.look()
    await upkeep_idle(sink)
    assert told == [(name, True) for name in names[:2]]
    assert files.names(".ndjson") == names[2:]
    await sink.close()


async def test_a_damaged_manifest_stops_no_removal_and_is_named(
    files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    sink = await files.opened(keep_bytes="250B")
    for number in range(4):
        await sink.commit(batch_of(number))
        await sink.rotate()
        await upkeep_idle(sink)
    damaged = files.directory / f"{files.names('.ndjson')[0]}.manifest"
    damaged.write_bytes(b"")
    sink._upkeep.look()
    await upkeep_idle(sink)
    assert len(files.names(".ndjson")) == 1
    assert damaged.name in [vars(record).get("file") for record in caplog.records]
    await sink.close()


async def test_a_file_that_cannot_be_removed_keeps_no_other(
    files: Files, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sink = await files.opened(keep_bytes="250B")
    for number in range(4):
        await sink.commit(batch_of(number))
        await sink.rotate()
        await upkeep_idle(sink)
    first = files.names(".ndjson")[0]
    real = os.remove

    def guarded(path: Path) -> None:
        if path.name == first:
            raise PermissionError(errno.EPERM, "Operation not permitted")
        real(path)

    monkeypatch.setattr(os, "remove", guarded)
    monkeypatch.setattr(aiofiles.os, "remove", aiofiles.os.wrap(guarded))
    sink._upkeep.look()
    await upkeep_idle(sink)
    assert len(files.names(".ndjson")) == 2
    assert first in [vars(record).get("file") for record in caplog.records]
    await sink.close()
