"""What ops do to instances, and what happens to them, under load and through the shipped nginx.

    python -m tests.commands.changes --rounds 10

Two instances, whose sockets are held open as systemd does. A round: one restarts; both do, one after the
other; the package is replaced by another version, one instance after the other; the configuration is reloaded
20 times, every second time a wrong one; an instance is killed (-9); one hangs (SIGSTOP) and comes back. Then
every file is held against what was answered. Nothing may be refused, unanswered, spilled, lost, altered or
invented; twice there may only be what an instance had that was killed or hung.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ingestd.config.sections import FlushConfig
from tests.support.activated import Activated
from tests.support.daemon import ROOT, Daemon, lines
from tests.support.load import Load
from tests.support.oracle import Ledger, Oracle, Verdict
from tests.support.place import open_place
from tests.support.spilling import Net
from tests.support.waiting import until

CONNECTIONS = 32
RELOADS = 20
NEXT = "0.0.0+next"
# After these an event may be there twice.
REPEATING = {"killed", "hung"}


@dataclass
class Outcome:
    """What a round showed."""

    statuses: dict[int, int]
    unanswered: int
    spilled: int
    verdict: Verdict
    said: list[str]  # what nginx said that it may not say

    def problems(self, *, repeats: bool) -> list[str]:
        """What must not be; `repeats`: some events may be there twice."""
        found = self.verdict.problems() + self.said
        if set(self.statuses) != {200} or self.unanswered:
            found.append(f"replies {self.statuses}, {self.unanswered} without one")
        if self.spilled:
            found.append(f"{self.spilled} requests spilled")
        if not repeats and self.verdict.repeated:
            found.append(f"{self.verdict.repeated} events twice")
        return found


class Changes:
    """Two instances under load in `place`. `acks`: answers to wait for between one step and the next.

    `timeout`: seconds that nginx waits for an instance, else the shipped ones.
    """

    def __init__(self, place: Path, *, acks: int, timeout: int | None = None) -> None:
        self.net = Net(place, instances=2, timeout=timeout, make=Activated)
        self.ledger = Ledger()
        self._acks = acks

    def run(self, names: Sequence[str]) -> Outcome:
        """Let these happen, one after the other."""
        net, ledger = self.net, self.ledger
        with net:
            for daemon in net.daemons:
                daemon.start()
            with Load(net.nginx.address, ledger, connections=CONNECTIONS) as load:
                self.pause()
                for name in names:
                    happens(self, name)
                    self.pause()
                load.stop()
            for daemon in net.daemons:
                assert daemon.stop() == 0, daemon.log()[-2000:]
            oracle = Oracle(ledger)
            for path in net.daemons[0].files(unfinished=True):  # both share the directory
                oracle.read(lines(path))
            said = [line[:250] for line in net.nginx.log().splitlines() if "no live upstreams" in line]
            return Outcome(
                dict(ledger.statuses), ledger.unanswered, net.spilled(), oracle.verdict(), said[:3]
            )

    def pause(self) -> None:
        """Wait for more answers."""
        self.ledger.wait_for_acks(self._acks)

    # what happens

    def one_restarts(self) -> None:
        self._restart(self.net.daemons[0])

    def all_restart(self) -> None:
        for daemon in self.net.daemons:
            self._restart(daemon)  # no pause between them

    def upgraded(self) -> None:
        code = other_version(self.net.place / "next")
        for daemon in self.net.daemons:
            daemon.code = code
            self._restart(daemon)
            assert any(NEXT in name for name in daemon.metrics() if name.startswith("build_info"))
            self.pause()

    def reloaded(self) -> None:
        for number in range(RELOADS):
            for daemon in self.net.daemons:
                if number % 2:
                    daemon.config.write_text("[[source]]\n")
                else:
                    daemon.configure()
                daemon.signal(signal.SIGHUP)
                daemon.wait_for("RELOADING=1")
                daemon.wait_for("READY=1")
            self.ledger.wait_for_acks(self._acks // 10)
        for daemon in self.net.daemons:
            daemon.configure()  # the last one was wrong
            metrics = daemon.metrics()
            assert metrics["config_reloads_total"] == metrics["config_reload_failures_total"] == RELOADS / 2

    def killed(self) -> None:
        daemon = self.net.daemons[0]
        daemon.kill()
        self.pause()
        daemon.start()

    def hung(self) -> None:
        daemon, log = self.net.daemons[0], self.net.nginx.log
        before = log().count("upstream timed out")
        end = time.monotonic() + 1.2 * FlushConfig().stall_timeout
        daemon.signal(signal.SIGSTOP)
        until(lambda: time.monotonic() > end, "an end long after which its last commit would be a stall")
        until(lambda: log().count("upstream timed out") > before, "nginx giving up on it")
        self.pause()
        daemon.signal(signal.SIGCONT)

    def _restart(self, daemon: Daemon) -> None:
        assert daemon.stop() == 0
        daemon.start()


SCENARIOS: dict[str, Callable[[Changes], None]] = {
    "one_restarts": Changes.one_restarts,
    "all_restart": Changes.all_restart,
    "upgraded": Changes.upgraded,
    "reloaded": Changes.reloaded,
    "killed": Changes.killed,
    "hung": Changes.hung,
}


def happens(changes: Changes, name: str) -> None:
    """Let one of SCENARIOS happen."""
    SCENARIOS[name](changes)


def other_version(directory: Path) -> Path:
    """The package as of another version, in a directory to take it from."""
    package = directory / "ingestd"
    if not package.exists():
        shutil.copytree(ROOT / "ingestd", package, ignore=shutil.ignore_patterns("__pycache__"))
        (package / "__init__.py").write_text(f'"""Another version."""\n\n__version__ = "{NEXT}"\n')
    return directory


def main() -> int:
    """The command. Returns 0 where nothing was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10, help="how many rounds (default 10)")
    parser.add_argument(
        "--acks", type=int, default=2000, help="answers between one step and the next (default 2000)"
    )
    arguments = parser.parse_args()
    for number in range(1, arguments.rounds + 1):
        with open_place() as place:
            outcome = Changes(place, acks=arguments.acks).run(list(SCENARIOS))
        problems = outcome.problems(repeats=True)
        found, told = outcome.verdict, "; ".join(problems) or "nothing refused, spilled, lost or altered"
        print(f"round {number:>3}: {found.acked} answered, {found.repeated} events twice: {told}", flush=True)
        if problems:
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
