"""The open file removed, its directory moved, replaced or mounted over: noticed, refused, healed."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingestd.errors import SinkError
from ingestd.file.ndjson import NdjsonFile
from ingestd.file.sink import LOOK_PERIOD, FileSink
from tests.support.fakes import event_line
from tests.support.filing import Files, failing
from tests.support.needs import need_root
from tests.support.sinks_under_test import batch_of, read_files


async def refused(files: Files, sink: FileSink, number: int, why: str) -> None:
    """A commit is, once the time of a look has passed."""
    await files.clock.advance(LOOK_PERIOD)
    with pytest.raises(SinkError, match=why):
        await sink.commit(batch_of(number))


def the_open_file(files: Files) -> Path:
    [name] = files.names(".open")
    return files.directory / name


# the file


async def test_the_events_of_a_removed_file_are_saved(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    """Those from before it was removed, and those that were answered before that was noticed."""
    sink = await files.opened()
    await sink.commit(batch_of(1))
    the_open_file(files).unlink()
    await sink.commit(batch_of(2))
    await refused(files, sink, 3, "the open file is gone")
    await sink.probe()
    await sink.commit(batch_of(4))
    await sink.close()
    assert read_files(files.directory) == [event_line(1) + event_line(2) + event_line(4)]
    (said,) = [vars(one) for one in caplog.records if one.message == "the open file was not in its place"]
    assert (said["events"], said["saved"]) == (2, f"{files.names('.ndjson')[0]}.open")
    assert sink.snapshot().metrics["manifest_mismatches"] == 0


async def test_a_look_saves_them_without_a_commit(files: Files) -> None:
    sink = await files.opened()
    await sink.commit(batch_of(1))
    the_open_file(files).unlink()
    await sink.tick()
    assert the_open_file(files).read_bytes() == event_line(1)
    assert sink.snapshot().error == ""
    await sink.close()


@pytest.mark.parametrize("how", ["rotate", "close"])
async def test_a_file_that_was_removed_is_saved_when_it_is_to_be_finished(how: str, files: Files) -> None:
    sink = await files.opened()
    await sink.commit(batch_of(1))
    the_open_file(files).unlink()
    await (sink.rotate() if how == "rotate" else sink.close())
    assert read_files(files.directory) == [event_line(1)]
    if how == "rotate":
        await sink.close()


async def test_a_file_that_cannot_be_saved_is_kept_until_it_can(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full; as long as the file is open, its bytes are there."""
    sink = await files.opened()
    await sink.commit(batch_of(1))
    the_open_file(files).unlink()
    with monkeypatch.context() as patch:
        patch.setattr(NdjsonFile, "copy_from", failing(errno.ENOSPC))
        await refused(files, sink, 2, "is gone")
        for _ in range(3):
            with pytest.raises(SinkError, match="No space left"):
                await sink.probe()
        await sink.tick()
        assert "No space left" in sink.snapshot().error
        assert files.names() == []
    await sink.probe()
    await sink.close()
    assert read_files(files.directory) == [event_line(1)]


async def test_a_large_file_is_saved_whole(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingestd.file.ndjson._COPY", 1000)
    sink = await files.opened()
    await sink.commit(batch_of(*range(100)))
    the_open_file(files).unlink()
    await sink.tick()
    await sink.close()
    assert read_files(files.directory) == [b"".join(map(event_line, range(100)))]


async def test_a_file_that_was_renamed_is_left_as_it_is(files: Files) -> None:
    """Whoever did it has the events."""
    sink = await files.opened()
    await sink.commit(batch_of(1))
    renamed = the_open_file(files).rename(files.directory / "taken.ndjson")
    await refused(files, sink, 2, "the open file is gone")
    await sink.probe()
    await sink.commit(batch_of(3))
    await sink.close()
    assert renamed.read_bytes() == event_line(1)
    assert event_line(3) in read_files(files.directory)


async def test_a_file_in_the_place_of_ours_is_not_written_to(files: Files) -> None:
    sink = await files.opened()
    await sink.commit(batch_of(1))
    path = the_open_file(files)
    path.unlink()
    path.write_bytes(b"")
    await refused(files, sink, 2, "another one is in the place of the open file")
    await sink.probe()
    await sink.close()
    assert event_line(1) in read_files(files.directory)


# the directory


async def test_a_directory_that_was_moved_is_gone_on_with_when_it_is_back(
    files: Files, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sink = await files.opened()
    await sink.commit(batch_of(1))
    files.directory.rename(tmp_path / "elsewhere")
    await sink.commit(batch_of(2))  # not noticed yet: it is in the moved directory
    await refused(files, sink, 3, "the directory is gone")
    with pytest.raises(SinkError, match="put it back, or restart"):
        await sink.probe()
    await sink.tick()
    assert "the directory is gone" in sink.snapshot().error
    await sink.rotate()
    assert not files.directory.exists(), "it is not made again: another disk may belong there"
    (tmp_path / "elsewhere").rename(files.directory)
    await sink.tick()
    assert sink.snapshot().error == ""
    await sink.commit(batch_of(4))
    await sink.close()
    assert read_files(files.directory) == [event_line(1) + event_line(2) + event_line(4)]
    said = [one.message for one in caplog.records if "in their place" in one.message]
    assert said == ["the files are not in their place", "the files are in their place again"]


async def test_after_a_rotation_that_failed_nothing_is_taken(files: Files, tmp_path: Path) -> None:
    """Whenever the last look was."""
    sink = await files.opened()
    await sink.commit(batch_of(1))
    files.directory.rename(tmp_path / "elsewhere")
    await sink.rotate()
    with pytest.raises(SinkError, match="the directory is gone"):
        await sink.commit(batch_of(2))
    (tmp_path / "elsewhere").rename(files.directory)
    await sink.probe()
    await sink.close()


async def test_a_directory_that_was_made_again_is_taken_up(files: Files, tmp_path: Path) -> None:
    sink = await files.opened()
    await sink.commit(batch_of(1))
    files.directory.rename(tmp_path / "elsewhere")
    files.directory.mkdir()
    await refused(files, sink, 2, "another one is in the place of the directory")
    await sink.probe()
    await sink.commit(batch_of(3))
    await sink.close()
    assert read_files(tmp_path / "elsewhere") == [event_line(1)]
    assert read_files(files.directory) == [event_line(3)]


async def test_a_directory_that_was_deleted_is_waited_for_and_its_open_events_are_saved(files: Files) -> None:
    sink = await files.opened()
    await sink.commit(batch_of(1))
    shutil.rmtree(files.directory)
    await refused(files, sink, 2, "the directory is gone")
    files.directory.mkdir()
    await sink.tick()
    await sink.close()
    assert read_files(files.directory) == [event_line(1)]


async def test_the_end_without_the_directory_is_an_error_that_says_so(files: Files, tmp_path: Path) -> None:
    sink = await files.opened()
    await sink.commit(batch_of(1))
    files.directory.rename(tmp_path / "elsewhere")
    with pytest.raises(SinkError, match="the directory is gone"):
        await sink.close()


async def test_a_directory_that_cannot_be_looked_at_refuses(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = await files.opened()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "stat", failing(errno.EACCES))
        await refused(files, sink, 2, "Permission denied")
    await sink.commit(batch_of(3))
    await sink.close()


@pytest.fixture
def mountable() -> Iterator[list[Path]]:
    need_root()
    mounted: list[Path] = []
    yield mounted
    for path in mounted:
        subprocess.run(["umount", path], check=True)


async def test_a_directory_that_is_mounted_over_is_gone_on_with_when_it_is_back(
    files: Files, mountable: list[Path]
) -> None:
    """Nothing is written into the other file system, which goes away again."""
    sink = await files.opened()
    await sink.commit(batch_of(1))
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", files.directory], check=True)
    mountable.append(files.directory)
    await sink.commit(batch_of(2))
    await refused(files, sink, 3, "another file system is mounted over the directory")
    for _ in range(3):
        with pytest.raises(SinkError, match="mounted over"):
            await sink.probe()
    await sink.tick()
    assert os.listdir(files.directory) == []
    assert "mounted over" in sink.snapshot().error
    subprocess.run(["umount", mountable.pop()], check=True)
    await sink.tick()
    assert sink.snapshot().error == ""
    await sink.commit(batch_of(4))
    await sink.close()
    assert read_files(files.directory) == [event_line(1) + event_line(2) + event_line(4)]


async def test_what_is_in_its_place_is_looked_at_without_a_word(
    files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    sink = await files.opened()
    with caplog.at_level(logging.DEBUG):
        for number in range(2, 5):
            await files.clock.advance(1)
            await sink.tick()
            await sink.commit(batch_of(number))
    assert [one.message for one in caplog.records if one.name.endswith("file.sink")] == []
    await sink.close()
