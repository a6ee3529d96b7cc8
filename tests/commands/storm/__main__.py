"""Faults in combination, for hours: is anything lost that was answered, whatever fails at the same time?

    python -m tests.commands.storm --hours 8
    python -m tests.commands.storm --seed 4711 --trials 1      # a seed again

Each trial is one seed: it chooses how ingestd is run (files, Kafka or both; stored or queued; one instance
or two) and a sequence of faults, several at once: kill -9, TERM, SIGSTOP, kills in mid-start, a full, a
read-only, a failing and a slow disk, steps of the wall clock, the broker killed or paused, acknowledgements
lost, reloads good and bad, rotations. The oracle of the other tests judges it. A seed makes the same choices.
"""

from __future__ import annotations

import argparse
import io
import itertools
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, redirect_stdout

from tests.commands.storm.seeds import KEPT
from tests.commands.storm.trial import STEPS, storm
from tests.support.kafka.broker import KafkaBroker
from tests.support.kafka.install import KafkaUnavailableError
from tests.support.place import open_place


def main() -> int:
    """The command. Returns 0 where nothing was lost."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))  # with all that leaving takes
    ends = time.monotonic() + arguments.hours * 3600
    failed, kinds, kills, acks, done = [], Counter[str](), 0, 0, 0
    with ExitStack() as stack:
        kafka = None
        if arguments.sinks != "file":
            try:
                kafka = stack.enter_context(KafkaBroker(stack.enter_context(open_place()) / "kafka"))
            except KafkaUnavailableError as error:
                print(f"NO KAFKA, only files are stormed: {error}", flush=True)
                arguments.sinks = "file"
        for seed, sinks, steps in _trials(arguments):
            if done >= arguments.trials if arguments.trials else time.monotonic() >= ends:
                break
            done += 1
            print(f"seed {seed}", end="\r", flush=True)
            logs = io.StringIO()
            try:
                with redirect_stdout(logs):
                    found = storm(seed, sinks=sinks, steps=steps, kafka=kafka)
            except Exception:
                print(logs.getvalue(), traceback.format_exc(), sep="\n", flush=True)
                failed.append(seed)
                continue
            print(found.summary(), flush=True)
            kinds, kills, acks = kinds + found.kinds, kills + found.kills, acks + found.verdict.acked
    print(f"{done} trials, {acks} acks, {kills} kills; {dict(kinds.most_common())}")
    if failed:
        print(f"FAILED: seeds {failed}; keep them in tests/commands/storm/seeds.py")
    else:
        print("nothing lost, altered or invented")
    return 1 if failed else 0


def _trials(arguments: argparse.Namespace) -> Iterator[tuple[int, str, int]]:
    """Seed, sinks and steps: from --seed on, or first those that once found something and then by chance."""
    if arguments.seed is None:
        if arguments.sinks == "any":
            yield from KEPT
        arguments.seed = time.time_ns() % 1_000_000
    for seed in itertools.count(arguments.seed):
        yield seed, arguments.sinks, arguments.steps


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--hours", type=float, default=1.0, help="how long (default 1)")
    parser.add_argument("--trials", type=int, default=0, help="how many, in place of how long")
    parser.add_argument("--seed", type=int, help="of the first trial (default: those kept, then by chance)")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"faults a trial (default {STEPS})")
    parser.add_argument("--sinks", choices=("file", "kafka", "both", "any"), default="any")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
