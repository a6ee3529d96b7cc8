"""A steady load for long, with reloads, rotations and Kafka restarts on the way: does anything grow?

    python -m tests.commands.soak --minutes 60 --rate 5000 --out bench/results

Real nginx, files and a real Kafka at once, an open loop load. Samples go to soak.csv, a plot to soak.svg, the
verdict to soak.txt and the terminal: flat is what drifts little over the second half of the run. The exit
status is 1 where something is not flat, was refused or is not where it should be.
"""

from __future__ import annotations

import argparse
import functools
import io
import platform
import sys
import time
from collections import Counter
from contextlib import redirect_stdout
from pathlib import Path

from tests.commands.soak.plot import plot
from tests.commands.soak.run import Soak, Soaked
from tests.commands.soak.sampling import drifts, write
from tests.support.daemon import ROOT
from tests.support.kafka.broker import KafkaBroker
from tests.support.place import open_place


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0, help="how long (default 60)")
    parser.add_argument("--rate", type=float, default=5000.0, help="requests a second (default 5000)")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between samples (default 5)")
    parser.add_argument("--out", type=Path, default=ROOT / "var" / "soak", help="default var/soak")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with open_place() as place, KafkaBroker(place / "kafka") as kafka:
        soak = Soak(place, kafka, rate=arguments.rate, every=arguments.every)
        said = functools.partial(print, file=sys.stdout, flush=True)
        try:
            with redirect_stdout(io.StringIO()):  # the ends of the parts' logs
                found = soak.run(60 * arguments.minutes, said)
        finally:
            if soak.found.samples:
                write(soak.found.samples, arguments.out / "soak.csv")
    title = f"{arguments.minutes:g} minutes at {arguments.rate:g} requests/s, {time.strftime('%Y-%m-%d')}"
    (arguments.out / "soak.svg").write_text(plot(title, found.samples, found.done), "utf-8")
    lines, good = verdict(title, found)
    (arguments.out / "soak.txt").write_text("\n".join(lines) + "\n", "utf-8")
    print(*lines, sep="\n")
    return 0 if good else 1


def verdict(title: str, found: Soaked) -> tuple[list[str], bool]:
    """What the run was, measure by measure, and whether all is well."""
    measures = drifts(found.samples)
    done = Counter(what for _, what in found.done)
    share = found.refused / max(found.sent, 1)
    went = (
        f"{found.sent:,} sent, {found.replies:,} answered with success, {found.refused:,} not ({share:.4%}); "
    )
    went += f"{found.stored:,} stored, {found.delivered:,} delivered to Kafka"
    events = f"{done['reload']} reloads, {done['rotate']} rotations, {done['kafka']} Kafka restarts; "
    lines = [f"{title}; {platform.machine()}, Python {platform.python_version()}", went]
    lines += [f"{events}audit of the files: {found.audit}", "the second half:", *map(str, measures)]
    lines += [f"PROBLEM: {one}" for one in found.problems]
    good = all(one.flat for one in measures) and not found.problems and not found.refused
    return [*lines, "all flat, nothing refused or lost" if good else "NOT GOOD, see above"], good


if __name__ == "__main__":
    sys.exit(main())
