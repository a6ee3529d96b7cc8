"""Kafka, the wire and ingestd fail in turns under load: is anything lost that was answered, or there twice?

    python -m tests.commands.oracle --cycles 300 --seed 7

Each cycle makes one fault (the broker killed, or paused for longer than every time-out; acknowledgements
lost or cut in half; connections reset; Kafka away at a start) and in every other cycle kills ingestd with
SIGKILL in the middle of it. Every CHECK cycles the topic is read to its end and held against what was
answered. `--mode`: at_least_once, exactly_once (a read_committed reader sees no repeat), or all (both in
turn). The seed that is printed gives the same choices again.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from contextlib import closing, nullcontext
from pathlib import Path

from tests.support.kafka.broker import KafkaBroker
from tests.support.kafka.daemon import (
    REQUEST_TIMEOUT,
    KafkaDaemon,
    assert_accounts_balance,
    committed_to_the_end,
    make_topics,
    once_by_id,
)
from tests.support.kafka.mock import Api
from tests.support.kafka.proxy import Fault, KafkaProxy
from tests.support.load import Load
from tests.support.oracle import Ledger, Oracle, Verdict
from tests.support.place import open_place

CHECK = 10
CONNECTIONS = 8
PACE = 0.01
MODES = ("at_least_once", "exactly_once")
WIRE = {
    "swallow": Fault.SWALLOW, "lose ack": Fault.LOSE_ACK, "halve": Fault.HALVE, "reset": Fault.RESET,
}  # fmt: skip
FAULTS = (*WIRE, "broker killed", "broker paused", "absent at start")
TRANSACTIONAL = (Api.PRODUCE, Api.ADD_PARTITIONS_TO_TXN, Api.END_TXN)
# Longer than every time-out of the daemon under test.
PAUSE = 2.5 * REQUEST_TIMEOUT


class Trial:
    """One run in `place`; `seed` fixes every choice but the scheduler's."""

    def __init__(self, place: Path, kafka: KafkaBroker, proxy: KafkaProxy, seed: int, mode: str) -> None:
        self._kafka = kafka
        self._proxy = proxy
        self._seed = seed
        self._mode = mode
        self._checkpoints = f"checkpoint-{uuid.uuid4().hex[:8]}"
        self._never = threading.Event()
        self.daemon = KafkaDaemon(
            place,
            proxy.bootstrap,
            kafka={"delivery": mode, "checkpoint_topic": self._checkpoints, "window_bytes": "64KiB"},
        )
        self.faults: Counter[str] = Counter()
        self.kills = 0
        self.in_flight = 0
        self.repeats = 0
        self.acks = 0
        if mode == "exactly_once":
            make_topics(kafka, self._checkpoints)

    def run(self, cycles: int, say: Callable[[str], None]) -> list[str]:
        """Returns what must never be; [] is a pass. Stops at the first block that is bad."""
        began = time.monotonic()
        with closing(self.daemon):
            for first in range(0, cycles, CHECK):
                result = self._block(range(first, min(first + CHECK, cycles)))
                say(
                    f"{self._mode}: {min(first + CHECK, cycles):>4} faults  {self.kills:>4} kills"
                    f"  {self.acks:>8} acks  {len(result.missing)} lost  {self.repeats} repeats"
                    f"  {time.monotonic() - began:.0f} s"
                )
                if problems := result.problems():
                    return problems
        return []

    def _block(self, cycles: range) -> Verdict:
        """Cycles under one load into one topic, which is then read to its end."""
        topic = f"oracle-{uuid.uuid4().hex[:8]}"
        make_topics(self._kafka, topic)
        self.daemon.change(topic=topic)
        ledger = Ledger()
        if self.daemon.running():
            self.daemon.stop()
        self.daemon.start()
        with Load(self.daemon.socket, ledger, connections=CONNECTIONS, pace=PACE):
            for cycle in cycles:
                self._cycle(random.Random(f"{self._seed}/{cycle}"), cycle, ledger)
            ledger.wait_for_acks(10)  # a fresh event passes
        self.daemon.drained()
        assert_accounts_balance(self.daemon)
        return self._verdict(topic, ledger)

    def _cycle(self, dice: random.Random, cycle: int, ledger: Ledger) -> None:
        fault = FAULTS[cycle % len(FAULTS)]
        kill = dice.random() < 0.5
        self.faults[fault] += 1
        if fault == "absent at start":
            self._absent(dice, ledger)
        elif fault in WIRE:
            api = dice.choice(TRANSACTIONAL) if self._mode == "exactly_once" else Api.PRODUCE
            self._proxy.set(WIRE[fault], apis=frozenset({api}), times=dice.randint(1, 3))
            self._proxy.wait_hits()
            self._during(dice, ledger, kill)
            self._proxy.set(Fault.PASS)
        else:
            self._away(fault, dice, ledger, kill)
        ledger.wait_for_acks(20)

    def _away(self, fault: str, dice: random.Random, ledger: Ledger, kill: bool) -> None:
        ledger.wait_for_acks(dice.randint(1, 50))
        if fault == "broker killed":
            self._kafka.kill()
        else:
            self._kafka.pause()
        self._during(dice, ledger, kill)
        if fault == "broker killed":
            self._kafka.start()
        else:
            self._never.wait(PAUSE)
            self._kafka.resume()

    def _during(self, dice: random.Random, ledger: Ledger, kill: bool) -> None:
        """Events are taken whatever Kafka does; ingestd is killed and started again."""
        ledger.wait_for_acks(dice.randint(20, 150))
        if kill:
            self.kills += 1
            self.in_flight += ledger.in_flight
            self.daemon.kill()
            self.daemon.start()
            ledger.wait_for_acks(dice.randint(1, 50))

    def _absent(self, dice: random.Random, ledger: Ledger) -> None:
        self._proxy.set(Fault.CUT)
        self.daemon.kill()
        self.kills += 1
        self.daemon.start()
        self._during(dice, ledger, dice.random() < 0.5)
        self._proxy.set(Fault.PASS)

    def _verdict(self, topic: str, ledger: Ledger) -> Verdict:
        result, repeats = read_and_judge(self._kafka, topic, ledger)
        result.same_id = repeats if self._mode == "exactly_once" else 0
        # Nothing here is refused for good: a dead letter is one too many, and would be missing in the topic.
        result.altered += [f"dead letter: {line[:300]!r}" for line in self.daemon.dead_letters()]
        self.repeats += repeats
        self.acks += result.acked
        return result


def read_and_judge(kafka: KafkaBroker, topic: str, ledger: Ledger) -> tuple[Verdict, int]:
    """What a read_committed reader finds in the topic, held against the ledger, and how many repeats.

    Where something is missing it says what a reader of everything finds: was it never sent, or not committed?
    """
    committed_to_the_end(kafka, topic)
    values, repeats = once_by_id(kafka.consume_all(topic, "read_committed"))
    oracle = Oracle(ledger)
    oracle.read(values)
    result = oracle.verdict()
    if result.missing:
        everything = Oracle(ledger)
        everything.read(record.value or b"" for record in kafka.consume_all(topic, "read_uncommitted"))
        print(f"of the missing there are, uncommitted, all but {everything.verdict().missing[:5]}")
    return result, repeats


def main() -> int:
    """The command. Returns 0 where nothing was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cycles", type=int, default=300, help="how many faults (default 300)")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000, help="default: by the clock")
    parser.add_argument("--mode", choices=(*MODES, "all"), default="all")
    parser.add_argument("--keep", action="store_true", help="leave the files of the run where they are")
    arguments = parser.parse_args()
    modes = MODES if arguments.mode == "all" else (arguments.mode,)
    print(f"seed {arguments.seed}", flush=True)
    kept = nullcontext(Path(tempfile.mkdtemp(prefix="ingestd-"))) if arguments.keep else open_place()
    with kept as place, KafkaBroker(place / "kafka") as kafka:
        for mode in modes:
            inside = place / mode[0]
            inside.mkdir()
            with KafkaProxy(kafka.proxied_port, kafka.proxy_port) as proxy:
                trial = Trial(inside, kafka, proxy, arguments.seed, mode)
                problems = trial.run(arguments.cycles // len(modes), lambda text: print(text, flush=True))
            print(
                f"{mode}: {dict(trial.faults)}, {trial.in_flight} requests in flight at {trial.kills} kills"
            )
            print("\n".join(problems) or f"{mode}: {trial.acks} answered, nothing lost, altered or invented")
            if problems:
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
