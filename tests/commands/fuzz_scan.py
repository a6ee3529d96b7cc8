"""Feeds the compiled scan, built with the address and undefined-behaviour sanitizers, with made-up queries.

Each result is compared with that of the general path. For ten minutes (gcc with libasan, or clang):

    nice python -m tests.commands.fuzz_scan --seconds 600

Every variant takes its share of the time: with SSE2 and without, with the buffer on the stack and, by a tiny
stack buffer, on the heap. A failing query and its seed are printed; exit status 1.
"""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import ingestd
from ingestd.sources.macros import FIRST, LAST
from ingestd.sources.query import Scanned, general_path
from tests.support import compiled

Scan = Callable[[bytes, tuple[bytes, ...]], Scanned | None]

SOURCE = Path(ingestd.__file__).with_name("sources") / "_scan.c"
HEADER = SOURCE.with_name("_query.h")
[_max_pairs] = re.findall(r"^#define MAX_PAIRS (\d+)$", HEADER.read_text("utf-8"), re.MULTILINE)
MAX_PAIRS = int(_max_pairs)
VARIANTS = compiled.variants("-DSTACK_BYTES=64")
WANTED = (b"a", b"ts", b'q"t', "你".encode(), b"", b"a", b"absent_name", b"\xff")

# The first and the last characters of each length, those around the surrogates, and what is none.
_UTF8 = [chr(code).encode() for code in (0x80, 0x7FF, 0x800, 0x4F60, 0xD7FF, 0xE000, 0xFFFD, 0xFFFF)]
_UTF8 += [chr(code).encode() for code in (0x10000, 0x1F600, 0x10FFFF)]
_OVERLONG = (b"\xc0\x80", b"\xc1\xbf", b"\xe0\x9f\xbf", b"\xf0\x8f\xbf\xbf")
_SURROGATES = (b"\xed\xa0\x80", b"\xed\xbf\xbf")
_TOO_HIGH = (b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80")
_CUT = (b"\xc2", b"\xe0\xa0", b"\xf0\x90\x8f", b"\x80", b"\xbf", b"\xfe", b"\xff")
_NAMES = (
    b"a",
    b"b",
    b"ts",
    b"ip",
    b"q%22t",
    b"%E4%BD%A0",
    b"",
    b"advertiser_id",
    b"callback_param_of_it",
    b"c+d",
)
_PLAIN = [b"x" * size for size in (*range(1, 9), 14, 15, 16, 17, 31, 32, 33, 64, 300)]
_CLEAN = [
    *_PLAIN,
    *(b"%%%02X" % byte for byte in range(0x80)),
    *(b"%%%02x" % byte for byte in range(0x80)),
    *_UTF8,
    *("".join(f"%{byte:02X}" for byte in character).encode() for character in _UTF8),
    *(b"+", b"=", b'"', b"\\", b"\x7f", b"__X__", b"{{X}}", b"[X]", b"$x$", b"%25X%25", b"1718000000123"),
]  # fmt: skip
_ODD = [
    *(b"&", b"=", b"%", b"%%", b"%2", b"%g0", b"%0g", b"&&", b"&=", b"\x00", b"\n", b"#", b";"),
    *(b"%%%02x" % byte for byte in range(0x80, 0x100)),
    *(*_OVERLONG, *_SURROGATES, *_TOO_HIGH, *_CUT),
]
_ALL = (*_CLEAN, *_ODD)


def built_or_skip(directory: Path) -> Scan:
    """The `scan` of the source as it is now: what is installed may be older."""
    scan: Scan = compiled.built_or_skip(SOURCE, directory).scan
    return scan


def queries(rng: random.Random) -> Iterator[bytes]:
    """Made-up queries without end: clean ones, clean ones damaged in a place or two, and noise."""
    while True:
        names = rng.sample(_NAMES, rng.randrange(len(_NAMES)))
        if rng.random() < 0.02:  # about the bound on pairs
            names = [b"n%d" % number for number in range(rng.randrange(250, 260))]
        pairs = [name + b"=" + b"".join(rng.choices(_CLEAN, k=rng.randrange(6))) for name in names]
        query = b"&".join(pairs)
        yield query
        for _ in range(rng.randrange(1, 4)):
            start = rng.randrange(len(query) + 1)
            stop = start + rng.choice((0, 0, 1, 2))
            query = query[:start] + rng.choice(_ODD) + query[stop:]
        yield query
        yield query[: rng.randrange(len(query) + 1)]
        yield b"".join(rng.choices(_ALL, k=rng.randrange(8)))
        yield b"a=" + rng.randbytes(rng.randrange(6))


def by_the_general_path(query: bytes, wanted: tuple[bytes, ...]) -> Scanned | None:
    """What the scan must find: None where a query is not clean, else what the general path decodes."""
    params, encoded, _, lossy = general_path(query) if query else ({}, b"{}", (), False)
    pairs = query.count(b"&") + 1 if query else 0
    if lossy or len(params) < pairs or pairs > MAX_PAIRS:
        return None
    values = {name: value for name, value in params.items() if isinstance(value, str)}
    by_bytes = {name.encode(): value for name, value in values.items()}
    likely = tuple((name, value) for name, value in values.items() if has_edges(value))
    return encoded, tuple(by_bytes.get(name) for name in wanted), likely


def has_edges(value: str) -> bool:
    """Whether a value begins and ends like a macro, and has something between."""
    return len(value) > 2 and value[0] in FIRST and value[-1] in LAST


@contextmanager
def checking(module: ModuleType) -> Iterator[Callable[[bytes], bool]]:
    """A query's result is that of the general path; and whether it was clean."""
    scan: Scan = module.scan

    def check(query: bytes) -> bool:
        result = scan(query, WANTED)
        assert result == by_the_general_path(query, WANTED), f"{query!r}: {result!r}"
        return result is not None

    yield check


PART = compiled.Fuzzed(
    SOURCE, VARIANTS, queries, checking, "{count} queries, {own} clean, all as by the general path"
)

if __name__ == "__main__":
    sys.exit(compiled.main(__spec__.name, __doc__, PART))
