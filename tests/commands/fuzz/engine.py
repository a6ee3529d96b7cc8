"""What runs a target: inputs made by chance out of its seeds, or by atheris, which follows the coverage.

A target is a module of this package:

    once(data)  feeds one input and raises whatever is wrong with what came of it
    SEEDS       inputs to begin with
    TOKENS      pieces of which the format is made
    MAX_BYTES   no input is longer

`corpus/<target>` holds further seeds: what coverage-guided runs have found worth keeping, and every input
that ever failed. One a line, as Python writes bytes.
"""

from __future__ import annotations

import ast
import importlib
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, cast

CORPUS = Path(__file__).with_name("corpus")
TARGETS = (
    "protocol", "query", "bodies", "events", "signatures", "public_keys", "configuration", "spool",
    "spill_log",
)  # fmt: skip

_NUMBERS = (b"0", b"-1", b"1", b"00", b"9" * 20, b"18446744073709551616", b"2147483648", b"7fffffffffffffff")
_BYTES = [bytes((byte,)) for byte in range(256)]
_TIMES = (1, 1, 2, 3, 5, 9)  # how many changes an input is away from a seed
_LENGTHS = (0, 0, 0, 1, 1, 2, 4, 16)  # bytes that make room for what comes in

Chance = Callable[[], float]


class Target(Protocol):
    """A module that can be fuzzed."""

    SEEDS: Sequence[bytes]
    TOKENS: Sequence[bytes]
    MAX_BYTES: int

    def once(self, data: bytes) -> None:
        """Feed one input; raises what is wrong."""


class FailedError(Exception):
    """A target found something; `data` is the input that shows it."""

    def __init__(self, data: bytes) -> None:
        super().__init__(f"fails with {data!r}")
        self.data = data


def load(name: str) -> Target:
    """A target by its name."""
    return cast("Target", importlib.import_module(f"tests.commands.fuzz.{name}"))


def kept(name: str) -> list[bytes]:
    """The inputs of the repository's corpus."""
    path = CORPUS / name
    lines = path.read_text().splitlines() if path.exists() else []
    return [ast.literal_eval(line) for line in lines]


def keep(name: str, inputs: Iterable[bytes]) -> None:
    """Write the repository's corpus."""
    CORPUS.mkdir(exist_ok=True)
    (CORPUS / name).write_text("".join(f"{data!r}\n" for data in sorted(set(inputs))))


def seeds(name: str) -> list[bytes]:
    """All a run begins with."""
    target = load(name)
    return [data[: target.MAX_BYTES] for data in (*target.SEEDS, *kept(name))] or [b""]


def made(name: str, rng: random.Random) -> Iterator[bytes]:
    """Inputs without end: the seeds as they are, then damaged and spliced by chance."""
    target, pool, chance = load(name), seeds(name), rng.random
    most, size = target.MAX_BYTES, len(pool)
    yield from pool
    while True:
        data = pool[int(chance() * size)]
        for _ in range(_TIMES[int(chance() * len(_TIMES))]):
            data = _changed(data, chance, target.TOKENS, pool)
        yield data[:most]


def _changed(data: bytes, chance: Chance, tokens: Sequence[bytes], pool: Sequence[bytes]) -> bytes:
    start = int(chance() * (len(data) + 1))
    stop = start + _LENGTHS[int(chance() * len(_LENGTHS))]
    kind = int(chance() * 8)
    if kind < 2:
        middle = tokens[int(chance() * len(tokens))]
    elif kind == 2:
        middle = _BYTES[int(chance() * 256)]
    elif kind == 3:
        middle = _NUMBERS[int(chance() * len(_NUMBERS))]
    elif kind == 4:
        middle = data[start:stop] * (2, 3, 20)[int(chance() * 3)]
    elif kind == 5:
        other = pool[int(chance() * len(pool))]
        middle = other[int(chance() * (len(other) + 1)) :]
    elif kind == 6:
        return data[:start]
    else:
        middle = b""
    return data[:start] + middle + data[stop:]


def run(name: str, *, seed: int, inputs: int, seconds: float = float("inf")) -> int:
    """Feed inputs made by chance until the number or the time is used up; how many. Raises FailedError."""
    once = load(name).once
    end = time.monotonic() + seconds
    for count, data in enumerate(made(name, random.Random(seed)), 1):
        try:
            once(data)
        except Exception as error:
            raise FailedError(data) from error
        if count >= inputs or (not count & 255 and time.monotonic() >= end):
            return count
    raise AssertionError("made() has no end")
