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
from tests.support.daemon import ROOT

# A module to the unit tests that are about it: quick ones, for each is run many times.
TARGETS: dict[str, tuple[str, ...]] = {
    "ingestd/pipeline/buffer.py": ("pipeline/buffer", "intake", "pipeline/flusher"),
    "ingestd/pipeline/flusher.py": (
        "pipeline/flusher", "pipeline/flusher_faults", "pipeline/subscribers", "intake",
    ),
    "ingestd/system/durable.py": ("system/durable", "file/ndjson", "file/recovery", "file/sink"),
    "ingestd/file/sink.py": (
        "file/sink", "file/sink_faults", "file/sink_upkeep", "pipeline/sink_contract", "file/retention",
        "file/manifests",
    ),
    "ingestd/file/ndjson.py": ("file/ndjson", "file/sink", "file/sink_faults", "file/recovery"),
    "ingestd/file/recovery.py": ("file/recovery", "file/recovery_steps", "file/crash_at_any_step"),
    "ingestd/file/compression.py": ("file/compression", "file/crash_at_any_step", "file/sink_upkeep"),
    "ingestd/file/names.py": ("file/names", "file/ndjson", "file/retention", "cli/audit_files"),
    "ingestd/file/retention.py": ("file/retention", "file/manifests"),
    "ingestd/file/scan.py": ("file/scan", "file/manifests", "cli/audit_files"),
    "ingestd/file/manifests.py": (
        "file/manifests", "file/manifests_steps", "cli/audit_files", "file/crash_at_any_step",
    ),
    **{
        f"ingestd/spool/{name}.py": (
            "spool/spool", "spool/checkpoint", "spool/damage", "spool/format", "spool/fs", "spool/full",
            "spool/inspect", "spool/missing", "spool/model", "spool/real", "spool/recovery", "spool/scan",
            "cli/spool_command",
        )
        for name in (
            "spool", "checkpoint", "directory", "format", "fs", "inspect", "recovery", "scan", "segment",
        )
    },
    "ingestd/kafka/progress.py": ("kafka/progress", "kafka/delivery", "kafka/delivery_bounds"),
    "ingestd/kafka/delivery.py": ("kafka/delivery", "kafka/delivery_bounds", "kafka/progress"),
    "ingestd/pipeline/fanout.py": ("pipeline/fanout", "pipeline/sink_contract"),
    "ingestd/kafka/dead_letter_file.py": ("kafka/dead_letter_file",),
    "ingestd/system/io_thread.py": ("system/io_thread",),
    "ingestd/tally.py": ("file/manifests", "tally_figures", "cli/audit_files", "kafka/manifest", "tally"),
}  # fmt: skip
EXPLAINED = Path(__file__).with_name("explained.tsv")


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
        tests = [f"tests/unit/test_{name}.py" for name in TARGETS[str(module)]]
        bench = Bench(Path(place), [module], tests)
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


def explanations() -> dict[tuple[str, str, str], str]:
    """Module, line and change to the reason why no test can see it."""
    found = {}
    for line in EXPLAINED.read_text("utf-8").splitlines() if EXPLAINED.exists() else []:
        if line and not line.startswith("#"):
            module, text, change, reason = line.split("\t")
            found[module, text, change] = reason
    return found


if __name__ == "__main__":
    sys.exit(main())
