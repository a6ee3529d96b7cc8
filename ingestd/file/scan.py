"""One pass over an event file: its size and hash as plain bytes, and the rows of its manifest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from xxhash import xxh3_128

from ingestd import tally
from ingestd.file.compression import open_plain
from ingestd.tally import Known, Tally

_CHUNK = 256 * 1024
# A line longer than this is damage, and is looked at in pieces.
_MAX_LINE = 64 << 20
# Lines that Python judges without a pause: about 0.1 ms, which is what the event loop may wait for us.
SLICE = 128
NEWLINE = 10
_LOW = (1 << 64) - 1


class Scan(NamedTuple):
    """The result of a pass over a file. `size` and `digest` (XXH3-128, hex) are of the plain bytes."""

    size: int
    digest: str
    tally: Tally


def blocks(readinto: Callable[[memoryview], int | None]) -> Iterator[memoryview]:
    """Whole lines, many at a time, of what `readinto` fills its buffer with until it has no more.

    A block ends with a newline, or has none at all: a piece of a line that is too long, or the torn end. It
    is valid until the next one is asked for: all of them lie in one buffer, since to read and copy fresh
    memory costs more than to look at what is in it.
    """
    room, used = bytearray(_CHUNK), 0
    while got := readinto(memoryview(room)[used:]):
        end = room.rfind(b"\n", used, used + got) + 1
        used += got
        if end:
            yield memoryview(room)[:end]
            room[: used - end] = room[end:used]
            used -= end
        elif used > _MAX_LINE:
            yield memoryview(room)[:used]
            used = 0
        elif used == len(room):
            room = room + bytes(len(room))
    if used:
        yield memoryview(room)[:used]


def scan(
    path: Path,
    pause: Callable[[], None] = lambda: None,
    *,
    ids: bytearray | None = None,
    read: Callable[[int], None] = lambda size: None,
) -> Scan:
    """Read a file, plain or compressed, from end to end; `pause` is called between slices of lines.

    `ids` receives the low 64 bits of the hash of each event's id, see `tally.count_repeats`. `read` is told
    how many plain bytes were read. Raises what is UNREADABLE.
    """
    digest, counts, size = xxh3_128(), Tally(), 0
    known = None if ids is None else _into(ids)
    with open_plain(path) as plain:
        for block in blocks(plain.readinto):
            digest.update(block)
            size += len(block)
            read(len(block))
            if block[-1] != NEWLINE:
                counts.others += 1  # an event ends with a newline
                continue
            rows, left, counted = tally.count_lines(block, False)
            counts.add_rows(rows)
            if ids is not None:
                ids += counted
            for first in range(0, max(len(left), 1), SLICE):
                counts.add((bytes(block[start:end]) for start, end in left[first : first + SLICE]), known)
                pause()
    return Scan(size, digest.hexdigest(), counts)


def _into(ids: bytearray) -> Known:
    """Adds the id of a line that Python judges, and knows none."""

    def known(identity: int, line: bytes, key: tally.Key) -> bool:
        ids.extend((identity & _LOW).to_bytes(8, "little"))
        return False

    return known


def scan_lines(path: Path, known: Known) -> Scan:
    """The same, slower, line by line: events that `known` says have been seen are not counted."""
    digest, counts, size = xxh3_128(), Tally(), 0
    with open_plain(path) as plain:
        for block in blocks(plain.readinto):
            digest.update(block)
            size += len(block)
            if block[-1] == NEWLINE:
                counts.add(bytes(block[:-1]).split(b"\n"), known)
            else:
                counts.others += 1
    return Scan(size, digest.hexdigest(), counts)
