"""What a manifest says: for each source and UTC hour how many events, bytes, and a hash of their ids.

The hash is the sum modulo 2^128 of the XXH3-128 of each id, so it does not depend on the order, and the
rows of parts (files, instances) add up to the row of the whole.

Every finished file is read again for its manifest, while events come in: what does that is compiled
(_tally.c) where a compiler was at hand at installation, else in Python: 0.3 and 3.4 us a line.
"""

from __future__ import annotations

import calendar
import gzip
import io
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

import zstandard
from xxhash import xxh3_128, xxh3_128_intdigest

from ingestd.event import ID_SLICE, LINE_START, RECEIVED_AT_SLICE

HOUR_MS = 3_600_000
SUFFIXES = (".gz", ".zst")
_MODULUS = 1 << 128
_SOURCE = b'"source":"'
_CHUNK = 256 * 1024
# A line longer than this is damage, and is counted in pieces.
_MAX_LINE = 64 << 20
# So many lines are worked on without a pause: about 0.1 ms, which is what the event loop may wait for us.
SLICE = 128

Key = tuple[str, int]  # source, hours since the epoch
# Of a block of lines: rows (source, hour, events, bytes, hash as 16 bytes), the lines that are still to be
# looked at, and where the last whole line ends.
Counted = tuple[list[tuple[str, int, int, int, bytes]], list[bytes], int]
# Whether an event has been seen: the hash of its id, its line, its key.
Known = Callable[[int, bytes, Key], bool]


class Row:
    """Figures of one source and hour."""

    __slots__ = ("bytes", "events", "hash")

    def __init__(self, events: int = 0, size: int = 0, total: int = 0) -> None:
        self.events = events
        self.bytes = size
        self.hash = total

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Row) and self.figures() == other.figures()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Row({self.events}, {self.bytes}, {self.hash:#x})"

    def figures(self) -> tuple[int, int, int]:
        """Events, bytes, hash."""
        return self.events, self.bytes, self.hash

    def add(self, events: int, size: int, total: int) -> None:
        """Add another part's figures."""
        self.events += events
        self.bytes += size
        self.hash = (self.hash + total) % _MODULUS

    def tree(self) -> dict[str, Any]:
        """For JSON."""
        return {"events": self.events, "bytes": self.bytes, "hash": f"{self.hash:032x}"}

    @classmethod
    def parse(cls, tree: Any) -> Row:
        """Read what `tree` made. Raises KeyError, TypeError, ValueError."""
        return cls(int(tree["events"]), int(tree["bytes"]), int(tree["hash"], 16))


Rows = dict[Key, Row]


def add_row(rows: Rows, key: Key, events: int, size: int, total: int) -> None:
    """Add figures to a key's row."""
    row = rows.get(key)
    if row is None:
        row = rows[key] = Row()
    row.add(events, size, total)


def rows_tree(rows: Rows) -> list[dict[str, Any]]:
    """For JSON, in order."""
    return [
        {"source": source, "hour": hour_text(hour), **row.tree()}
        for (source, hour), row in sorted(rows.items(), key=lambda item: item[0])
    ]


def parse_rows(tree: Any) -> Rows:
    """Read what `rows_tree` made. Raises KeyError, TypeError, ValueError."""
    return {(str(one["source"]), parse_hour(one["hour"])): Row.parse(one) for one in tree}


def hour_text(hour: int) -> str:
    """An hour as `2026-01-31T23`, UTC."""
    return time.strftime("%Y-%m-%dT%H", time.gmtime(hour * 3600))


def parse_hour(text: str) -> int:
    """Hours since the epoch of `2026-01-31T23`. Raises ValueError."""
    return calendar.timegm(time.strptime(text, "%Y-%m-%dT%H")) // 3600


class Tally:
    """Rows made of event lines. `others`: lines that are no event."""

    def __init__(self) -> None:
        self.rows: Rows = {}
        self.others = 0

    def add(self, lines: Iterable[bytes], known: Known | None = None) -> None:
        """Count lines without their newline, but for those that are `known` already."""
        for line in lines:
            key = key_of(line)
            if key is None:
                self.others += 1
                continue
            identity = xxh3_128_intdigest(line[ID_SLICE])
            if known is None or not known(identity, line, key):
                add_row(self.rows, key, 1, len(line) + 1, identity)

    def add_rows(self, counted: Iterable[tuple[str, int, int, int, bytes]]) -> None:
        """Add what was counted of a block."""
        for source, hour, events, size, total in counted:
            add_row(self.rows, (source, hour), events, size, int.from_bytes(total, "little"))


def received_at(line: bytes) -> int:
    """When an event was received, ms since the epoch. Raises ValueError where the line is none.

    Of as many digits as there are: once events were taken while a clock said 1970.
    """
    start = RECEIVED_AT_SLICE.start
    return int(line[start : line.index(b",", start)])


def key_of(line: bytes) -> Key | None:
    """Source ("" where it says none) and hour of an event's line, None of anything else."""
    if not line.startswith(LINE_START):
        return None
    start = line.find(_SOURCE, RECEIVED_AT_SLICE.start)
    first = start + len(_SOURCE)
    source = line[first : line.find(b'"', first)] if start > 0 else b""
    try:
        return source.decode(), received_at(line) // HOUR_MS
    except ValueError:
        return None


def count_lines_in_python(block: bytes, /) -> Counted:
    """What the compiled `count_lines` does for all lines that are beyond doubt: leave them to `Tally.add`."""
    *lines, rest = block.split(b"\n")
    return [], lines, len(block) - len(rest)


count_lines: Callable[[bytes], Counted]
try:
    from ingestd._tally import count_lines
except ImportError:
    count_lines = count_lines_in_python


class Scan(NamedTuple):
    """What one pass over a file finds. `size` and `digest` (XXH3-128, hex) are of the plain bytes."""

    size: int
    digest: str
    tally: Tally


def scan(
    path: Path,
    pause: Callable[[], None] = lambda: None,
    known: Known | None = None,
    read: Callable[[int], None] = lambda size: None,
) -> Scan:
    """One pass over a file, plain or compressed; `pause` is called between slices of lines.

    `read` is told how many plain bytes were read. Raises what is UNREADABLE.
    """
    digest, tally, size, rest = xxh3_128(), Tally(), 0, b""
    count = count_lines if known is None else count_lines_in_python
    with path.open("rb") as raw:
        for chunk in _chunks(plain(raw, path.suffix)):
            digest.update(chunk)
            size += len(chunk)
            block = rest + chunk
            rows, lines, end = count(block)
            tally.add_rows(rows)
            rest = block[end:]
            if len(rest) > _MAX_LINE:
                lines.append(rest)
                rest = b""
            for first in range(0, max(len(lines), 1), SLICE):
                tally.add(lines[first : first + SLICE], known)
                pause()
            read(len(chunk))
    if rest:
        tally.others += 1  # an event ends with a newline
    return Scan(size, digest.hexdigest(), tally)


def _chunks(source: IO[bytes]) -> Iterator[bytes]:
    while chunk := source.read(_CHUNK):
        yield chunk


# Of a file, plain or compressed, that is not there, cut short or damaged. `zlib.error` is no OSError.
UNREADABLE = (OSError, EOFError, zlib.error, zstandard.ZstdError)


def plain(raw: IO[bytes], suffix: str) -> IO[bytes]:
    """The plain bytes of an open file whose name ends like this. Reading raises what is UNREADABLE."""
    if suffix == ".gz":
        return cast("IO[bytes]", gzip.GzipFile(fileobj=raw))
    if suffix == ".zst":
        reader = zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True)
        return cast("IO[bytes]", io.BufferedReader(reader, _CHUNK))
    return raw
