"""Kill -9 at random moments under load, through the shipped nginx: is anything lost that was answered?

    python -m tests.commands.kill --cycles 1000

Each cycle starts an instance, lets it answer for a random while, and kills it; or kills it while it is
still starting and recovering. Every CHECK cycles it is stopped in order and all files are held against the
ledger; then compression is another. The seed that is printed gives the same choices again.
"""

from __future__ import annotations

import argparse
import random
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from tests.support.daemon import Daemon, lines
from tests.support.load import Load
from tests.support.nginx import Nginx
from tests.support.oracle import Ledger, Oracle, Verdict
from tests.support.place import open_place

CHECK = 25
CONNECTIONS = 32
COMPRESSIONS = ("zstd", "none", "gzip")
# Seconds within which an instance is still starting: some kills fall here.
START = 0.5


@dataclass
class Tally:
    """What a run saw. `in_flight`: requests under way at the kills."""

    kills: int = 0
    while_starting: int = 0
    in_flight: int = 0
    bad_bytes: int = 0


class Killer:
    """One run in `place`; `seed` fixes every choice but the scheduler's."""

    def __init__(self, place: Path, seed: int) -> None:
        self.daemon = Daemon(place)
        self.ledger = Ledger()
        self.oracle = Oracle(self.ledger)
        self.tally = Tally()
        self._nginx = Nginx(place, [self.daemon.socket])
        self._seed = seed
        self._never = threading.Event()

    def run(self, cycles: int, say: Callable[[str], None]) -> Verdict:
        """Kill `cycles` times. Returns the last verdict; stops early at the first that is bad."""
        began = time.monotonic()
        result = Verdict()
        load = Load(self._nginx.address, self.ledger, connections=CONNECTIONS)
        with closing(self.daemon), self._nginx, load:
            for cycle in range(cycles):
                self._cycle(random.Random(f"{self._seed}/{cycle}"), COMPRESSIONS[cycle // CHECK % 3])
                if (cycle + 1) % CHECK == 0 or cycle + 1 == cycles:
                    result = self._check()
                    say(
                        f"{cycle + 1:>5} kills  {result.acked:>8} acks  {self.tally.in_flight:>6} in flight  "
                        f"{len(result.missing)} lost  {time.monotonic() - began:.0f} s"
                    )
                    if result.problems():
                        break
        return result

    def _cycle(self, dice: random.Random, compress: str) -> None:
        daemon, tally = self.daemon, self.tally
        rotate_bytes = dice.choice(["32KiB", "256KiB", "64MiB"])
        daemon.configure(file={"rotate_bytes": rotate_bytes, "compress": compress})
        if dice.random() < 0.1:
            daemon.spawn()
            self._never.wait(dice.uniform(0, START))
            tally.while_starting += 1
        else:
            daemon.start()
            self.ledger.wait_for_acks(dice.randint(1, 250))
            self._never.wait(dice.uniform(0, 0.02))
        tally.in_flight += self.ledger.in_flight
        daemon.kill()
        tally.kills += 1

    def _check(self) -> Verdict:
        """Let a last instance recover and stop in order, then read and remove every file."""
        daemon = self.daemon
        daemon.start()
        self.ledger.wait_for_acks(10)  # a fresh event passes
        status = daemon.stop()
        left = sorted(daemon.directory.glob("*.open")) + sorted(daemon.directory.glob("*.tmp"))
        for path in daemon.files():
            self.oracle.read(lines(path))
        for path in daemon.directory.iterdir():
            if path.suffix == ".bad":
                self.tally.bad_bytes += path.stat().st_size
            path.unlink()
        assert (status, left) == (0, [])
        return self.oracle.verdict()


def main() -> int:
    """The command. Returns 0 where nothing was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cycles", type=int, default=1000, help="how many kills (default 1000)")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000, help="default: by the clock")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    with open_place() as place:
        killer = Killer(place, arguments.seed)
        result = killer.run(arguments.cycles, lambda text: print(text, flush=True))
    print(killer.tally)
    print(f"statuses {dict(killer.ledger.statuses)}, unanswered {killer.ledger.unanswered}")
    print("\n".join(result.problems()) or f"nothing lost, altered or invented: {result}")
    return 1 if result.problems() else 0


if __name__ == "__main__":
    sys.exit(main())
