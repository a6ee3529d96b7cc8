"""What each stage costs alone, in microseconds an event: the least of many repeats, which is what repeats."""

from __future__ import annotations

import argparse
import functools
import gc
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from bench import mix
from bench.paths import CALLBACKS, cache_dir
from bench.stages import KINDS, Stage, Workbench, audit, file_commit, manifest, pack, recovery
from ingestd.http import connection
from ingestd.sources.query import NATIVE

LEAST_SECONDS = 0.05  # a repeat is at least this long, so that the clock's steps do not show


@dataclass(frozen=True)
class Cost:
    """Microseconds an event: CPU (all threads) and wall, the least; and the CPU's median over the least."""

    cpu: float
    wall: float
    unrest: float


@contextmanager
def stages(folder: Path) -> Iterator[dict[str, Stage]]:
    """Set up all stages, by name."""
    bench = Workbench(mix.build(CALLBACKS), folder)
    with ExitStack() as stack:
        yield {
            "parse": bench.parse,
            "scan": bench.scan,
            "decode": bench.decode,
            "event": bench.event,
            "queue": bench.queue,
            "intake": bench.intake,
            **{f"intake {kind}": functools.partial(bench.intake, kind) for kind in KINDS},
            "commit": stack.enter_context(file_commit(bench.lines, folder)),
            "manifest": manifest(bench.lines, folder),
            "recovery": recovery(bench.lines, folder),
            "audit": audit(bench.lines, folder),
            "pack": pack(bench.entries, keyed=False),
            "pack keyed": pack(bench.entries, keyed=True),
        }


def measure(stage: Stage, repeats: int) -> Cost:
    """Repeat a stage, collecting garbage between the repeats and never within one."""
    rounds = _rounds(stage)
    cpu, wall = [], []
    for _ in range(repeats):
        gc.collect()
        gc.disable()
        began, used = time.perf_counter(), time.process_time()
        events = sum(stage() for _ in range(rounds))
        used, began = time.process_time() - used, time.perf_counter() - began
        gc.enable()
        cpu.append(used / events * 1e6)
        wall.append(began / events * 1e6)
    return Cost(min(cpu), min(wall), statistics.median(cpu) / min(cpu))


def _rounds(stage: Stage) -> int:
    stage()
    began = time.perf_counter()
    stage()
    return max(1, round(LEAST_SECONDS / (time.perf_counter() - began)))


def interleaved(chosen: dict[str, Stage], repeats: int, passes: int) -> dict[str, Cost]:
    """Measure all stages several times over, so that a slow spell of the machine spoils no stage's least."""
    found: dict[str, list[Cost]] = {name: [] for name in chosen}
    for number in range(passes):
        for name, stage in chosen.items():
            print(f"\rpass {number + 1}/{passes}: {name:14}", end="", file=sys.stderr, flush=True)
            found[name].append(measure(stage, repeats))
    print("\r" + " " * 40 + "\r", end="", file=sys.stderr)
    return {
        name: Cost(
            min(c.cpu for c in all_), min(c.wall for c in all_), statistics.median(c.unrest for c in all_)
        )
        for name, all_ in found.items()
    }


def table(costs: dict[str, Cost], against: dict[str, dict[str, float]]) -> str:
    """Return the costs as a Markdown table, beside earlier ones where there are any."""
    lines = [
        "| stage | CPU µs/event | wall µs/event | median/least | new/old CPU |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, cost in costs.items():
        ratio = f"{cost.cpu / against[name]['cpu']:.3f}" if name in against else ""
        lines.append(f"| {name} | {cost.cpu:.2f} | {cost.wall:.2f} | {cost.unrest:.2f} | {ratio} |")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="bench/micro",
        description="Measure ingestd's stages without a socket; `intake` is all of them but the commit.",
        epilog="example: bench/micro --json before.json; (change); bench/micro --against before.json",
    )
    parser.add_argument("--only", help="stages, separated by commas")
    parser.add_argument("--repeats", type=int, default=8, help="repeats of a stage in a pass (default 8)")
    parser.add_argument("--passes", type=int, default=4, help="passes over all stages (default 4)")
    parser.add_argument("--json", type=Path, help="write the costs to this file")
    parser.add_argument("--against", type=Path, help="compare with costs written before")
    args = parser.parse_args(argv)
    earlier = json.loads(args.against.read_text(encoding="utf-8")) if args.against else {}
    with tempfile.TemporaryDirectory(dir=cache_dir()) as folder, stages(Path(folder)) as everything:
        names = args.only.split(",") if args.only else list(everything)
        unknown = set(names) - set(everything)
        if unknown:
            parser.error(f"no such stage: {', '.join(sorted(unknown))}; there are {', '.join(everything)}")
        costs = interleaved({name: everything[name] for name in names}, args.repeats, args.passes)
    print("scan:", "compiled" if NATIVE else "declines all, no compiler was at hand at installation")
    print("hot path:", "interpreted" if connection.__file__.endswith(".py") else "compiled by mypyc")
    print(table(costs, earlier))
    if args.json:
        args.json.write_text(
            json.dumps({name: asdict(cost) for name, cost in costs.items()}, indent=1) + "\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
