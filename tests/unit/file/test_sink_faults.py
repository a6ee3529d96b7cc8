"""The file sink when the disk fails: nothing durable is lost, nothing failed is taken for stored."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable

import pytest

from ingestd.errors import SinkError
from ingestd.file import compression
from ingestd.file.ndjson import NdjsonFile
from ingestd.system import durable
from tests.support.fakes import event_line
from tests.support.filing import Files, failing
from tests.support.sinks_under_test import batch_of, read_files


async def test_after_a_failed_sync_the_file_is_not_written_to_again(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = await files.opened()
    await sink.commit(batch_of(1))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", failing(errno.EIO))
        with pytest.raises(SinkError, match="Input/output error"):
            await sink.commit(batch_of(2))
    await sink.probe()
    await sink.commit(batch_of(3))
    await sink.close()
    assert read_files(files.directory) == [event_line(1), event_line(3)]  # two files


async def test_a_write_cut_short_by_a_full_disk_leaves_no_half_line(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.write

    def half(fd: int, data: bytes) -> int:
        if len(data) > 100:
            return real(fd, bytes(data[:50]))
        raise OSError(errno.ENOSPC, "No space left on device")

    sink = await files.opened()
    await sink.commit(batch_of(1))
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", half)
        patch.setattr(durable, "write_all", _write_all_with(half))
        with pytest.raises(SinkError, match="No space left"):
            await sink.commit(batch_of(2))
    await sink.probe()
    await sink.close()
    assert read_files(files.directory) == [event_line(1)]
    assert files.names(".bad") == []


def _write_all_with(write: Callable[[int, bytes], int]) -> Callable[[int, bytes], None]:
    def write_all(fd: int, data: bytes) -> None:
        while data:
            data = data[write(fd, data) :]

    return write_all


async def test_where_even_cutting_fails_the_half_line_goes_to_bad(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = await files.opened()
    await sink.commit(batch_of(1))
    with monkeypatch.context() as patch:
        patch.setattr(durable, "write_all", lambda fd, data: os.write(fd, data[:50]))
        patch.setattr(os, "fdatasync", failing(errno.EIO))
        patch.setattr(os, "ftruncate", failing(errno.EIO))
        with pytest.raises(SinkError):
            await sink.commit(batch_of(2))
    await sink.probe()
    await sink.close()
    assert read_files(files.directory) == [event_line(1)]
    [bad] = files.names(".bad")
    assert (files.directory / bad).read_bytes() == event_line(2)[:50]


async def test_a_file_that_cannot_be_finished_is_tried_again_at_the_next_tick(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = await files.opened(rotate_every="1h")
    await sink.commit(batch_of(1))
    await files.clock.advance(3600)
    with monkeypatch.context() as patch:
        patch.setattr(os, "link", failing(errno.EROFS))
        await sink.tick()
    assert (files.finished(), sink.snapshot().metrics["file_errors"]) == (0, 1)
    await sink.commit(batch_of(2))  # the file is as good as before
    await sink.tick()
    assert files.finished() == 1
    await sink.close()
    assert read_files(files.directory) == [event_line(1) + event_line(2)]


async def test_a_batch_counts_even_if_the_file_cannot_be_finished_after_it(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = await files.opened(rotate_bytes="100B")
    with monkeypatch.context() as patch:
        patch.setattr(os, "link", failing(errno.EROFS))
        await sink.commit(batch_of(1))
        await sink.commit(batch_of(2))
    await sink.commit(batch_of(3))
    await sink.close()
    assert read_files(files.directory) == [event_line(1) + event_line(2) + event_line(3)]


async def test_a_file_with_its_final_name_is_never_written_to(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its name was given, only the directory could not be synced: readers may have it already."""

    sink = await files.opened()
    await sink.commit(batch_of(1))
    with monkeypatch.context() as patch:
        patch.setattr(durable, "fsync_directory", failing(errno.EIO))
        await sink.rotate()
    [name] = files.names(".ndjson")
    before = (files.directory / name).read_bytes()
    await sink.commit(batch_of(2))
    await sink.rotate()
    assert (files.directory / name).read_bytes() == before == event_line(1)
    assert files.finished() == 2
    await sink.close()


async def test_a_last_file_that_cannot_be_finished_is_an_error_and_stays_for_the_next_start(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = await files.opened()
    await sink.commit(batch_of(1))
    with monkeypatch.context() as patch:
        patch.setattr(os, "link", failing(errno.EROFS))
        with pytest.raises(SinkError, match="Read-only"):
            await sink.close()
    assert len(files.names(".open")) == 1
    os.close(sink._file._fd)  # type: ignore[union-attr]  # the process ends
    later = await files.opened()
    await later.close()
    assert read_files(files.directory) == [event_line(1)]


async def test_a_directory_that_cannot_be_made_is_an_error_in_words(files: Files) -> None:
    files.directory.write_bytes(b"a file of that name")
    with pytest.raises(SinkError, match="File exists"):
        await files.opened()


async def test_a_file_with_no_room_for_a_batch_is_given_up_and_another_made(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the probe tries is a whole batch's room."""

    sink = await files.opened()
    await sink.commit(batch_of(1))
    with monkeypatch.context() as patch:
        patch.setattr(NdjsonFile, "reserve", failing(errno.ENOSPC))
        with pytest.raises(SinkError, match="No space left"):
            await sink.probe()
    await sink.probe()
    await sink.commit(batch_of(2))
    await sink.close()
    assert read_files(files.directory) == [event_line(1), event_line(2)]
    assert files.names(".open") == []


@pytest.mark.parametrize("part", ["manifests.Manifests.settle", "listing.unfinished", "listing.finished"])
async def test_what_upkeep_cannot_do_is_counted_and_keeps_no_event(
    files: Files, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    """It is tried again a minute later."""
    monkeypatch.setattr(f"ingestd.file.{part}", failing(errno.EIO))
    sink = await files.opened(keep_days=1)
    await sink._upkeep.idle()
    assert sink.snapshot().metrics["file_errors"] == 1
    await sink.commit(batch_of(1))
    await sink.close()
    assert read_files(files.directory) == [event_line(1)]


async def test_a_bug_in_the_upkeep_is_logged_with_its_traceback(
    files: Files, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """And harms no event, nor the next round."""

    def wrong(*arguments: object, **named: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr("ingestd.file.manifests.Manifests.settle", wrong)
        sink = await files.opened()
        await sink._upkeep.idle()
    (told,) = [record for record in caplog.records if record.message == "bug in the upkeep of files"]
    assert told.exc_info
    left = files.directory / "clicks-zzz-20240101T000000.000Z.ndjson"
    left.write_bytes(event_line(2))
    await files.clock.advance(60)
    await sink.tick()
    await sink._upkeep.idle()
    assert left.with_name(f"{left.name}.manifest").exists()
    await sink.commit(batch_of(1))
    await sink.close()
    assert sorted(read_files(files.directory)) == [event_line(1), event_line(2)]


async def test_half_copies_of_a_crash_are_removed_at_the_start_and_named(
    files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    files.directory.mkdir()
    half = files.directory / "clicks-one-20240610T061320.123Z.ndjson.zst.tmp"
    half.write_bytes(b"half")

    with caplog.at_level(logging.WARNING):
        sink = await files.opened()
        await sink.close()
    assert not half.exists()
    assert [vars(record)["file"] for record in caplog.records] == [half.name]


async def test_half_copies_that_cannot_be_removed_do_not_keep_the_daemon_from_starting(
    files: Files, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(compression, "sweep", failing(errno.EIO))

    sink = await files.opened()
    await sink.commit(batch_of(1))
    await sink.close()
    assert sink.snapshot().metrics["file_errors"] == 1
    assert read_files(files.directory) == [event_line(1)]
    assert "remove half copies" in str([vars(record) for record in caplog.records])
