"""One trial: a random sequence of faults over the whole daemon, and the verdict on what the load became."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tests.commands.storm.faults import Faults
from tests.commands.storm.stage import Shape, Stage
from tests.support.checks import MIN_ACKS, assert_books_balance
from tests.support.daemon import Daemon, lines
from tests.support.kafka.broker import KafkaBroker
from tests.support.kafka.daemon import KafkaDaemon, assert_accounts_balance, committed_to_the_end, once_by_id
from tests.support.oracle import Oracle, Verdict
from tests.support.place import open_place
from tests.support.waiting import until

STEPS = 14
SETTLE = 60.0


class BrokenPromiseError(AssertionError):
    """What must never be, in words."""


@dataclass
class Found:
    """What a trial saw. `steps`: what was done, with seconds since the start."""

    seed: int
    shape: Shape
    steps: list[str] = field(default_factory=list)
    verdict: Verdict = field(default_factory=Verdict)
    statuses: Counter[int] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    most_held: int = 0
    kills: int = 0
    in_flight: int = 0
    repeats: int = 0  # records of Kafka that have the id of another
    dead: int = 0
    seconds: float = 0.0

    def summary(self) -> str:
        """One line."""
        shape = self.shape
        mode = f"{shape.sinks} {shape.ack}" + (" exactly_once" if shape.delivery == "exactly_once" else "")
        return (
            f"seed {self.seed}  {mode} x{shape.instances}  {sum(self.kinds.values())} steps"
            f" (up to {self.most_held} at once)  {self.kills} kills  {self.verdict.acked} acks"
            f"  {len(self.verdict.missing)} lost  {self.seconds:.0f} s"
        )


def storm(seed: int, *, sinks: str, steps: int, kafka: KafkaBroker | None) -> Found:
    """Run one. Raises BrokenPromiseError (or what a check raised) with the steps that led there as a note."""
    dice = random.Random(seed)
    shape = Shape.chosen(dice, sinks)
    found = Found(seed, shape)
    began = time.monotonic()
    with open_place() as place:
        try:
            Trial(place, shape, kafka, dice, found).run(steps)
        except BaseException as error:
            error.add_note(f"seed {seed} of {sinks!r}: {shape}\n" + "\n".join(found.steps))
            raise
        finally:
            found.seconds = time.monotonic() - began
    return found


class Trial:
    """What `storm` runs."""

    def __init__(
        self, place: Path, shape: Shape, kafka: KafkaBroker | None, dice: random.Random, found: Found
    ) -> None:
        self.stage = Stage(place, shape, kafka)
        self.dice = dice
        self.found = found
        self.faults = Faults(self.stage, dice)
        self._began = time.monotonic()
        self._never = threading.Event()

    def run(self, steps: int) -> None:
        """So many faults, then calm, and the verdict. Raises BrokenPromiseError."""
        with self.stage:
            try:
                self.stage.ledger.wait_for_acks(MIN_ACKS + 1)
                for _ in range(steps):
                    self._step()
                self._note("all of it ends")
                self.faults.calm()
                self._end()
            except BaseException:
                self._note(f"held: {list(self.faults.weather.held)}; answered {self.stage.ledger.statuses}")
                self._let_go()
                self._tell()
                raise

    def _let_go(self) -> None:
        """Whatever the failure, a broker or a mount is not left broken."""
        for name in list(self.faults.weather.held):
            try:
                self.faults.weather.end(name)
            except Exception as error:  # the first failure is the one to be told of
                self._note(f"while ending {name}: {error!r}")

    def _tell(self) -> None:
        """How it stands with those that still answer."""
        with suppress(Exception):  # the first failure is the one to be told of
            for name, status in self.stage.statuses():
                told = {
                    key: status[key] for key in ("unstored_events", "not_ready_because", "sinks", "sources")
                }
                told["sources"] = told["sources"].get("demo")
                self._note(f"instance {name}: {told}")

    def _note(self, text: str) -> None:
        self.found.steps.append(f"  {time.monotonic() - self._began:6.2f}  {text}")

    def _step(self) -> None:
        faults, ledger, found = self.faults, self.stage.ledger, self.found
        name = self.dice.choice(faults.possible())
        found.kinds[name] += 1
        self._note(f"{name} ...")
        found.steps[-1] = found.steps[-1].replace(f"{name} ...", faults.do(name))
        found.most_held = max(found.most_held, len(faults.weather.held))
        pause = self.dice.uniform(0.02, 0.6)
        acks = self.dice.randint(3, 150)
        if faults.accepting():
            ledger.wait_for_acks(acks, SETTLE)
        else:
            self._never.wait(pause)
        self._look()

    def _look(self) -> None:
        """At any moment: nobody has ended by himself, the loop turns, the books balance."""
        stage = self.stage
        for one in stage.instances:
            if one.up and not one.daemon.running():
                raise BrokenPromiseError(f"instance {one.daemon.name} ended: {one.daemon.log()[-3000:]}")
        for name, status in stage.statuses():
            for source, counters in status["sources"].items():
                settled = sum(counters["rejected"].values()) + counters["unstored"] + counters["stored"]
                if counters["received"] != settled:
                    raise BrokenPromiseError(f"instance {name}: books of {source} do not balance: {counters}")

    def _end(self) -> None:
        stage, found = self.stage, self.found
        stage.ledger.wait_for_acks(20, SETTLE)  # a fresh event passes
        stage.load.stop(SETTLE)
        for one in stage.instances:
            daemon = one.daemon
            until(partial(_all_stored, daemon), "everything is stored", SETTLE)
            if isinstance(daemon, KafkaDaemon):
                daemon.drained(SETTLE)
                if stage.shape.sinks == "kafka":  # of two sinks one may have been left out for a while
                    assert_accounts_balance(daemon)
            assert_books_balance(daemon)
            status = daemon.stop()
            one.up = False
            if status:
                raise BrokenPromiseError(f"the last TERM ended in {status}: {daemon.log()[-3000:]}")
        found.kills, found.in_flight = self.faults.kills, self.faults.in_flight
        found.statuses = stage.ledger.statuses
        found.verdict = self.verdict()
        if problems := found.verdict.problems():
            raise BrokenPromiseError("; ".join(problems))

    # the oracle's part

    def verdict(self) -> Verdict:
        """Files, topic and dead letters held against the ledger."""
        shape, oracle = self.stage.shape, Oracle(self.stage.ledger)
        in_files: set[bytes] = set()
        if shape.to_files:
            for line in self.files():
                in_files.add(line)
            oracle.read(in_files)
        repeats = 0
        if shape.to_kafka:
            values, repeats = self._records()
            dead = self._dead()
            self.found.repeats, self.found.dead = repeats, len(dead)
            oracle.read([value for value in {*values, *dead} if value not in in_files])
        result = oracle.verdict()
        if shape.delivery == "exactly_once":
            result.same_id += repeats
        return result

    def files(self) -> list[bytes]:
        """Every line of every finished file; nothing else may be left, and no line may be there twice."""
        daemon = self.stage.instances[0].daemon
        left = [path.name for path in daemon.directory.iterdir() if path.suffix in (".open", ".tmp")]
        if left:
            raise BrokenPromiseError(f"left unfinished: {left}")
        found = [line for path in daemon.files() for line in lines(path)]
        if len(set(found)) != len(found):
            raise BrokenPromiseError("a line is in the files twice")
        return found

    def _records(self) -> tuple[list[bytes], int]:
        stage = self.stage
        assert stage.kafka is not None
        committed_to_the_end(stage.kafka, stage.topic)
        return once_by_id(stage.kafka.consume_all(stage.topic, "read_committed"))

    def _dead(self) -> list[bytes]:
        found: list[bytes] = []
        for path in sorted((self.stage.disk / "dead").glob("*.ndjson")):
            found += [_buried(line) for line in path.read_bytes().splitlines()]
        return found


def _all_stored(daemon: Daemon) -> bool:
    return daemon.metrics()["unstored_events"] == 0


def _buried(letter: bytes) -> bytes:
    """The event of a dead letter, byte for byte."""
    return letter[letter.index(b'"event":') + len(b'"event":') : -1]
