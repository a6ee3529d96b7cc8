"""Requests of a chosen shape, and the sources that take them: so many parameters, bytes or sources."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench import ingestd_rows, mix
from bench.mix import PUBLIC_BASE, Request
from bench.paths import CALLBACKS

VARIED = 640  # different requests, as many as the example callbacks give
PARAMETERS = 16  # what an ordinary callback has
SPREAD = 10_000  # requests where sources are many: as many for one source as for all
_VALUE = 16  # characters of a parameter's value
_CLICK, _MOMENT = "click_id", "ts"


@dataclass(frozen=True)
class Traffic:
    """Requests, and the text of the sources they are for, given a folder for signing keys."""

    requests: list[Request]
    sources: Callable[[Path], str]


def build(kind: str, size: int) -> Traffic:
    """Return the traffic of a kind, the same on every run.

    ``callbacks``: the platforms' examples. ``parameters``: `size` of them in the query. ``bytes``: a query of
    `size` bytes in 16 parameters. ``sources``: 16 parameters, to each of `size` sources in turn.
    """
    dice = random.Random(f"{kind} {size}")
    if kind == "callbacks":
        return Traffic(mix.build(CALLBACKS), ingestd_rows.sources)
    if kind == "sources":
        sent = [_request(f"/s/{at % size}/app42", PARAMETERS, _VALUE, dice) for at in range(SPREAD)]
        return Traffic(sent, lambda _: "".join(_source(f"s{at}", f"/s/{at}") for at in range(size)))
    if kind == "parameters":
        sent = [_request("/c/scale/app42", size, _VALUE, dice) for _ in range(VARIED)]
    elif kind == "bytes":
        sent = [_sized(size, dice) for _ in range(VARIED)]
    else:
        raise ValueError(f"no such traffic: {kind}")
    return Traffic(sent, lambda _: _source("scale", "/c/scale"))


def _source(name: str, path: str) -> str:
    return (
        f'\n[[source]]\nname = "{name}"\npath = "{path}"\n'
        f'dedup = ["{_CLICK}"]\nevent_time = {{ param = "{_MOMENT}" }}\n'
    )


def _request(path: str, parameters: int, length: int, dice: random.Random, last: int = 0) -> Request:
    """Return a GET with so many parameters; `last`: bytes the last value is longer than the others."""
    names = [_CLICK, *(f"p{at:02d}" for at in range(parameters - 2))]
    values = [_text(length, dice) for _ in names]
    values[-1] += _text(last, dice)
    pairs = [f"{_MOMENT}=1718{dice.randrange(10**9):09d}"]
    pairs += [f"{name}={value}" for name, value in zip(names, values, strict=True)]
    return mix.get(f"{PUBLIC_BASE}{path}?{'&'.join(pairs)}")


def _sized(size: int, dice: random.Random) -> Request:
    """Return a GET whose query has exactly `size` bytes in 16 parameters."""
    bare = _query_bytes(_request("/c/scale/app42", PARAMETERS, 0, dice))
    length, last = divmod(size - bare, PARAMETERS - 1)
    if length < 1:
        raise ValueError(f"a query of {PARAMETERS} parameters has more than {bare} bytes")
    return _request("/c/scale/app42", PARAMETERS, length, dice, last)


def _query_bytes(request: Request) -> int:
    return len(request.target.partition("?")[2])


def _text(length: int, dice: random.Random) -> str:
    return f"{dice.getrandbits(4 * length):0{length}x}" if length else ""
