"""Feeds the compiled count of lines, built with the sanitizers, with made-up files.

Rows and ids are compared with what Python counts, and the lines taken for valid JSON with what orjson says.
To run it at length:

    nice python -m tests.commands.fuzz_tally --seconds 600
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from xxhash import xxh3_128_intdigest

from ingestd import tally
from ingestd.event import ID_SLICE
from ingestd.file.recovery import is_event
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
_ODD = (
    *(b"", b"{}", b"\0", b'"', b",", b"\n", b'"source":"', b'"source":', b"\\", b"\xff", b"}", b"]", b":"),
    *(
        b"\\u0",
        b"\\ud800",
        b"\x1f",
        b"\x7f",
        b"\xc0\x80",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"1.",
        b"-",
        b" ",
    ),
)
_TEXTS = (
    *(b"", b"click", b"a" * 7, b"a" * 8, b"a" * 61, "广点通".encode(), b"\xf0\x9f\x98\x80", b"\xdf\xbf"),
    *(b"\x7f", rb"\u4e2d\n\t\"\\\/", rb"\uD83d\ude00", rb"\udc00", rb"\x", rb"\u12g4", b"\xe0\x9f\xbf"),
)
_NUMBERS = (
    *(b"0", b"-0", b"7", b"-12.50", b"123456789012345678", b"1234567890123456789", b"1e5", b"1E-3"),
    *(b"01", b"-", b".5", b"1.", b"+1", b"NaN", b"1e999", b"99999999999999999999999", b"0x1", b"0.000000001"),
)
_WORDS = (b"true", b"false", b"null", b"nul", b"True")


def _mostly(rng: random.Random, all_of_them: Sequence[bytes], valid: int) -> bytes:
    return rng.choice(all_of_them[:valid] if rng.random() < 0.95 else all_of_them)


def value(rng: random.Random, depth: int) -> bytes:
    """A JSON value, mostly a valid one."""
    kind = rng.randrange(8 if depth else 5)
    blank = rng.choice((b"", b"", b"", b" ", b"\t", b"\r "))
    if kind < 2:
        return b'"%s"' % _mostly(rng, _TEXTS, 10)
    if kind == 2:
        return _mostly(rng, _NUMBERS, 5)
    if kind < 5:
        return _mostly(rng, _WORDS, 3)
    members = [value(rng, depth - 1) for _ in range(rng.randrange(4))]
    if kind == 5:
        return b"[%s%s]" % ((blank + b"," + blank).join(members), blank)
    named = [b'"%s"%s:%s%s' % (rng.choice(_TEXTS[:10]), blank, blank, one) for one in members]
    return b"{%s%s}" % (blank, b",".join(named))


def line(rng: random.Random) -> bytes:
    """An event's line without its newline, mostly a whole one."""
    moment = _MOMENTS[0] if rng.random() < 0.7 else rng.choice(_MOMENTS)
    source = _SOURCES[rng.randrange(2)] if rng.random() < 0.7 else rng.choice(_SOURCES)
    name = bytes(rng.choices(_IDS[:17] if rng.random() < 0.8 else _IDS, k=36))
    made = b'{"v":1,"id":"%s","dup_key":"%032x","received_at":%s,"event_at":null,"source":"%s","body":%s}' % (
        name, rng.getrandbits(128), moment, source, value(rng, rng.choice((1, 3, 3, 90))),
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
    """A block's rows are those that Python counts; and whether no line was left to Python."""

    def check(block: bytes) -> bool:
        _, lines, _ = tally.count_lines_in_python(block, False)
        for whole in (False, True):
            rows, left, ids = module.count_lines(block, whole)
            counted, expected = Tally(), Tally()
            counted.add_rows(rows)
            counted.add(block[start:end] for start, end in left)
            expected.add(block[start:end] for start, end in lines)
            figures = counted.rows, counted.others
            assert figures == (expected.rows, expected.others), f"{block!r}: {figures}"
            assert set(left) <= set(lines), f"{block!r}: {left}"
            own = [block[start:end] for start, end in lines if (start, end) not in left]
            hashes = [xxh3_128_intdigest(one[ID_SLICE]) & (1 << 64) - 1 for one in own]
            assert list(memoryview(ids).cast("Q")) == hashes, f"{block!r}: ids"
            if whole:
                assert all(map(is_event, own)), f"{block!r}: not JSON"
        return not left

    yield check


PART = compiled.Fuzzed(
    SOURCE, VARIANTS, blocks, checking, "{count} blocks, {own} counted in C alone, all as in Python alone"
)

if __name__ == "__main__":
    sys.exit(compiled.main(__spec__.name, __doc__, PART))
