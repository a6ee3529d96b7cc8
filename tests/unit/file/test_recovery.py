"""What a crash left open is finished: whole events stay, everything else is set aside, nothing is lost."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from ingestd.event import LINE_START
from ingestd.file import listing, recovery, scan
from ingestd.file.ndjson import NdjsonFile
from ingestd.file.recovery import Recovered, recover
from ingestd.system import durable
from tests.support.fakes import event_line
from tests.support.filing import failing

OPEN = "clicks-one-20240610T061320.123Z.ndjson.open"
GOOD = b"".join(event_line(number) for number in range(5))
LINES = [event_line(number) for number in range(5)]


def left_open(directory: Path, data: bytes) -> Path:
    path = directory / OPEN
    path.write_bytes(data)
    return path


def contents(directory: Path) -> dict[str, bytes]:
    """What is there, by the end of its name."""
    return {
        path.name.removeprefix(OPEN.removesuffix(".open")): path.read_bytes() for path in directory.iterdir()
    }


def recovered(directory: Path, data: bytes) -> Recovered:
    result = recover(left_open(directory, data))
    assert result is not None
    return result


def test_a_whole_file_is_finished_as_it_is(tmp_path: Path) -> None:
    result = recovered(tmp_path, GOOD)
    assert result[:2] == (tmp_path / OPEN.removesuffix(".open"), 0)
    assert contents(tmp_path) == {"": GOOD}


@pytest.mark.parametrize(
    "tail", [b"{", event_line(9)[:-1], event_line(9)[:100], b"\0", b"\n", b"bad\n", b"x"]
)
def test_a_torn_tail_goes_to_bad_and_the_rest_is_finished(tmp_path: Path, tail: bytes) -> None:
    result = recovered(tmp_path, GOOD + tail)
    assert result.bad_bytes == len(tail)
    assert contents(tmp_path) == {"": GOOD, ".bad": tail}


@pytest.mark.parametrize("cut", range(1, len(event_line(9))))
def test_a_line_torn_at_any_byte_is_set_aside_whole(tmp_path: Path, cut: int) -> None:
    recovered(tmp_path, GOOD + event_line(9)[:cut])
    assert contents(tmp_path) == {"": GOOD, ".bad": event_line(9)[:cut]}


@pytest.mark.parametrize(
    "damage",
    [
        b"\0" * 4096,
        b"\0" * 4096 + b"\n",
        event_line(9)[50:],
        event_line(9)[:50] + event_line(8),
        event_line(9).replace(b'","dup', b'"\xff\xfe"dup'),
        b"\n\n\n",
        b"{}\n",
        b'["an","array"]\n',
        LINE_START + b'01"}}\n',
    ],
    ids=[
        "zeros", "a line of zeros", "the end of a line", "two lines run together", "bytes that are no JSON",
        "empty lines", "another object", "an array", "what looks like an event from both ends",
    ],
)  # fmt: skip
def test_damage_in_mid_file_is_set_aside_and_the_events_around_it_stay(tmp_path: Path, damage: bytes) -> None:
    # Damage without a newline at its end takes the line behind it along: where that began is not known.
    behind = b"" if damage.endswith(b"\n") else LINES[3]
    result = recovered(tmp_path, b"".join(LINES[:3]) + damage + b"".join(LINES[3:]))
    assert result.bad_bytes == len(damage + behind)
    rest = b"".join(LINES[:3]) + b"".join(LINES[3:]).removeprefix(behind)
    assert contents(tmp_path) == {"": rest, ".bad": damage + behind}


def test_damage_in_several_places_is_set_aside_in_its_order(tmp_path: Path) -> None:
    recovered(
        tmp_path, b"one\n" + LINES[0] + b"two\n" + LINES[1] + LINES[2] + b"three\nfour\n" + LINES[3] + b"five"
    )
    assert contents(tmp_path) == {"": b"".join(LINES[:4]), ".bad": b"one\ntwo\nthree\nfour\nfive"}


def test_a_file_of_zeros_is_set_aside_and_nothing_is_finished(tmp_path: Path) -> None:
    result = recovered(tmp_path, b"\0" * 10_000)
    assert result[:2] == (None, 10_000)
    assert contents(tmp_path) == {".bad": b"\0" * 10_000}


def test_an_empty_file_is_removed(tmp_path: Path) -> None:
    assert recovered(tmp_path, b"")[:2] == (None, 0)
    assert contents(tmp_path) == {}


def test_room_that_was_reserved_and_not_used_is_set_aside(tmp_path: Path) -> None:
    recovered(tmp_path, GOOD + b"\0" * 100_000)
    assert contents(tmp_path) == {"": GOOD, ".bad": b"\0" * 100_000}


@pytest.mark.parametrize("chunk", [1, 7, 64, 4096])
def test_events_and_damage_are_told_apart_wherever_a_chunk_ends(
    tmp_path: Path, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "_CHUNK", chunk)
    recovered(
        tmp_path, LINES[0] + b"bad\n" + LINES[1] + LINES[2] + b"\0" * 300 + LINES[3] + LINES[4] + b'{"v"'
    )
    kept = LINES[0] + LINES[1] + LINES[2] + LINES[4]
    assert contents(tmp_path) == {"": kept, ".bad": b"bad\n" + b"\0" * 300 + LINES[3] + b'{"v"'}


def test_an_event_longer_than_a_chunk_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "_CHUNK", 1000)
    long = event_line(1, size=50_000)
    recovered(tmp_path, LINES[0] + long + LINES[1] + long[:-1])
    assert contents(tmp_path) == {"": LINES[0] + long + LINES[1], ".bad": long[:-1]}


@pytest.mark.parametrize("place", [1500, 20_000, -300])
def test_zeros_in_an_event_longer_than_a_chunk_are_found(
    place: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "_CHUNK", 1000)
    long = event_line(1, size=50_000)
    damaged = long[:place] + b"\0" * 100 + long[place:][100:]
    recovered(tmp_path, LINES[0] + damaged + LINES[1])
    assert contents(tmp_path) == {"": LINES[0] + LINES[1], ".bad": damaged}


def test_damage_of_any_length_is_read_in_bounded_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, largest = os.pread, [0]

    def watched(fd: int, size: int, place: int) -> bytes:
        largest[0] = max(largest[0], size)
        return real(fd, size, place)

    monkeypatch.setattr(scan, "_CHUNK", 1 << 16)
    monkeypatch.setattr(recovery, "_CHUNK", 1 << 16)
    monkeypatch.setattr(os, "pread", watched)
    recovered(tmp_path, GOOD + b"\0" * (1 << 20) + b"\n" + GOOD)
    assert largest[0] == 1 << 16
    assert contents(tmp_path)[""] == GOOD + GOOD


def test_a_file_that_has_its_final_name_already_only_loses_the_other(tmp_path: Path) -> None:
    """A crash between the link and the unlink of a rename."""
    path = left_open(tmp_path, GOOD)
    final = tmp_path / OPEN.removesuffix(".open")
    os.link(path, final)
    assert recover(path) == (final, 0, None)
    assert contents(tmp_path) == {"": GOOD}


def test_a_file_that_got_another_final_name_only_loses_the_first(tmp_path: Path) -> None:
    path = left_open(tmp_path, GOOD)
    (tmp_path / OPEN.removesuffix(".open")).write_bytes(b"another's\n")
    final = tmp_path / OPEN.replace(".ndjson.open", "-1.ndjson")
    os.link(path, final)
    assert recover(path) == (final, 0, None)
    assert (path.exists(), final.read_bytes()) == (False, GOOD)


def test_a_file_somebody_else_has_linked_is_finished_all_the_same(tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    backup.mkdir()
    path = left_open(tmp_path, GOOD)
    os.link(path, backup / "a-hard-link")
    result = recover(path)
    assert result is not None
    assert result.file is not None
    assert result.file.read_bytes() == GOOD


def test_a_finished_file_of_the_same_name_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / OPEN.removesuffix(".open")).write_bytes(b"another's\n")
    result = recovered(tmp_path, GOOD)
    assert result.file == tmp_path / OPEN.replace(".ndjson.open", "-1.ndjson")
    assert (tmp_path / OPEN.removesuffix(".open")).read_bytes() == b"another's\n"


def test_earlier_bad_bytes_are_kept(tmp_path: Path) -> None:
    bad = tmp_path / OPEN.replace(".open", ".bad")
    bad.write_bytes(b"earlier\n")
    recovered(tmp_path, GOOD + b"later")
    assert bad.read_bytes() == b"earlier\nlater"


def test_a_file_held_by_a_living_process_is_left_alone(tmp_path: Path) -> None:
    file = NdjsonFile.create(tmp_path, "clicks-one", 0o640, 1_718_000_000.0)
    file.append(GOOD + b"not yet whole")
    read, write = os.pipe()
    child = os.fork()
    if child == 0:  # the file's owner lives on here; the lock is the open file's, which both share
        os.close(write)
        os.read(read, 1)
        os._exit(0)
    os.close(file._fd)
    try:
        assert recover(file.path) is None
        assert file.path.read_bytes() == GOOD + b"not yet whole"
    finally:
        os.close(write)
        os.close(read)
        os.waitpid(child, 0)
    result = recover(file.path)  # its owner is gone
    assert result is not None
    assert result.bad_bytes == len(b"not yet whole")


def test_a_file_another_recovery_has_removed_meanwhile_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = left_open(tmp_path, GOOD)
    real = durable.try_lock

    def theirs_comes_first(fd: int) -> bool:
        monkeypatch.setattr(durable, "try_lock", real)
        path.rename(tmp_path / "finished by another")
        (tmp_path / "finished by another").unlink()
        return real(fd)

    monkeypatch.setattr(durable, "try_lock", theirs_comes_first)
    assert recover(path) is None
    assert contents(tmp_path) == {}


def test_a_file_that_is_gone_is_no_trouble(tmp_path: Path) -> None:
    assert recover(tmp_path / OPEN) is None


def test_only_open_files_of_the_prefix_are_found(tmp_path: Path) -> None:
    wanted = [tmp_path / f"clicks-{name}-20240610T061320.123Z.ndjson.open" for name in ("a", "b")]
    for path in wanted:
        path.touch()
    for name in (
        "clicks-a.ndjson",
        "clicks-a.ndjson.bad",
        "other-a.ndjson.open",
        "clicks-a.ndjson.open.tmp",
        "x",
    ):
        (tmp_path / name).touch()
    (tmp_path / "clicks-directory.ndjson.open").mkdir()
    assert listing.orphans(tmp_path, "clicks") == wanted


def test_damage_that_cannot_be_cut_out_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy without it is made beside it; a full disk ends that, and a later start does it."""
    path = tmp_path / "clicks-one-20240610T061320.123Z.ndjson.open"
    content = event_line(1) + b"damage\n" + event_line(2)
    path.write_bytes(content)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", failing(errno.ENOSPC))
        with pytest.raises(OSError, match="No space left"):
            recovery.recover(path)
    assert path.read_bytes() == content
    result = recovery.recover(path)
    assert result is not None
    assert result.file is not None
    assert result.file.read_bytes() == event_line(1) + event_line(2)


def test_a_file_that_shrinks_while_it_is_copied_is_an_error_and_no_short_copy(tmp_path: Path) -> None:
    """Somebody else is at it."""
    path = tmp_path / "short"
    path.write_bytes(b"1234")
    with path.open("rb") as file, pytest.raises(OSError, match="shrank under recovery at byte 4"):
        list(recovery._pieces(file.fileno(), 0, 10))


def test_a_copy_without_the_damage_has_the_file_s_mode(tmp_path: Path) -> None:
    """Who could read it still can, and nobody else."""
    path = left_open(tmp_path, event_line(1) + b"damage\n" + event_line(2))
    path.chmod(0o604)
    result = recover(path)
    assert result is not None
    assert result.file is not None
    assert result.file.stat().st_mode & 0o777 == 0o604


def test_damage_before_a_torn_tail_goes_with_it(tmp_path: Path) -> None:
    """From the first byte that is no event to the last."""
    damage = b'damage\n{"v":1,"id":"torn'
    result = recover(left_open(tmp_path, event_line(1) + damage))
    assert result is not None
    assert result.file is not None
    assert (result.file.read_bytes(), result.bad_bytes) == (event_line(1), len(damage))
