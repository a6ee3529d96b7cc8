"""What one request costs for each byte of it: a table of the worst known, and a search for worse. A command:

    python -m tests.commands.cost --seconds 60            # this checkout
    python -m tests.commands.cost --seconds 0 --code DIR  # the table alone, of another checkout

A request is a recipe: a query, a body, a coding and a kind of source, each a unit and how often it is there.
The search changes recipes by chance and keeps those with the best score: bytes of lines as a share of those
allowed, or CPU as a share of TURN. A request is taken in one turn of the loop: its CPU is how long others
wait.

Exit status 1: a request became more bytes than its allowance, or a turn took longer than TURN.
"""

from __future__ import annotations

import argparse
import gc
import gzip
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ingestd.errors import RequestRefusedError
from ingestd.http.request import Request
from ingestd.sources.source import Source
from tests.support.fakes import headers, make_source, request_for, taken

FORM, JSON, LINED, TEXT = (
    "application/x-www-form-urlencoded",
    "application/json",
    "application/x-ndjson",
    "text/plain",
)
# Milliseconds of CPU in one turn of the loop.
TURN = 50.0
MAX_QUERY, MAX_BODY = 32 * 1024 - 16, 1 << 20
UNITS = (
    b"%", b"%4", b"%41", b"%01", b"%FF", b"\x01", b"\xd6", b"+", b"&", b"a&", b"a=&", b"a=b&", b"imei=%d&",
    b"ts=%d&", b"%d=__A__&", b"a=__A__&", b"1,", b"[],", b"{},", b'"a",', b'"\\u0001",', b'{"imei":"86%d"},',
    b'{"%d":"__A__"},', b'{"ts":1,"id":"%d"},', b"[", b"1\n", b"{}\n", b"x", b'"', b"\\", b"1.5,", b"1e9,",
    b'{"a":',
)  # fmt: skip
ENDS = ((b"", b""), (b"[", b"0]"), (b'{"a":[', b"0]}"), (b"a=", b""), (b'"', b'"'))
SOURCES: dict[str, Callable[[], Source]] = {
    "plain": make_source,
    "rich": lambda: make_source(
        dedup=["id", "a+b"], dedup_window=100_000, key=["imei"], event_time={"param": "ts"}, volatile=["ts"]
    ),
    "privacy": lambda: make_source(privacy={"imei": "sha256", "a": "drop"}),
}


@dataclass(frozen=True)
class Recipe:
    """A request; `ends`: what stands before and behind the body's units."""

    query: bytes = b""
    queries: int = 0
    unit: bytes = b""
    units: int = 0
    ends: tuple[bytes, bytes] = (b"", b"")
    media_type: str = JSON
    packed: bool = False
    source: str = "plain"

    def request(self) -> Request:
        """The request, as its source gets it."""
        query = repeated(self.query, self.queries, MAX_QUERY)
        body = self.ends[0] + repeated(self.unit, self.units, 8 * MAX_BODY) + self.ends[1]
        body = gzip.compress(body, 1) if self.packed else body[:MAX_BODY]
        fields = {"Content_Type": self.media_type, **({"Content_Encoding": "gzip"} if self.packed else {})}
        request = request_for(query, headers(**fields), body[:MAX_BODY])
        request.target = b"/c/demo?" + query
        return request


@dataclass(frozen=True)
class Cost:
    """What a recipe cost. `reason`: of its refusal, or ""."""

    received: int
    lines: int
    milliseconds: float
    reason: str


KNOWN: dict[str, Recipe] = {
    "a usual array": Recipe(b"a=b&", 2, b'{"ts":1,"id":"%d"},', 1000, ENDS[1]),
    "percent signs in a query": Recipe(b"%", 31_000, b"", 0),
    "a form of percent signs": Recipe(b"", 0, b"%", MAX_BODY, ENDS[3], FORM),
    "the same, compressed": Recipe(b"", 0, b"%", 8 << 20, ENDS[3], FORM, packed=True),
    "escapes and percent signs": Recipe(b"", 0, b"%41%", MAX_BODY // 4, ENDS[3], FORM),
    "a query in every event": Recipe(b"a", 6600, b"1,", 9999, ENDS[1]),
    "a query of 30 KB in every event": Recipe(b"a", 30_000, b"1,", 9999, ENDS[1]),
    "10,000 events": Recipe(b"a=b&", 1, b'{"ts":1,"id":"%d"},', 9999, ENDS[1], source="rich"),
    "control bytes": Recipe(b"", 0, b"\x01", MAX_BODY, ENDS[0], TEXT),
    "control bytes, compressed": Recipe(b"", 0, b"\x01", 8 << 20, ENDS[0], TEXT, packed=True),
    "a form of 60 KB of private values": Recipe(b"", 0, b"imei=86%d&", 4500, ENDS[0], FORM, source="privacy"),
    "an array of private values": Recipe(b"", 0, b'{"imei":"86%d"},', 9999, ENDS[1], source="privacy"),
    "a form of pairs": Recipe(b"", 0, b"a&", MAX_BODY // 2, ENDS[0], FORM),
    "empty arrays": Recipe(b"", 0, b"[],", MAX_BODY // 3, ENDS[2]),
    "percent signs for privacy": Recipe(
        b"", 0, b"%", 2_621_440, ENDS[3], FORM, packed=True, source="privacy"
    ),
    "escapes for privacy": Recipe(b"", 1000, b"%41%", 262_144, ENDS[2], FORM, source="privacy"),
    "a large private value": Recipe(b"", 0, b'{"imei":"86%d"},', 7499, ENDS[2], source="privacy"),
    "percent signs, compressed": Recipe(
        b"1\n+", 30_000, b"%", 6_553_600, ENDS[3], FORM, packed=True, source="rich"
    ),
    "macros in every event": Recipe(b"%d=__A__&", 1000, b"1,", 9999, ENDS[1]),
}  # fmt: skip


def repeated(unit: bytes, times: int, most: int) -> bytes:
    """A unit so often; each `%d` in it is another number."""
    if b"%d" not in unit:
        return (unit * min(times, most // max(len(unit), 1) + 1))[:most]
    return b"".join([unit.replace(b"%d", b"%d" % number) for number in range(times)])[:most]


def measured(recipe: Recipe, runs: int = 3) -> Cost:
    """The least CPU of some runs."""
    reason, lines, least = "", 0, float("inf")
    request = recipe.request()
    received = len(request.target) + len(request.body)
    for _ in range(runs):
        source, again = SOURCES[recipe.source](), recipe.request()
        began = time.process_time()
        try:
            lines = len(taken(source, again).data)
        except RequestRefusedError as error:
            reason = error.reason
        least = min(least, (time.process_time() - began) * 1000)
        if least > 10 * TURN:
            break
    return Cost(received, lines, least, reason)


def allowance(received: int) -> int:
    """Bytes of lines a request may become."""
    from ingestd.sources.budget import Budget  # not in older checkouts, of which the table is printed

    return Budget().allowance(received)


def changed(recipe: Recipe, rng: random.Random) -> Recipe:
    """A recipe with one thing changed."""
    sizes = [0, 1, 10, 100, 1000, 9999, 30_000, 100_000, 199_000, MAX_BODY, 8 << 20]
    unit = rng.choice(UNITS) + (rng.choice(UNITS) if rng.random() < 0.3 else b"")
    changes: list[dict[str, object]] = [
        {"query": unit}, {"queries": rng.choice(sizes[:8])}, {"unit": unit}, {"units": rng.choice(sizes)},
        {"units": max(1, recipe.units * rng.choice((1, 3, 5)) // rng.choice((2, 4)))},
        {"ends": rng.choice(ENDS)},
        {"media_type": rng.choice((FORM, JSON, LINED, TEXT))}, {"packed": not recipe.packed},
        {"source": rng.choice(tuple(SOURCES))},
    ]  # fmt: skip
    return replace(recipe, **rng.choice(changes))  # type: ignore[arg-type]


def score(cost: Cost) -> float:
    """Above 1: too much."""
    return max(cost.lines / allowance(cost.received), cost.milliseconds / TURN)


def search(seconds: float, seed: int) -> list[tuple[float, Recipe, Cost]]:
    """The worst recipes found in so long, the worst first."""
    rng, until = random.Random(seed), time.monotonic() + seconds
    best = sorted(
        ((score(cost := measured(one, 1)), one, cost) for one in KNOWN.values()), key=lambda it: -it[0]
    )
    while time.monotonic() < until:
        recipe = changed(changed(rng.choice(best)[1], rng), rng)
        cost = measured(recipe, 1)
        if score(cost) > best[-1][0] and recipe not in [one for _, one, _ in best]:
            cost = measured(recipe)  # a busy machine must not pass for a find
            best = sorted([*best, (score(cost), recipe, cost)], key=lambda it: -it[0])[:12]
    return best


def print_table(rows: list[tuple[str, Cost]]) -> None:
    """One row a request."""
    columns = ("bytes in", 9), ("CPU ms", 8), ("us/KB", 7), ("bytes of lines", 14), ("factor", 8)
    print(f"{'request':36}", *(f"{name:>{width}}" for name, width in columns), " refused")
    for name, cost in rows:
        per = cost.milliseconds * 1e6 / cost.received
        figures = f"{cost.received:9,} {cost.milliseconds:8.1f} {per:7.0f} {cost.lines:14,}"
        print(f"{name[:36]:36} {figures} {cost.lines / cost.received:8.1f}  {cost.reason}")


def main() -> int:
    """Print the table, then search."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--code", type=Path, help="a checkout whose code is measured, by its table alone")
    args = parser.parse_args()
    if args.code is not None:
        command = [sys.executable, str(Path(__file__).resolve()), "--seconds", "0"]
        return subprocess.run(
            command, env={**os.environ, "PYTHONPATH": str(args.code)}, check=False
        ).returncode
    gc.set_threshold(50_000, 20, 20)  # as the daemon
    gc.freeze()
    rows = [(name, measured(recipe)) for name, recipe in KNOWN.items()]
    print_table(rows)
    print(f"longest turn {max(cost.milliseconds for _, cost in rows):.1f} ms")
    if args.seconds <= 0:
        return 0
    print(f"\nsearch, seed {args.seed}")
    found = search(args.seconds, args.seed)
    for value, recipe, _ in found[:8]:
        print(f"  {value:5.2f} {recipe}")
    print_table([(f"score {value:.2f}", cost) for value, _, cost in found])
    return int(found[0][0] > 1)


if __name__ == "__main__":
    sys.exit(main())
