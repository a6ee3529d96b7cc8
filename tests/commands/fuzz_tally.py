"""Feeds the compiled count of lines, built with the sanitizers, with made-up files.

Rows, what is left and where the last line ends are compared with what Python counts. To run it at length:

    nice python -m tests.commands.fuzz_tally --seconds 600
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from ingestd import tally
from ingestd.tally import Tally
from tests.support import compiled

SOURCE = Path(tally.__file__).with_name("_tally.c")
VARIANTS: dict[str, tuple[str, ...]] = {"as installed": ()}

_IDS = b'0123456789abcdef-\xff\x00\\"'
_SOURCES = (b"demo", b"ocean", b"", b"o\\u0063", "广点通".encode(), b"\xff", b"a" * 200)
_MOMENTS = (
    *(b"1700000000000", b"1700003600000", b"0", b"007", b"999999999999999999", b"1000000000000000000"),
    *(b"-1", b"+5", b"1_0", b" 1", b"", b"x", b"1e3", b"17000000000000000000000"),
)
_ODD = (b"", b"{}", b"\0", b'"', b",", b"\n", b'"source":"', b'"source":', b"\\", b"\xff", b"}")


def line(rng: random.Random) -> bytes:
    """An event's line without its newline, mostly a whole one."""
    moment = _MOMENTS[0] if rng.random() < 0.7 else rng.choice(_MOMENTS)
    source = _SOURCES[rng.randrange(2)] if rng.random() < 0.7 else rng.choice(_SOURCES)
    name = bytes(rng.choices(_IDS[:17] if rng.random() < 0.8 else _IDS, k=36))
    made = b'{"v":1,"id":"%s","dup_key":"%032x","received_at":%s,"event_at":null,"source":"%s","n":1}' % (
        name, rng.getrandbits(128), moment, source,
    )  # fmt: skip
    while rng.random() < 0.15:  # damaged, here and there
        start = rng.randrange(len(made) + 1)
        made = made[:start] + rng.choice(_ODD) + made[start + rng.choice((0, 1, 3, 100)) :]
    return made


def blocks(rng: random.Random) -> Iterator[bytes]:
    """Blocks of lines without end, some with half a line behind them."""
    while True:
        yield b"".join(line(rng) + b"\n" for _ in range(rng.randrange(12))) + (
            line(rng)[: rng.randrange(150)] if rng.random() < 0.3 else b""
        )


@contextmanager
def checking(module: ModuleType) -> Iterator[Callable[[bytes], bool]]:
    """A block's rows and its end are those that Python counts; and whether no line was left to Python."""

    def check(block: bytes) -> bool:
        counted, expected = Tally(), Tally()
        rows, left, end = module.count_lines(block)
        counted.add_rows(rows)
        counted.add(left)
        none, lines, expected_end = tally.count_lines_in_python(block)
        expected.add(lines)
        assert (none, end) == ([], expected_end), f"{block!r}: {end}"
        figures = counted.rows, counted.others
        assert figures == (expected.rows, expected.others), f"{block!r}: {figures}"
        return not left

    yield check


PART = compiled.Fuzzed(
    SOURCE, VARIANTS, blocks, checking, "{count} blocks, {own} counted in C alone, all as in Python alone"
)

if __name__ == "__main__":
    sys.exit(compiled.main(__spec__.name, __doc__, PART))
