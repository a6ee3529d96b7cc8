"""What an instance carries in stored mode with one core and 2 GiB of memory.

    bench/pod --seconds 5

The instance is bound to the first core and its memory is limited by a control group, cache of its files
included; nginx and the load generators are bound to the second. It carries a rate if every request offered at
it is answered with success, the hundredth slowest within 50 ms; each event answered is then found on disk.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

from bench import measure
from bench.contenders import Place
from bench.ingestd_rows import Ingestd
from bench.limits import Limit, memory_limit
from bench.measure import Result
from bench.paths import CALLBACKS
from bench.procs import BenchError
from bench.suite import make_plan, say

RATES = "400,2000,5000,8000,10000,12000,15000,20000"
MOST_P99_MS = 50.0
GIB = 1 << 30


class Pod(Ingestd):
    """ingestd in stored mode on one core, within limits."""

    def __init__(self, core: int, within: Limit) -> None:
        super().__init__("stored", "answering after fdatasync, on one core")
        self._before = [*within.entering(), "taskset", "--cpu-list", str(core)]

    def command(self, place: Place) -> list[str]:
        return [*self._before, *super().command(place)]


def carried(result: Result, rates: tuple[float, ...]) -> float:
    """The highest rate that it and all lower ones were carried at; 0 for none."""
    highest = 0.0
    for rate in sorted(rates):
        figures = result.metrics
        if figures[f"{rate:g}.bad"] > 0 or figures[f"{rate:g}.p99_ms"] > MOST_P99_MS:
            break
        highest = rate
    return highest


def table(result: Result, rates: tuple[float, ...]) -> str:
    """Each rate with what became of it."""
    figures = result.metrics
    fastest = f"{figures['sat.rps']:,.0f} requests/s, p99 {figures['sat.p99_ms']:.1f} ms"
    cost = f"{figures['sat.cpu_us']:.1f} µs of CPU an event, at most {figures['rss_mib']:.0f} MiB resident"
    lines = [
        f"as fast as replies come (wrk, 64 connections): {fastest}, {cost}",
        f"{'offered/s':>10} {'not taken':>10} {'p50 ms':>8} {'p99 ms':>8} {'others, cores':>14}",
    ]
    for rate in rates:
        name = f"{rate:g}"
        bad, p50, p99 = (figures[f"{name}.{key}"] for key in ("bad", "p50_ms", "p99_ms"))
        others = figures[f"{name}.others_cores"]
        lines.append(f"{rate:>10,.0f} {bad:>10.2%} {p50:>8.1f} {p99:>8.1f} {others:>14.2f}")
    return "\n".join(lines)


def arguments() -> argparse.Namespace:
    """The command line, with what the suite's plan asks for besides."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5, help="of each load (default 5)")
    parser.add_argument("--rates", default=RATES, help=f"requests/s offered (default {RATES})")
    parser.add_argument("--memory", type=float, default=2, help="GiB (default 2)")
    parser.add_argument("--patience", type=float, default=60, help="wait so long for a quiet machine")
    parser.add_argument("--work", type=Path, help="folder for its files (default: the cache)")
    args = parser.parse_args()
    args.callbacks, args.connections = CALLBACKS, 64
    return args


def main() -> int:
    """The command; 1 where it did not keep what it answered, 2 where nothing could be measured."""
    args = arguments()
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2 or shutil.which("taskset") is None:
        say("bench/pod: needs two cores and taskset (util-linux)")
        return 2
    os.sched_setaffinity(0, {cores[1]})
    try:
        plan = make_plan(args)
        with memory_limit("ingestd-pod", int(args.memory * GIB)) as within:
            result = measure.run(Pod(cores[0], within), 1, plan)
            if within.killed():
                result.invalid.append("the kernel killed it: out of memory")
    except BenchError as error:
        say(f"bench/pod: {error}")
        return 2
    print(f"stored, core {cores[0]} alone, {args.memory:g} GiB; nginx and the generators on core {cores[1]}")
    print(table(result, plan.rates))
    print(f"carries {carried(result, plan.rates):,.0f} requests/s, p99 within {MOST_P99_MS:g} ms")
    print("\n".join(f"INVALID: {reason}" for reason in result.invalid), end="")
    return 1 if result.invalid else 0


if __name__ == "__main__":
    sys.exit(main())
