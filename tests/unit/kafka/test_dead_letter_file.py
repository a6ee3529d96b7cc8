"""The file of dead letters: each a whole line, durable, whatever a crash or a failing disk left before it."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import orjson
import pytest

from ingestd.cli.replay_files import event_of
from ingestd.kafka.dead_letter_file import DeadLetterFile
from ingestd.kafka.records import Record
from tests.support.filing import failing

EVENT = b'{"v":1,"id":"018f2b2e-0000-7000-8000-000000000001","note":"\xe6\x8a\x96 \\"event\\":"}'


def record(value: bytes = EVENT) -> Record:
    return Record("demo", "clicks", b"k", value, 1, [])


@pytest.fixture
def letters(tmp_path: Path) -> DeadLetterFile:
    return DeadLetterFile(tmp_path / "dead", "0")


def written(tmp_path: Path) -> list[bytes]:
    (path,) = (tmp_path / "dead").iterdir()
    return path.read_bytes().split(b"\n")


def test_a_letter_holds_reason_topic_and_the_event_byte_for_byte(
    letters: DeadLetterFile, tmp_path: Path
) -> None:
    """And replay gets the event out of it again."""
    letters.write([record()], 'too "large"')
    line, end = written(tmp_path)
    letter = orjson.loads(line)
    assert (letter["reason"], letter["topic"], end) == ('too "large"', "clicks", b"")
    assert event_of(line) == EVENT
    (path,) = (tmp_path / "dead").iterdir()
    assert path.name.startswith("dead-0-")
    assert path.stat().st_mode & 0o777 == 0o640
    assert path.parent.stat().st_mode & 0o777 == 0o750


def test_a_letter_says_when_it_was_written_and_its_file_the_day(
    letters: DeadLetterFile, tmp_path: Path
) -> None:
    began = time.time()
    letters.write([record()], "why")
    ended = time.time()
    at = orjson.loads(written(tmp_path)[0])["at"]
    assert int(began * 1000) <= at <= ended * 1000
    days = {time.strftime("%Y%m%d", time.gmtime(moment)) for moment in (began, ended)}
    assert {path.name for path in (tmp_path / "dead").iterdir()} <= {f"dead-0-{day}.ndjson" for day in days}


def test_a_link_in_the_file_s_place_is_not_followed(letters: DeadLetterFile, tmp_path: Path) -> None:
    letters.write([record()], "one")
    (path,) = (tmp_path / "dead").iterdir()
    path.rename(tmp_path / "other")
    path.symlink_to(tmp_path / "other")
    with pytest.raises(OSError, match="symbolic links"):
        letters.write([record()], "two")


def test_nothing_stays_open_whether_it_is_written_or_not(
    letters: DeadLetterFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = os.listdir("/proc/self/fd")
    letters.write([record()], "one")
    monkeypatch.setattr(os, "fdatasync", failing(errno.ENOSPC))
    with pytest.raises(OSError, match="No space left"):
        letters.write([record()], "two")
    assert os.listdir("/proc/self/fd") == before


def test_letters_are_added_to_the_day_s_file(letters: DeadLetterFile, tmp_path: Path) -> None:
    """One after another, in order."""
    letters.write([record(), record()], "first")
    letters.write([record()], "second")
    assert [orjson.loads(line)["reason"] for line in written(tmp_path)[:-1]] == ["first", "first", "second"]


def test_a_line_that_a_crash_tore_does_not_take_the_next_letter_with_it(
    letters: DeadLetterFile, tmp_path: Path
) -> None:
    """The torn one is no event, and said to be none; the new one stands on a line of its own."""
    letters.write([record()], "before")
    (path,) = (tmp_path / "dead").iterdir()
    with path.open("ab") as file:
        file.write(b'{"reason":"torn","topic":"cl')
    letters.write([record()], "after")
    before, torn, after, end = written(tmp_path)
    assert [event_of(before), event_of(torn), event_of(after), end] == [EVENT, None, EVENT, b""]


def test_a_letter_that_cannot_be_synced_is_taken_back(
    letters: DeadLetterFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or it would be there twice once it is tried again."""
    letters.write([record()], "before")

    def failing(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", failing)
        with pytest.raises(OSError, match="Input/output"):
            letters.write([record()], "lost")
    letters.write([record()], "after")
    assert [orjson.loads(line)["reason"] for line in written(tmp_path)[:-1]] == ["before", "after"]


def test_a_file_is_durable_in_its_directory_whoever_made_it(
    letters: DeadLetterFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its name is synced once by each process: the one that made it may have been killed before that."""
    synced: list[Path] = []
    monkeypatch.setattr("ingestd.system.durable.fsync_directory", synced.append)
    letters.write([record()], "one")
    assert synced == [tmp_path.parent, tmp_path, tmp_path / "dead"]
    letters.write([record()], "two")
    assert synced == [tmp_path.parent, tmp_path, tmp_path / "dead"]
    DeadLetterFile(tmp_path / "dead", "0").write([record()], "three")
    assert synced[3:] == [tmp_path, tmp_path / "dead"]


def test_the_directory_is_made_wherever_it_is_to_be(tmp_path: Path) -> None:
    DeadLetterFile(tmp_path / "of" / "clicks" / "dead", "0").write([record()], "one")
    assert len(list((tmp_path / "of" / "clicks" / "dead").iterdir())) == 1
