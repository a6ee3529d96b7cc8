"""Feeds the compiled scan, built with the address and undefined-behaviour sanitizers, with made-up queries.

Each result is compared with that of the Python twin. To run it for ten minutes (gcc with libasan, or clang):

    nice python -m tests.support.fuzz_scan --seconds 600

Every variant takes its share of the time: with SSE2 and without, with the buffer on the stack and, by a tiny
stack buffer, on the heap. A failing query and its seed are printed; exit status 1.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import random
import shlex
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.machinery import ExtensionFileLoader
from pathlib import Path

import pytest

from ingestd.sources import scan as scanning
from ingestd.sources.scan import Scanned, scan_in_python

Scan = Callable[[bytes, tuple[bytes, ...]], Scanned | None]

SOURCE = Path(scanning.__file__).with_name("_scan.c")
SANITIZED = ("-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
VARIANTS = {
    "SSE2, stack": (),
    "SSE2, heap": ("-DSTACK_BYTES=64",),
    "bytewise, stack": ("-U__SSE2__",),
    "bytewise, heap": ("-U__SSE2__", "-DSTACK_BYTES=64"),
}
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


def build(directory: Path, *flags: str) -> Path:
    """Compile the extension. OSError: no compiler. CalledProcessError: it does not build."""
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    library = directory / "_scan.so"
    include = sysconfig.get_path("include")
    subprocess.run(
        [*compiler, "-shared", "-fPIC", "-O3", *flags, f"-I{include}", str(SOURCE), "-o", str(library)],
        check=True,
    )
    return library


def load(library: Path) -> Scan:
    """The `scan` of a built extension, whatever extension is installed."""
    loader = ExtensionFileLoader("_scan", str(library))
    spec = importlib.util.spec_from_loader("_scan", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    scan: Scan = module.scan
    return scan


def built_or_skip(directory: Path) -> Scan:
    """The `scan` of the source as it is now: what is installed may be older."""
    try:
        return load(build(directory, "-Wall", "-Wextra"))
    except OSError as error:
        pytest.skip(f"no C compiler, so the compiled scan is NOT tested: {error}")


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


def compare(scan: Scan, rng: random.Random, seconds: float, at_most: int) -> tuple[int, int]:
    """Compare with the twin until the time or the number is used up. Returns how many, how many were clean.

    Raises AssertionError with the query where the results differ.
    """
    clean = 0
    deadline = time.monotonic() + seconds
    for count, query in enumerate(queries(rng), 1):
        result = scan(query, WANTED)
        assert result == scan_in_python(query, WANTED), f"{query!r}: {result!r}"
        clean += result is not None
        if count >= at_most or (not count & 1023 and time.monotonic() >= deadline):
            return count, clean
    raise AssertionError("queries() has no end")


def sanitizer_environment() -> dict[str, str]:
    """What a plain Python needs to load a sanitized library.

    PYTHONMALLOC: each object from malloc, so that reading or writing past one is seen. Leaks are tested
    elsewhere: the interpreter keeps much until its end.
    """
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    found = subprocess.run(
        [*compiler, "-print-file-name=libasan.so"], check=True, capture_output=True, text=True
    )
    preload = {"LD_PRELOAD": str(Path(found.stdout.strip()).resolve()), "ASAN_OPTIONS": "detect_leaks=0"}
    return {**os.environ, **preload, "PYTHONMALLOC": "malloc"}


def main() -> int:
    """Build each variant and run it in a Python of its own."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60, help="for all variants together")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    parser.add_argument("--library", type=Path, help=argparse.SUPPRESS)  # in the Python of its own
    options = parser.parse_args()
    if options.library:
        count, clean = compare(
            load(options.library), random.Random(options.seed), options.seconds, sys.maxsize
        )
        print(f"{count} queries, {clean} of them clean, all as in Python", flush=True)
        return 0
    worst = 0
    for name, flags in VARIANTS.items():
        print(f"{name}, seed {options.seed}: ", end="", flush=True)
        with tempfile.TemporaryDirectory() as directory:
            library = build(Path(directory), *SANITIZED, *flags)
            arguments = ["--seconds", str(options.seconds / len(VARIANTS)), "--seed", str(options.seed)]
            command = [sys.executable, "-m", __spec__.name, *arguments, "--library", str(library)]
            worst = max(
                worst, abs(subprocess.run(command, env=sanitizer_environment(), check=False).returncode)
            )
        options.seed += 1
    return 1 if worst else 0


if __name__ == "__main__":
    sys.exit(main())
