"""The rows of a manifest: by source and UTC hour the number of events, their bytes, a hash of their ids.

The hash is the sum modulo 2^128 of the XXH3-128 of each id, so it does not depend on the order, and the
rows of parts (files, instances) add up to the row of the whole.

Every finished file is read again for its manifest, while events come in. That is done in C (_tally.c) where a
compiler was at hand at installation, else in Python: 0.1 and 3.4 us a line.
"""

from __future__ import annotations

import calendar
import itertools
import re
import time
from collections.abc import Callable, Iterable
from typing import Any

from xxhash import xxh3_128_intdigest

from ingestd.event import ID_SLICE, LINE_START, RECEIVED_AT_SLICE

HOUR_MS = 3_600_000
_MODULUS = 1 << 128
_SOURCE = b'"source":"'
_NEWLINE = re.compile(rb"\n")

Key = tuple[str, int]  # source, hours since the epoch
# A block's rows (source, hour, events, bytes, hash as 16 bytes); start and end, without its newline, of each
# line that is still to be judged; and of each counted event the low 64 bits of its id's hash.
Counted = tuple[list[tuple[str, int, int, int, bytes]], list[tuple[int, int]], bytes]
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
        """`events`, `bytes`, `hash`."""
        return self.events, self.bytes, self.hash

    def add(self, events: int, size: int, total: int) -> None:
        """Add the figures of another part; `total` is the sum of its hashes."""
        self.events += events
        self.bytes += size
        self.hash = (self.hash + total) % _MODULUS

    def tree(self) -> dict[str, Any]:
        """As JSON has it: `events`, `bytes`, and `hash` in 32 hex digits."""
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


def row_tree(key: Key, row: Row) -> dict[str, Any]:
    """An object for JSON: `source`, `hour`, and `Row.tree`."""
    return {"source": key[0], "hour": hour_text(key[1]), **row.tree()}


def parse_row(tree: Any) -> tuple[Key, Row]:
    """Read what `row_tree` made. Raises KeyError, TypeError, ValueError."""
    return (str(tree["source"]), parse_hour(tree["hour"])), Row.parse(tree)


def rows_tree(rows: Rows) -> list[dict[str, Any]]:
    """A list of objects for JSON, sorted by source and hour."""
    return [row_tree(key, row) for key, row in sorted(rows.items(), key=lambda item: item[0])]


def parse_rows(tree: Any) -> Rows:
    """Read what `rows_tree` made. Raises KeyError, TypeError, ValueError."""
    return dict(map(parse_row, tree))


def hour_text(hour: int) -> str:
    """An hour as `2026-01-31T23`, UTC."""
    return time.strftime("%Y-%m-%dT%H", time.gmtime(hour * 3600))


def parse_hour(text: str) -> int:
    """Hours since the epoch of `2026-01-31T23`. Raises ValueError."""
    return calendar.timegm(time.strptime(text, "%Y-%m-%dT%H")) // 3600


class Tally:
    """Rows made of event lines. `others`: lines that are not events."""

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


def count_lines_in_python(block: bytes | memoryview, whole: bool, /) -> Counted:
    """Count the lines of a block that end with a newline; here by leaving all of them to `Tally.add`.

    The compiled one counts every line that is an event beyond doubt; with `whole`, if it is valid JSON, too.
    """
    starts = [0, *(found.end() for found in _NEWLINE.finditer(block))]
    return [], [(start, end - 1) for start, end in itertools.pairwise(starts)], b""


def count_repeats_in_python(ids: bytes | bytearray, /) -> int:
    """How many hashes (8 bytes each) are there before. The compiled one takes 16 to 32 bytes for each."""
    return len(ids) // 8 - len(set(memoryview(ids).cast("Q")))


count_lines: Callable[[bytes | memoryview, bool], Counted]
count_repeats: Callable[[bytes | bytearray], int]
try:
    from ingestd._tally import count_lines, count_repeats
except ImportError:
    count_lines, count_repeats = count_lines_in_python, count_repeats_in_python
