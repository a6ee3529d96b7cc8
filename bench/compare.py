"""Set one run beside an earlier one: ratios, and which of them the spread does not explain."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bench.report import from_json
from bench.stats import Spread, Table

# Metrics that repeat well enough to be compared, and whether more of them is worse.
METRICS = {
    "sat.rps": False,
    "sat.cpu_us": True,
    "sat.front_us": True,
    "rss_mib": True,
    "file_bytes": True,
    "sat.switches": True,
    "p50_ms": True,
    "p99_ms": True,
    "cpu_us": True,
}


def verdict(old: Spread, new: Spread, more_is_worse: bool) -> str:
    """Return ``better``, ``worse``, or nothing where the two spreads overlap."""
    if new.low <= old.high and old.low <= new.high:
        return ""
    return "worse" if (new.median > old.median) == more_is_worse else "better"


def compare(old: Table, new: Table) -> tuple[str, bool]:
    """Return a Markdown table of what both runs have, and whether anything became worse."""
    lines = ["| | metric | old | new | new / old | |", "|---|---|---:|---:|---:|---|"]
    worse = False
    for contender in new.contenders:
        for metric, more_is_worse in _metrics(new, contender):
            before, after = old.spread(contender, metric), new.spread(contender, metric)
            if before is None or after is None or not before.median:
                continue
            found = verdict(before, after, more_is_worse)
            worse = worse or found == "worse"
            ratio = after.median / before.median
            cells = (contender, metric, before.text(2), after.text(2), f"{ratio:.3f}", found)
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines), worse


def _metrics(table: Table, contender: str) -> list[tuple[str, bool]]:
    """Return the metrics to compare: those at saturation by full name, the others at every rate."""
    names = table.rounds(contender)[0].metrics
    found = []
    for name in names:
        key = name if name in METRICS else name.partition(".")[2]
        if key in METRICS and not (name.startswith("sat.") and name not in METRICS):
            found.append((name, METRICS[key]))
    return found


def main(argv: list[str] | None = None) -> int:
    """Print the comparison; 1 where something became worse beyond the spread of both runs."""
    parser = argparse.ArgumentParser(
        prog="bench/compare",
        description="Compare two runs of bench/run; the exit status is 1 where the new one is worse.",
        epilog="example: bench/run --json before.json; (change); bench/run --json after.json; "
        "bench/compare before.json after.json",
    )
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    args = parser.parse_args(argv)
    old, new = (Table(from_json(file.read_text(encoding="utf-8"))) for file in (args.old, args.new))
    text, worse = compare(old, new)
    print(text)
    return int(worse)


if __name__ == "__main__":
    sys.exit(main())
