"""The spool on real files: a killed process, a full disk, a second owner, a big backlog."""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import random
import resource
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ingestd.spool.directory import segment_path
from ingestd.spool.format import (
    MAX_PAYLOAD,
    SEGMENT_HEADER_SIZE,
    SegmentHeader,
    encode_frame_header,
    encode_segment_header,
)
from ingestd.spool.fs import RealFs
from ingestd.spool.inspect import entries, ls, verify
from ingestd.spool.scan import Gap, scan
from ingestd.spool.spool import Position, Spool, SpoolError

ROOT = Path(__file__).parents[3]
SEED = random.SystemRandom().randrange(1 << 32)

# Appends numbered payloads until it is killed, saying what was confirmed; releases some every few batches.
APPENDER = """
import hashlib, sys
from pathlib import Path
from ingestd.spool.spool import Spool

spool = Spool(Path(sys.argv[1]), max_bytes=1 << 30, segment_bytes=1 << 20)
spool.open()
number = int(sys.argv[2])
while True:
    batch = range(number, number + 1 + number % 5)
    number = batch.stop
    spool.append([hashlib.sha256(b"%d" % n).hexdigest().encode() * (n % 300) + b" %d" % n for n in batch])
    print("appended", batch.stop - 1, flush=True)
    if number % 7 == 0:
        read, position = spool.read(spool.checkpoint, 1)
        spool.release(position)
        print("released", int(read[-1].payload.split()[-1]), flush=True)
"""


def payload(number: int) -> bytes:
    return hashlib.sha256(b"%d" % number).hexdigest().encode() * (number % 300) + b" %d" % number


def start(code: str, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )


def test_what_a_killed_process_had_confirmed_is_there_and_unaltered(tmp_path: Path) -> None:
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    last, next_number, acks = {b"appended": 0, b"released": 0}, 1, 0
    for _round in range(6):
        process = start(APPENDER, str(tmp_path), str(next_number))
        assert process.stdout is not None
        try:
            said = [process.stdout.readline() for _ in range(rng.randrange(30, 150))]
        finally:
            process.kill()
            rest = process.communicate()[0]
        for line in [*said, *rest.splitlines()]:
            word, number = line.split()
            last[word] = int(number)
            acks += word == b"appended"
        spool = Spool(tmp_path, max_bytes=1 << 30)
        spool.open()
        found = [entry.payload for entry in spool.read(spool.checkpoint, 1 << 30)[0]]
        numbers = [int(item.split()[-1]) for item in found]
        assert numbers == list(range(numbers[0], numbers[-1] + 1)), "something is missing, doubled or moved"
        assert numbers[-1] >= last[b"appended"]
        assert 1 <= numbers[0] - last[b"released"] <= 2, (
            "the last release was confirmed, or cut off by the kill"
        )
        assert found == [payload(number) for number in numbers]
        assert spool.damaged == 0
        spool.close()
        next_number = numbers[-1] + 1
        last[b"released"] = numbers[0] - 1
    assert acks > 100


def test_a_second_process_is_refused_while_the_first_lives(tmp_path: Path) -> None:
    owner = start(APPENDER, str(tmp_path), "1")
    try:
        assert owner.stdout is not None
        owner.stdout.readline()
        with pytest.raises(SpoolError, match="another process owns"):
            Spool(tmp_path, max_bytes=1 << 30).open()
        for _ in range(20):  # commands may look all the same
            for entry in itertools.islice(entries(tmp_path), 20):
                assert entry.payload == payload(int(entry.payload.split()[-1]))
            assert ls(tmp_path)
            assert [found for found in verify(tmp_path).findings if not found.harmless] == []
            owner.stdout.readline()
    finally:
        owner.kill()
        owner.communicate()
    spool = Spool(tmp_path, max_bytes=1 << 30)
    spool.open()
    spool.close()


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """The kernel writes what fits and refuses the rest, as on a full disk; no root needed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_write_the_kernel_cuts_short_leaves_no_trace(tmp_path: Path) -> None:
    spool = Spool(tmp_path, max_bytes=1 << 30)
    spool.open()
    spool.append([b"a" * 1000])
    size = spool.bytes_used
    with file_size_limit(20_000):
        with pytest.raises(SpoolError) as caught:
            spool.append([b"x" * 10_000] * 3)
        assert caught.value.errno == errno.EFBIG
        assert next(tmp_path.glob("*.spool")).stat().st_size == spool.bytes_used == size
        spool.append([b"b" * 1000])
    assert [entry.payload[:1] for entry in spool.read(spool.checkpoint, 1 << 20)[0]] == [b"a", b"b"]
    spool.close()
    assert verify(tmp_path).findings == []


def test_more_payloads_than_one_system_call_takes_are_one_append(tmp_path: Path) -> None:
    spool = Spool(tmp_path, max_bytes=1 << 30)
    spool.open()
    sent = [b"%d" % number for number in range(5000)]
    spool.append(sent)
    assert [entry.payload for entry in spool.read(spool.checkpoint, 1 << 20)[0]] == sent
    spool.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("needs root: a real full disk is a small tmpfs of its own")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", tmp_path], check=True)
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)


def test_a_really_full_disk_is_survived_and_releasing_makes_room(small_disk: Path) -> None:
    directory = small_disk / "spool"
    spool = Spool(directory, max_bytes=1 << 30, segment_bytes=256 << 10)
    spool.open()
    stored = 0
    with pytest.raises(SpoolError) as caught:  # noqa: PT012 - until the disk is full
        while True:
            spool.append([b"%d " % stored + bytes(60_000)])
            stored += 1
    assert caught.value.errno == errno.ENOSPC
    with pytest.raises(SpoolError):
        spool.probe(100_000)
    spool.close()

    spool = Spool(directory, max_bytes=1 << 30, segment_bytes=256 << 10)
    found = spool.open()
    assert (found.torn_bytes, found.damaged_frames, found.frames) == (0, 0, stored)
    read, position = spool.read(spool.checkpoint, 600_000)
    spool.release(position)
    spool.probe(100_000)
    spool.append([b"after"])
    rest, _end = spool.read(spool.checkpoint, 1 << 30)
    numbers = [int(entry.payload.split()[0]) for entry in [*read, *rest[:-1]]]
    assert numbers == list(range(stored))
    assert rest[-1].payload == b"after"
    spool.close()
    assert verify(directory).findings == []


def test_a_big_backlog_is_read_in_bounded_memory(tmp_path: Path) -> None:
    spool = Spool(tmp_path, max_bytes=1 << 30, segment_bytes=16 << 20)
    spool.open()
    chunk = [bytes(64 << 10)] * 32
    for _ in range(48):
        spool.append(chunk)
    spool.close()
    tracemalloc.start()
    try:
        spool = Spool(tmp_path, max_bytes=1 << 30, segment_bytes=16 << 20)
        assert spool.open().frames == 48 * 32
        count, position = 0, spool.checkpoint
        while read := spool.read(position, 1 << 20)[0]:
            count += len(read)
            position = read[-1].end
            spool.release(position)
        assert sum(1 for _entry in entries(tmp_path)) == 0
        assert tracemalloc.get_traced_memory()[1] < 6 << 20
    finally:
        tracemalloc.stop()
    assert count == 48 * 32
    spool.close()


class CountingFs(RealFs):
    """Counts what is read."""

    read = 0
    largest = 0

    def pread(self, fd: int, size: int, offset: int) -> bytes:
        data = super().pread(fd, size, offset)
        self.read += len(data)
        self.largest = max(self.largest, len(data))
        return data


def sparse_backlog(directory: Path, count: int, size: int) -> Position:
    """`count` segments of `size` bytes that are holes but for the headers, and one with a frame."""
    first = 1_700_000_000_000
    for number in range(first, first + count + 1):
        before = (number - 1, size, 1000) if number > first else (0, 0, 0)
        with segment_path(directory, number).open("wb") as file:
            file.write(encode_segment_header(SegmentHeader(1, number, number, *before)))
            if number < first + count:
                file.truncate(size)
            else:
                file.write(encode_frame_header(b"x", number, number, SEGMENT_HEADER_SIZE) + b"x")
    return Position(first + count, SEGMENT_HEADER_SIZE)


def test_opening_twenty_gibibytes_reads_the_headers_and_the_last_segment_only(tmp_path: Path) -> None:
    last = sparse_backlog(tmp_path, 320, 64 << 20)
    fs = CountingFs()
    spool = Spool(tmp_path, max_bytes=40 << 30, fs=fs)
    found = spool.open()
    assert (found.segments, found.frames) == (321, 320_001)
    assert found.bytes > 20 << 30
    assert fs.read < 100_000
    assert [entry.payload for entry in spool.read(last, 100)[0]] == [b"x"]
    spool.close()


def test_a_damaged_length_never_makes_it_allocate_more_than_a_payload_may_take(tmp_path: Path) -> None:
    path = tmp_path / "segment"
    frame = bytearray(encode_frame_header(b"x", 1, 1, SEGMENT_HEADER_SIZE) + b"x")
    frame[8:12] = (MAX_PAYLOAD + 1).to_bytes(4, "little")
    path.write_bytes(bytes(SEGMENT_HEADER_SIZE) + frame)
    os.truncate(path, 2 * MAX_PAYLOAD)
    fs = CountingFs()
    fd = fs.open_read(path)
    item = next(scan(fs, fd, 1, 0, SEGMENT_HEADER_SIZE + MAX_PAYLOAD + 1000))
    fs.close(fd)
    assert isinstance(item, Gap)
    assert "length" in item.what
    assert fs.largest <= 1 << 20


def test_a_link_in_a_segments_place_is_not_followed(tmp_path: Path) -> None:
    directory = tmp_path / "spool"
    directory.mkdir()
    other = tmp_path / "other"
    other.write_bytes(b"somebody else's")
    segment_path(directory, 1_700_000_000_000).symlink_to(other)
    os.mkfifo(segment_path(directory, 1_700_000_000_001))
    spool = Spool(directory, max_bytes=1 << 20)
    assert len(spool.open().junk) == 2
    spool.append([b"a"])
    spool.close()
    assert other.read_bytes() == b"somebody else's"


def test_what_goes_while_a_directory_is_listed_is_not_in_the_list(tmp_path: Path) -> None:
    """The daemon releases segments while a command looks on."""
    for name in ("a", "b"):
        (tmp_path / name).touch()

    class Gone:
        name = "gone"

        def stat(self, *, follow_symlinks: bool) -> os.stat_result:
            raise FileNotFoundError

    @contextmanager
    def scandir(directory: Path) -> Iterator[Iterator[object]]:
        with real(directory) as listing:
            yield itertools.chain([Gone()], listing)

    real = os.scandir
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "scandir", scandir)
        found = RealFs().entries(tmp_path)
    assert sorted(info.name for info in found) == ["a", "b"]


def test_a_name_is_changed_and_a_second_one_given_as_on_any_disk(tmp_path: Path) -> None:
    """A checkpoint that is no file is moved aside by the one, a segment kept by the other."""
    fs = RealFs()
    (tmp_path / "a").write_bytes(b"1")
    fs.link(tmp_path / "a", tmp_path / "b")
    fs.rename(tmp_path / "a", tmp_path / "c")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "c"]
    with pytest.raises(FileExistsError):
        fs.link(tmp_path / "b", tmp_path / "c")


def test_a_write_that_comes_short_goes_on_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of 2 GiB at once, or of a file system that is interrupted."""
    real, real_single = os.pwritev, os.pwrite
    monkeypatch.setattr(os, "pwritev", lambda fd, data, at: real(fd, [b"".join(data)[:30]], at))
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: real_single(fd, data[:7], at))
    spool = Spool(tmp_path, max_bytes=1 << 30)
    spool.open()
    sent = [b"%d " % number * 9 for number in range(20)]
    spool.append(sent)
    monkeypatch.undo()
    assert [entry.payload for entry in spool.read(spool.checkpoint, 1 << 20)[0]] == sent
    spool.close()
    assert verify(tmp_path).findings == []
