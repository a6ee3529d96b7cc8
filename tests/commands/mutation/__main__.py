"""Small bugs put into the durable part, one at a time: do the unit tests see each?

    nice python -m tests.commands.mutation                                   # all modules of the list below
    python -m tests.commands.mutation ingestd/spool/spool.py --minutes 10    # one, as far as ten minutes go

Only the tests that reach the changed line are run. What survives is printed, unless `explained.tsv` beside
this file says why it cannot be seen; the exit status is 1 where a survivor is not explained.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.commands.mutation.mutants import Mutant, mutants
from tests.commands.mutation.running import Bench
from tests.commands.mutation.targets import TARGETS, explanations, unit_tests
from tests.support.daemon import ROOT


def main() -> int:
    """The command. Returns 0 where every survivor is explained."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("modules", nargs="*", help="default: all")
    parser.add_argument("--minutes", type=float, default=600.0, help="stop after so long (default: no limit)")
    parser.add_argument("--sample", type=float, default=1.0, help="the share of the mutants that is tried")
    parser.add_argument("--seed", type=int, default=1, help="of the sample")
    arguments = parser.parse_args()
    ends = time.monotonic() + 60 * arguments.minutes
    explained = explanations()
    unexplained = 0
    for name in arguments.modules or TARGETS:
        found = mutants(ROOT / name)
        dice = random.Random(f"{arguments.seed}/{name}")
        chosen = [one for one in found if dice.random() < arguments.sample]
        if time.monotonic() > ends or not chosen:
            print(f"{name}: not tried", flush=True)
            continue
        for text, change in sorted(stale(name, found, explained)):
            print(f"  explained, and there no more: {name}: {text}\n      {change}", flush=True)
        counts = _try(Path(name), chosen, ends, explained)
        unexplained += counts["survived"] + counts["not reached"]
        print(f"{name}: {len(found)} mutants, {sum(counts.values())} tried: {dict(counts)}", flush=True)
    return 1 if unexplained else 0


def _try(
    module: Path, chosen: list[Mutant], ends: float, explained: dict[tuple[str, str, str], str]
) -> Counter[str]:
    """What became of them; survivors are printed as they are found."""
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="mutation-") as place:
        bench = Bench(Path(place), [module], unit_tests(str(module)))
        bench.look()
        for one in chosen:
            if time.monotonic() > ends:
                break
            outcome = _one(bench, module, one)
            if outcome != "killed" and (str(module), one.text, one.change) in explained:
                outcome = "explained"
            counts[outcome] += 1
            if outcome in ("survived", "not reached"):
                print(f"  {outcome}: {module}:{one.line}: {one.text}\n      {one.change}", flush=True)
    return counts


def _one(bench: Bench, module: Path, mutant: Mutant) -> str:
    tests = bench.tests_of(module, mutant)
    if not tests:
        return "not reached"
    return "survived" if bench.survives(module, mutant, tests) else "killed"


def stale(
    module: str, found: list[Mutant], explained: dict[tuple[str, str, str], str]
) -> set[tuple[str, str]]:
    """Lines and changes of a module that are explained, though nothing is changed so any more."""
    return {key[1:] for key in explained if key[0] == module} - {(one.text, one.change) for one in found}


if __name__ == "__main__":
    sys.exit(main())
