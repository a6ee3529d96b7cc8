"""One pass over an event file: its size and hash as plain bytes, and the rows of its manifest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

from xxhash import xxh3_128

from ingestd import tally
from ingestd.file.compression import open_plain
from ingestd.tally import Known, Tally

_CHUNK = 256 * 1024
# A line longer than this is damage, and is counted in pieces.
_MAX_LINE = 64 << 20
# Lines that Python judges without a pause: about 0.1 ms, which is what the event loop may wait for us.
SLICE = 128


class Scan(NamedTuple):
    """The result of a pass over a file. `size` and `digest` (XXH3-128, hex) are of the plain bytes."""

    size: int
    digest: str
    tally: Tally


def scan(
    path: Path,
    pause: Callable[[], None] = lambda: None,
    known: Known | None = None,
    read: Callable[[int], None] = lambda size: None,
) -> Scan:
    """Read a file, plain or compressed, from end to end; `pause` is called between slices of lines.

    `read` is told how many plain bytes were read. Raises what is UNREADABLE.
    """
    digest, counts, size, rest = xxh3_128(), Tally(), 0, b""
    count = tally.count_lines if known is None else tally.count_lines_in_python
    with open_plain(path) as plain:
        for chunk in _chunks(plain):
            digest.update(chunk)
            size += len(chunk)
            block = rest + chunk
            rows, lines, end = count(block)
            counts.add_rows(rows)
            rest = block[end:]
            if len(rest) > _MAX_LINE:
                lines.append(rest)
                rest = b""
            for first in range(0, max(len(lines), 1), SLICE):
                counts.add(lines[first : first + SLICE], known)
                pause()
            read(len(chunk))
    if rest:
        counts.others += 1  # an event ends with a newline
    return Scan(size, digest.hexdigest(), counts)


def _chunks(source: IO[bytes]) -> Iterator[bytes]:
    while chunk := source.read(_CHUNK):
        yield chunk
