"""Every instance is down under load: nginx answers all, and after the replay each is there exactly once.

    python -m tests.commands.down --seconds 60

Two instances behind the shipped nginx stop under load and start again. Meanwhile requests come in as numbered
GETs, forms, JSON arrays and NDJSON, and with every kind of hostile byte. Of the former every event is held
against what was answered, of the latter against what the daemon itself makes of the same bytes.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import orjson

from tests.support.daemon import lines
from tests.support.hostile import SOURCES, bare, hostile, write_keys
from tests.support.load import Load
from tests.support.oracle import ROUTE, Ledger, Oracle, Verdict
from tests.support.place import open_place
from tests.support.spilling import Net

CONNECTIONS = 16
PACE = 0.01  # seconds between a reply and the next request of a connection


class Outage:
    """One outage in `place`; what it showed is in the fields."""

    def __init__(self, place: Path) -> None:
        write_keys(place)
        self.net = Net(place, instances=2, sources=SOURCES, timeout=None)
        self.ledger = Ledger()
        self.verdict = Verdict()
        self.spilled = 0  # lines of the spill log
        self.rounds = 0  # how often each hostile request was sent
        self._odd: Counter[bytes] = Counter()  # events of hostile requests that were spilled
        self._direct: Counter[bytes] = Counter()  # ... and that the daemon took itself
        self._again = ""

    def run(self, seconds: float) -> None:
        """Be down for so long."""
        net, ledger = self.net, self.ledger
        with net:
            for daemon in net.daemons:
                daemon.start()
            with Load(net.nginx.address, ledger, connections=CONNECTIONS, pace=PACE) as load:
                ledger.wait_for_acks(300)
                for daemon in net.daemons:
                    assert daemon.stop() == 0
                end = time.monotonic() + seconds
                self._stay_down(end - seconds / 2)
                old = net.rotate()
                self._stay_down(end)
                for daemon in net.daemons:
                    daemon.start()
                ledger.wait_for_acks(300)
                load.stop()
            self._ask_hostile()  # of the daemon
            self._replay(old)
            for daemon in net.daemons:
                assert daemon.stop() == 0
            self._judge()

    def _stay_down(self, end: float) -> None:
        while True:
            self.rounds += 1
            self._ask_hostile()
            self.ledger.wait_for_acks(200)
            if time.monotonic() > end:
                return

    def _ask_hostile(self) -> None:
        for data in hostile():
            answer = self.net.ask(data)
            assert answer.status in (200, 204), (answer, data[:200])

    def _replay(self, old: Path) -> None:
        """Twice: the second time there is nothing left to do."""
        net = self.net
        net.wait_for_lines(1)
        net.replay(old, net.spill)
        self._again = net.replay(old, net.spill)
        self.spilled = old.read_bytes().count(b"\n") + net.spilled()

    def _judge(self) -> None:
        oracle = Oracle(self.ledger)
        for path in self.net.daemons[0].files():  # both share the directory
            oracle.read(self._sort_out(path))
        self.verdict = oracle.verdict()

    def _sort_out(self, path: Path) -> list[bytes]:
        """The lines of the numbered requests; the others are counted."""
        numbered = []
        for line in lines(path):
            event: dict[str, Any] = orjson.loads(line)
            if event["route"] == ROUTE:
                numbered.append(line)
            else:
                kind = self._odd if "spilled" in event["flags"] else self._direct
                bared = {**bare(event), "node": ""}  # whichever instance had it
                kind[orjson.dumps(bared, option=orjson.OPT_SORT_KEYS)] += 1
        return numbered

    def problems(self) -> list[str]:
        """What must not be."""
        ledger, found = self.ledger, self.verdict.problems()
        if (dict(ledger.statuses), ledger.unanswered) != ({200: ledger.acks}, 0):
            found.append(f"replies {dict(ledger.statuses)}, {ledger.unanswered} without one")
        if self.verdict.repeated or self.verdict.unknown:
            found.append(f"{self.verdict.repeated} events twice, {self.verdict.unknown} not answered")
        wanted = Counter({event: count * self.rounds for event, count in self._direct.items()})
        if wanted != self._odd or not wanted:
            missing, extra = wanted - self._odd, self._odd - wanted
            found.append(
                f"hostile bytes: missing {list(missing)[:2]}, not as they should be {list(extra)[:2]}"
            )
        if "0 lines read, 0 events" not in self._again:
            found.append(f"replayed again: {self._again}")
        return found


def main() -> int:
    """The command. Returns 0 where every event is there exactly once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="how long all are down (default 60)")
    arguments = parser.parse_args()
    with open_place() as place:
        outage = Outage(place)
        outage.run(arguments.seconds)
    print(f"{outage.ledger.acks} answered with success, none otherwise: {dict(outage.ledger.statuses)}")
    print(
        f"{outage.spilled} requests spilled, {outage.rounds} times {len(hostile())} hostile ones among them"
    )
    problems = outage.problems()
    print("\n".join(problems) or f"each is there exactly once: {outage.verdict}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
