"""Power cuts at random moments under load: is anything lost that was answered?

    python -m tests.commands.powercut --cuts 1000                   # each variant in turn
    python -m tests.commands.powercut --cuts 100 --variants names   # only what POSIX promises of names
    python -m tests.commands.powercut --cuts 20 --lie               # the control, where fsync does nothing

The daemon's directories are on a file system of our own (tests/support/losing), which keeps in memory what
was not synced and loses it at the cut: all of it (drop), page by page (subset), within a write (torn), the
earlier part and not the later (reorder), or names that no fsync of their directory covered (names). One cut
in four is followed by a second one while the instance recovers. After each cut an instance takes up what is
left and is stopped in order, all it holds is held against what was answered, and `ingestd audit` must agree.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.daemon import Daemon, DaemonEndedError, environment, ingestd, lines
from tests.support.kafka.daemon import KafkaDaemon
from tests.support.load import Load
from tests.support.losing.model import VARIANTS
from tests.support.losing.mount import LosingMount, why_not
from tests.support.oracle import Ledger, Oracle, Verdict
from tests.support.place import open_place

CONNECTIONS = 16
SINKS = ("file", "spool")
# Seconds within which an instance is still starting: a second cut falls here.
START = 0.4
# Nobody listens there: all that is stored for Kafka stays in the spool.
NOWHERE = "127.0.0.1:1"


@dataclass
class Tally:
    """What a run saw. `lost`: changes of names and contents that the cuts have taken."""

    cuts: dict[str, int] = field(default_factory=dict)
    second: int = 0
    in_flight: int = 0
    lost: int = 0
    audits: list[str] = field(default_factory=list)


class Cutter:
    """One run in `place`; `seed` fixes every choice but the scheduler's. `sink`: one of SINKS."""

    def __init__(self, place: Path, seed: int, sink: str = "file") -> None:
        self.place = place
        self.disk = LosingMount(place / "disk")
        self._spool = self.disk.mountpoint / "var" / "spool"
        self._sink = sink
        self.daemon: Daemon
        if sink == "file":
            self.daemon = Daemon(place, file={"directory": str(self.disk.mountpoint / "var" / "clicks")})
        else:
            spool = {"directory": str(self._spool), "max_bytes": "64MiB"}
            self.daemon = KafkaDaemon(place, NOWHERE, spool=spool, ingest={"drain_timeout": "1s"})
        self.ledger = Ledger()
        self.oracle = Oracle(self.ledger)
        self.tally = Tally()
        self._seed = seed
        self._never = threading.Event()

    def run(
        self, cuts: int, variants: Sequence[str], say: Callable[[str], None], *, lie: bool = False
    ) -> Verdict:
        """Cut `cuts` times, each variant in turn. Returns the last verdict; ends at the first bad one."""
        began = time.monotonic()
        result = Verdict()
        load = Load(self.daemon.socket, self.ledger, connections=CONNECTIONS)
        with self.disk, closing(self.daemon), load:
            if lie:
                self.disk.lie()
            for number in range(cuts):
                variant = variants[number % len(variants)]
                self._cycle(random.Random(f"{self._seed}/{number}"), variant, number)
                result = self._check()
                self.tally.lost = self.disk.lost()
                if (number + 1) % 10 == 0 or number + 1 == cuts or result.problems():
                    say(
                        f"{number + 1:>5} cuts  {result.acked:>8} acks  {len(result.missing)} lost  "
                        f"{self.tally.lost} changes gone  {time.monotonic() - began:.0f} s"
                    )
                if result.problems() or self.tally.audits:
                    break
        return result

    def _cycle(self, dice: random.Random, variant: str, number: int) -> None:
        daemon = self.daemon
        if self._sink == "file":
            rotate, compress = (
                dice.choice(["32KiB", "256KiB", "64MiB"]),
                dice.choice(["zstd", "none", "gzip"]),
            )
            daemon.configure(file={"rotate_bytes": rotate, "compress": compress})
        daemon.start()
        self.ledger.wait_for_acks(dice.randint(1, 150))
        self._never.wait(dice.uniform(0, 0.02))
        self.tally.in_flight += self.ledger.in_flight
        self._cut(variant, number)
        if dice.random() < 0.25:
            daemon.spawn()
            self._never.wait(dice.uniform(0, START))
            self._cut(variant, number + 1_000_000)
            self.tally.second += 1

    def _cut(self, variant: str, number: int) -> None:
        self.disk.freeze()
        self.daemon.kill()
        self.disk.cut(variant, self._seed + number)
        self.tally.cuts[variant] = self.tally.cuts.get(variant, 0) + 1

    def _check(self) -> Verdict:
        """Let an instance take up what is left and stop in order, then read and remove all that is there."""
        daemon = self.daemon
        daemon.start()
        self.ledger.wait_for_acks(3)  # a fresh event passes
        status = daemon.stop()
        if self._sink == "spool":
            self._export()
        else:
            left = sorted(daemon.directory.glob("*.open")) + sorted(daemon.directory.glob("*.tmp"))
            assert (status, left) == (0, [])
            self._audit()
            for path in daemon.files():
                self.oracle.read(lines(path))
            empty(daemon.directory)
        return self.oracle.verdict()

    def _audit(self) -> None:
        audit = self._command("audit", str(self.daemon.directory))
        if audit.returncode != 0:
            self.tally.audits.append(audit.stdout + audit.stderr)

    def _export(self) -> None:
        """Read the spool as its command does, and begin with an empty one."""
        exported = self.place / "exported.ndjson"
        done = self._command("spool", "export", "-c", str(self.daemon.config), "-o", str(exported))
        if done.returncode != 0:
            raise DaemonEndedError(done.stdout + done.stderr)
        self.oracle.read(lines(exported))
        exported.unlink()
        empty(self._spool)

    def _command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = ingestd(*arguments)
        return subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)


def empty(directory: Path) -> None:
    """Remove everything in a directory, durably, so that no cut brings it back."""
    for path in sorted(directory.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    fd = os.open(directory, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


def main() -> int:
    """The command. Returns 0 where nothing was lost and no audit complained."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cuts", type=int, default=1000, help="how many cuts for each sink (default 1000)")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000, help="default: by the clock")
    parser.add_argument("--variants", default=",".join(VARIANTS), help="default: %(default)s")
    parser.add_argument("--sinks", default=",".join(SINKS), help="default: %(default)s")
    parser.add_argument("--lie", action="store_true", help="the control: fsync does nothing")
    arguments = parser.parse_args()
    if reason := why_not():
        print(f"cannot mount: {reason}", file=sys.stderr)
        return 2
    print(f"seed {arguments.seed}", flush=True)
    failed = False
    for sink in arguments.sinks.split(","):
        with open_place() as place:
            cutter = Cutter(place, arguments.seed, sink)
            variants = arguments.variants.split(",")
            result = cutter.run(
                arguments.cuts, variants, lambda text: print(text, flush=True), lie=arguments.lie
            )
        print(sink, cutter.tally)
        print("\n".join(result.problems()) or f"{sink}: nothing lost, altered or invented: {result}")
        failed = failed or bool(result.problems() or cutter.tally.audits)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
