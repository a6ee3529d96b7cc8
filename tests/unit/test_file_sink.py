"""The file sink: rotation by size, age and call; what it does when the disk does not; several instances."""

from __future__ import annotations

import errno
import itertools
import logging
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ingestd import config, fsutil
from ingestd.errors import SinkError
from ingestd.sinks import recovery
from ingestd.sinks.file import FileSink
from tests.support.fakes import FakeClock, event_line, run
from tests.unit.sinks_under_test import batch_of, read_files


class Files:
    """A directory, a clock, and sinks over them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.clock = FakeClock()
        self.wall = 1_718_000_000.0
        self._moments = itertools.count()

    def sink(self, instance: str = "one", **settings: Any) -> FileSink:
        parsed = config.File.model_validate({"directory": self.directory, **settings})
        return FileSink(parsed, instance, self.clock.now, lambda: self.wall + next(self._moments))

    async def opened(self, instance: str = "one", **settings: Any) -> FileSink:
        sink = self.sink(instance, **settings)
        await sink.open()
        return sink

    def names(self, ending: str = "") -> list[str]:
        names = [path.name for path in self.directory.iterdir() if path.name.endswith(ending)]
        return sorted(name for name in names if ".manifest" not in name and ".chain" not in name)

    def finished(self) -> int:
        return len(self.names(".ndjson"))


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path / "clicks")


def failing(number: int) -> Callable[..., None]:
    def fail(*arguments: object, **named: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


# rotation


def test_a_file_is_rotated_when_it_has_reached_its_size(files: Files) -> None:
    async def main() -> list[int]:
        sink = await files.opened(rotate_bytes="1000B")
        seen = []
        for number in range(12):
            await sink.commit(batch_of(number, size=250))
            seen.append(files.finished())
        await sink.close()
        return seen

    size = len(event_line(0, 250))
    each = -(-1000 // size)
    assert run(main()) == [(number + 1) // each for number in range(12)]
    assert b"".join(read_files(files.directory)) == b"".join(event_line(number, 250) for number in range(12))


def test_a_file_is_rotated_when_it_is_old_enough_and_not_before(files: Files) -> None:
    async def main() -> None:
        sink = await files.opened(rotate_every="1h")
        await sink.commit(batch_of(1))
        await files.clock.advance(3599)
        await sink.tick()
        assert files.finished() == 0
        await files.clock.advance(1)
        await sink.tick()
        assert files.finished() == 1
        await sink.commit(batch_of(2))
        await files.clock.advance(3599)
        await sink.tick()
        assert files.finished() == 1  # the new file has its own hour
        await sink.close()

    run(main())


def test_an_old_file_with_nothing_in_it_is_not_finished(files: Files) -> None:
    async def main() -> None:
        sink = await files.opened(rotate_every="1h")
        for _ in range(5):
            await files.clock.advance(4000)
            await sink.tick()
        await sink.commit(batch_of(1))
        await sink.close()

    run(main())
    assert read_files(files.directory) == [event_line(1)]


def test_a_file_is_rotated_when_it_is_told_to(files: Files) -> None:
    async def main() -> None:
        sink = await files.opened()
        await sink.commit(batch_of(1))
        await sink.rotate()
        assert files.names() == files.names(".ndjson")
        assert files.finished() == 1
        await sink.commit(batch_of(2))
        await sink.close()

    run(main())
    assert read_files(files.directory) == [event_line(1), event_line(2)]


def test_file_names_say_prefix_instance_and_start(files: Files) -> None:
    async def main() -> None:
        sink = await files.opened("web-3", prefix="impressions")
        await sink.commit(batch_of(1))
        await sink.close()

    run(main())
    [name] = files.names()
    assert re.fullmatch(r"impressions-web-3-2024061\dT\d{6}\.\d{3}Z\.ndjson", name)


def test_a_directory_that_is_missing_is_made(files: Files) -> None:
    async def main() -> None:
        sink = await files.opened()
        await sink.close()

    run(main())
    assert files.directory.is_dir()
    assert files.directory.stat().st_mode & 0o007 == 0


@pytest.mark.parametrize("method", ["gzip", "zstd"])
def test_finished_files_are_compressed_also_those_an_earlier_process_left(method: str, files: Files) -> None:
    async def main() -> None:
        plain = await files.opened(compress="none")
        await plain.commit(batch_of(1))
        await plain.close()
        sink = await files.opened(compress=method)
        await sink.commit(batch_of(2))
        await sink.close()  # waits for what is under way

    run(main())
    assert files.names(".ndjson") == []
    assert read_files(files.directory) == [event_line(1), event_line(2)]


def test_retention_runs_about_once_a_minute(files: Files) -> None:
    async def main() -> None:
        sink = await files.opened(keep_days=1, rotate_every="10000d")
        old = files.directory / "clicks-gone-20200101T000000.000Z.ndjson"
        for moment, left in ((0, False), (59, True), (60, False)):
            old.write_bytes(b"x")
            os.utime(old, (1, 1))
            files.clock.seconds = 1000.0 + moment
            await sink.tick()
            await sink.rotate()
            await _keeper_idle(sink)
            assert old.exists() is left
        assert sink.counters()["files_removed"] == 2
        await sink.close()

    run(main())


async def _keeper_idle(sink: FileSink) -> None:
    """Wait until all that was handed to the keeper's thread is done."""
    sink._keeper.submit(int).result()


# the disk fails


def test_after_a_failed_sync_the_file_is_not_written_to_again(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        sink = await files.opened()
        await sink.commit(batch_of(1))
        with monkeypatch.context() as patch:
            patch.setattr(os, "fdatasync", failing(errno.EIO))
            with pytest.raises(SinkError, match="Input/output error"):
                await sink.commit(batch_of(2))
        await sink.probe()
        await sink.commit(batch_of(3))
        await sink.close()

    run(main())
    assert read_files(files.directory) == [event_line(1), event_line(3)]  # two files


def test_a_write_cut_short_by_a_full_disk_leaves_no_half_line(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.write

    def half(fd: int, data: bytes) -> int:
        if len(data) > 100:
            return real(fd, bytes(data[:50]))
        raise OSError(errno.ENOSPC, "No space left on device")

    async def main() -> None:
        sink = await files.opened()
        await sink.commit(batch_of(1))
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", half)
            patch.setattr(fsutil, "write_all", _write_all_with(half))
            with pytest.raises(SinkError, match="No space left"):
                await sink.commit(batch_of(2))
        await sink.probe()
        await sink.close()

    run(main())
    assert read_files(files.directory) == [event_line(1)]
    assert files.names(".bad") == []


def _write_all_with(write: Callable[[int, bytes], int]) -> Callable[[int, bytes], None]:
    def write_all(fd: int, data: bytes) -> None:
        while data:
            data = data[write(fd, data) :]

    return write_all


def test_where_even_cutting_fails_the_half_line_goes_to_bad(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        sink = await files.opened()
        await sink.commit(batch_of(1))
        with monkeypatch.context() as patch:
            patch.setattr(fsutil, "write_all", lambda fd, data: os.write(fd, data[:50]))
            patch.setattr(os, "fdatasync", failing(errno.EIO))
            patch.setattr(os, "ftruncate", failing(errno.EIO))
            with pytest.raises(SinkError):
                await sink.commit(batch_of(2))
        await sink.probe()
        await sink.close()

    run(main())
    assert read_files(files.directory) == [event_line(1)]
    [bad] = files.names(".bad")
    assert (files.directory / bad).read_bytes() == event_line(2)[:50]


def test_a_file_that_cannot_be_finished_is_tried_again_at_the_next_tick(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        sink = await files.opened(rotate_every="1h")
        await sink.commit(batch_of(1))
        await files.clock.advance(3600)
        with monkeypatch.context() as patch:
            patch.setattr(os, "link", failing(errno.EROFS))
            await sink.tick()
        assert (files.finished(), sink.counters()["file_errors"]) == (0, 1)
        await sink.commit(batch_of(2))  # the file is as good as before
        await sink.tick()
        assert files.finished() == 1
        await sink.close()

    run(main())
    assert read_files(files.directory) == [event_line(1) + event_line(2)]


def test_a_batch_counts_even_if_the_file_cannot_be_finished_after_it(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        sink = await files.opened(rotate_bytes="100B")
        with monkeypatch.context() as patch:
            patch.setattr(os, "link", failing(errno.EROFS))
            await sink.commit(batch_of(1))
            await sink.commit(batch_of(2))
        await sink.commit(batch_of(3))
        await sink.close()

    run(main())
    assert read_files(files.directory) == [event_line(1) + event_line(2) + event_line(3)]


def test_a_file_with_its_final_name_is_never_written_to(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its name was given, only the directory could not be synced: readers may have it already."""

    async def main() -> None:
        sink = await files.opened()
        await sink.commit(batch_of(1))
        with monkeypatch.context() as patch:
            patch.setattr(fsutil, "fsync_directory", failing(errno.EIO))
            await sink.rotate()
        [name] = files.names(".ndjson")
        before = (files.directory / name).read_bytes()
        await sink.commit(batch_of(2))
        await sink.rotate()
        assert (files.directory / name).read_bytes() == before == event_line(1)
        assert files.finished() == 2
        await sink.close()

    run(main())


def test_a_last_file_that_cannot_be_finished_is_an_error_and_stays_for_the_next_start(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
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

    run(main())
    assert read_files(files.directory) == [event_line(1)]


def test_a_directory_that_cannot_be_made_is_an_error_in_words(files: Files) -> None:
    files.directory.write_bytes(b"a file of that name")
    with pytest.raises(SinkError, match="File exists"):
        run(files.opened())


# starting after a crash


def leave_open(files: Files, instance: str, data: bytes) -> Path:
    files.directory.mkdir(exist_ok=True)
    path = files.directory / f"clicks-{instance}-20240101T000000.000Z.ndjson.open"
    path.write_bytes(data)
    return path


def test_what_any_instance_left_open_is_finished_at_the_start(
    files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    leave_open(files, "one", event_line(1) + event_line(2)[:40])
    leave_open(files, "two", event_line(3))

    async def main() -> dict[str, float]:
        sink = await files.opened()
        counters = sink.counters()
        await sink.close()
        return counters

    with caplog.at_level(logging.WARNING):
        counters = run(main())
    assert (counters["files_recovered"], counters["bad_bytes"]) == (2, 40)
    assert read_files(files.directory) == [event_line(1), event_line(3)]
    assert [record.message for record in caplog.records] == ["finished a file a crash had left open"] * 2


def test_one_file_that_cannot_be_recovered_does_not_keep_the_daemon_from_starting(
    files: Files, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bad = leave_open(files, "damaged", event_line(1))
    leave_open(files, "well", event_line(2))
    real = recovery.recover

    def unreadable(path: Path) -> recovery.Recovered | None:
        if path == bad:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(recovery, "recover", unreadable)

    async def main() -> None:
        sink = await files.opened()
        await sink.commit(batch_of(3))
        assert sink.counters()["file_errors"] == 1
        await sink.close()

    with caplog.at_level(logging.ERROR):
        run(main())
    assert bad.read_bytes() == event_line(1)  # as it was
    assert files.finished() == 2
    assert bad.name in str([vars(record) for record in caplog.records])


def test_junk_in_the_directory_is_no_trouble(files: Files) -> None:
    files.directory.mkdir()
    (files.directory / "clicks-x-1.ndjson.open").mkdir()
    (files.directory / "clicks-y-1.ndjson").mkdir()
    (files.directory / "clicks-\udcff.ndjson.open").write_bytes(b"junk")
    (files.directory / "README").write_bytes(b"hello")
    (files.directory / "clicks-z-1.ndjson").symlink_to("nowhere")

    async def main() -> None:
        sink = await files.opened(compress="zstd", keep_bytes="1B")
        await sink.commit(batch_of(1))
        await sink.tick()
        await sink.close()

    run(main())


# several instances


def test_instances_share_a_directory_and_leave_one_another_alone(files: Files) -> None:
    async def main() -> None:
        first = await files.opened("one")
        await first.commit(batch_of(1))
        second = await files.opened("two")
        await second.commit(batch_of(2))
        same = await files.opened("one")  # by mistake, or while the old one still drains
        await same.commit(batch_of(3))
        await first.commit(batch_of(4))
        await second.probe()
        for sink in (first, second, same):
            await sink.close()

    run(main())
    assert sorted(read_files(files.directory)) == [
        event_line(1) + event_line(4),
        event_line(2),
        event_line(3),
    ]
    assert files.names(".bad") == []


def test_a_sink_tells_its_file_and_its_size(files: Files) -> None:
    async def main() -> None:
        sink = await files.opened()
        await sink.commit(batch_of(1))
        await files.clock.advance(5)
        status = sink.status()["file"]
        assert status["file"] == files.names(".open")[0]
        assert status["file_bytes"] == sink.gauges()["file_open_bytes"] == len(event_line(1))
        assert status["file_age_seconds"] == 5.0
        await sink.rotate()
        assert sink.status()["file"]["file"] is None
        assert (sink.gauges()["file_open_bytes"], sink.counters()["files_finished"]) == (0, 1)
        await sink.close()

    run(main())
