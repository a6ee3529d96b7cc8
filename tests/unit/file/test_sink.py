"""The file sink: rotation by size, age and call; starting after a crash; several instances."""

from __future__ import annotations

import errno
import logging
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from ingestd.file import recovery
from tests.support.fakes import event_line
from tests.support.filing import Files
from tests.support.sinks_under_test import batch_of, read_files

# rotation


async def test_a_file_is_rotated_when_it_has_reached_its_size(files: Files) -> None:
    size = len(event_line(0, 250))
    each = -(-1000 // size)
    sink = await files.opened(rotate_bytes="1000B")
    seen = []
    for number in range(12):
        await sink.commit(batch_of(number, size=250))
        seen.append(files.finished())
    await sink.close()
    assert seen == [(number + 1) // each for number in range(12)]
    assert b"".join(read_files(files.directory)) == b"".join(event_line(number, 250) for number in range(12))


async def test_a_file_is_rotated_when_it_is_old_enough_and_not_before(files: Files) -> None:
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


async def test_an_old_file_with_nothing_in_it_is_not_finished(files: Files) -> None:
    sink = await files.opened(rotate_every="1h")
    for _ in range(5):
        await files.clock.advance(4000)
        await sink.tick()
    await sink.commit(batch_of(1))
    await sink.close()
    assert read_files(files.directory) == [event_line(1)]


async def test_a_file_is_rotated_when_it_is_told_to(files: Files) -> None:
    sink = await files.opened()
    await sink.commit(batch_of(1))
    await sink.rotate()
    assert files.names() == files.names(".ndjson")
    assert files.finished() == 1
    await sink.commit(batch_of(2))
    await sink.close()
    assert read_files(files.directory) == [event_line(1), event_line(2)]


async def test_file_names_say_prefix_instance_and_start(files: Files) -> None:
    sink = await files.opened("web-3", prefix="impressions")
    await sink.commit(batch_of(1))
    await sink.close()
    [name] = files.names()
    assert re.fullmatch(r"impressions-web-3-2024061\dT\d{6}\.\d{3}Z\.ndjson", name)


async def test_a_directory_that_is_missing_is_made(files: Files) -> None:
    sink = await files.opened()
    await sink.close()
    assert files.directory.is_dir()
    assert files.directory.stat().st_mode & 0o007 == 0


@pytest.mark.parametrize("method", ["gzip", "zstd"])
async def test_finished_files_are_compressed_also_those_an_earlier_process_left(
    method: str, files: Files
) -> None:
    plain = await files.opened(compress="none")
    await plain.commit(batch_of(1))
    await plain.close()
    sink = await files.opened(compress=method)
    await sink.commit(batch_of(2))
    await sink.close()  # waits for what is under way
    assert files.names(".ndjson") == []
    assert read_files(files.directory) == [event_line(1), event_line(2)]


async def test_the_directory_is_looked_after_once_a_minute(files: Files) -> None:
    sink = await files.opened(keep_days=1, rotate_every="10000d")
    await sink._upkeep.idle()
    old = files.directory / "clicks-gone-20200101T000000.000Z.ndjson"
    recent = files.directory / "clicks-recent-20200101T000000.000Z.ndjson"
    for moment, left in ((59, True), (60, False), (119, True), (120, False)):
        for path, written in ((old, 1.0), (recent, files.wall - 7200)):
            path.write_bytes(event_line(1))
            os.utime(path, (written, written))
        files.clock.seconds = 1000.0 + moment
        await sink.tick()
        await sink._upkeep.idle()
        assert old.exists() is left
    assert sink.snapshot().metrics["files_removed"] == 2
    await sink.close()


def leave_open(files: Files, instance: str, data: bytes) -> Path:
    files.directory.mkdir(exist_ok=True)
    path = files.directory / f"clicks-{instance}-20240101T000000.000Z.ndjson.open"
    path.write_bytes(data)
    return path


async def test_what_any_instance_left_open_is_finished_at_the_start(
    files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    leave_open(files, "one", event_line(1) + event_line(2)[:40])
    leave_open(files, "two", event_line(3))

    with caplog.at_level(logging.WARNING):
        sink = await files.opened()
        counters = sink.snapshot().metrics
        await sink.close()

    assert (counters["files_recovered"], counters["bad_bytes"]) == (2, 40)
    assert read_files(files.directory) == [event_line(1), event_line(3)]
    assert [record.message for record in caplog.records] == ["finished a file a crash had left open"] * 2


async def test_one_file_that_cannot_be_recovered_does_not_keep_the_daemon_from_starting(
    files: Files, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bad = leave_open(files, "damaged", event_line(1))
    leave_open(files, "well", event_line(2))
    real = recovery.recover

    def unreadable(path: Path, pause: Callable[[int], None]) -> recovery.Recovered | None:
        if path == bad:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path, pause)

    monkeypatch.setattr(recovery, "recover", unreadable)

    with caplog.at_level(logging.ERROR):
        sink = await files.opened()
        await sink.commit(batch_of(3))
        assert sink.snapshot().metrics["file_errors"] >= 1
        await sink.close()
    assert bad.read_bytes() == event_line(1)  # as it was
    assert files.finished() == 2
    assert bad.name in str([vars(record) for record in caplog.records])


async def test_junk_in_the_directory_is_no_trouble(files: Files) -> None:
    files.directory.mkdir()
    (files.directory / "clicks-x-1.ndjson.open").mkdir()
    (files.directory / "clicks-y-1.ndjson").mkdir()
    (files.directory / "clicks-\udcff.ndjson.open").write_bytes(b"junk")
    (files.directory / "README").write_bytes(b"hello")
    (files.directory / "clicks-z-1.ndjson").symlink_to("nowhere")

    sink = await files.opened(compress="zstd", keep_bytes="1B")
    await sink.commit(batch_of(1))
    await sink.tick()
    await sink.close()


# several instances


async def test_instances_share_a_directory_and_leave_one_another_alone(files: Files) -> None:
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
    assert sorted(read_files(files.directory)) == [
        event_line(1) + event_line(4),
        event_line(2),
        event_line(3),
    ]
    assert files.names(".bad") == []


async def test_a_sink_tells_its_file_and_its_size(files: Files) -> None:
    sink = await files.opened()
    await sink.commit(batch_of(1))
    await files.clock.advance(5)
    status = sink.snapshot().status["file"]
    assert status["file"] == files.names(".open")[0]
    assert status["file_bytes"] == sink.snapshot().metrics["file_open_bytes"] == len(event_line(1))
    assert status["file_age_seconds"] == 5.0
    await sink.rotate()
    assert sink.snapshot().status["file"]["file"] is None
    numbers = sink.snapshot().metrics
    assert (numbers["file_open_bytes"], numbers["files_finished"]) == (0, 1)
    await sink.close()
