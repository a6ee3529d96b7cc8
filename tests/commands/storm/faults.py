"""The faults of a storm: those that are held for a while, and what is done beside them in one go."""

from __future__ import annotations

import random
import signal
import subprocess
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field

from ingestd.system.clock import EARLIEST_NS
from tests.commands.storm.stage import SMALL_SPOOL, Instance, Stage
from tests.support.clock import SECOND
from tests.support.daemon import DaemonEndedError
from tests.support.disk import filled
from tests.support.kafka.mock import Api
from tests.support.kafka.proxy import Fault
from tests.support.strace import Strace
from tests.support.waiting import until

WIRE = (Fault.SWALLOW, Fault.LOSE_ACK, Fault.HALVE, Fault.RESET, Fault.DELAY)
APIS = (Api.PRODUCE, Api.ADD_PARTITIONS_TO_TXN, Api.END_TXN)
# A second, an hour either way (Kafka refuses what is more than an hour ahead), a day, a year.
STEPS = (-86400 * 365, -86400, -3600, -60, -1, 1, 60, 3500, 3700, 86400)
BAD_FILES = (b"[ingest\n", b'[ingest]\nlisen = "x"\n', b"", b"\xff\xfe\x00", b'[[source]]\nname = "demo"\n')


@dataclass
class Weather:
    """What is held now, by name, each with what ends it."""

    held: dict[str, ExitStack] = field(default_factory=dict)

    def begin(self, name: str) -> ExitStack:
        self.held[name] = ExitStack()
        return self.held[name]

    def end(self, name: str) -> None:
        self.held.pop(name).close()


class Faults:
    """Says what may come next, and does it."""

    def __init__(self, stage: Stage, dice: random.Random) -> None:
        self.stage = stage
        self.dice = dice
        self.weather = Weather()
        self.kills = 0
        self.in_flight = 0
        self._never = threading.Event()
        self._traces = 0

    # what can be done now

    def possible(self) -> list[str]:
        """The names of what may come next; "end X" ends what is held."""
        stage, held = self.stage, self.weather.held
        stored = stage.shape.ack == "stored"
        names = [f"end {name}" for name in held for _ in range(3)]
        calm_disk = not ({"full disk", "read-only disk"} & held.keys())
        well = [one for one in stage.instances if one.well]
        if any(stage.looked_at()):
            names += ["rotate", "reload", "bad reload"]
        if calm_disk:
            names += ["full disk"]
            names += ["read-only disk"] if stored else []
        if well:
            names += ["frozen", "failing syncs", "slow syncs"]
            # A queued instance keeps its promise only where it can store what it took.
            names += ["restart"] * 2 if stored or calm_disk else []
            names += ["kill"] * 3 + ["kill while starting"] if stored else []
        names += ["start"] * 3 if any(not one.up for one in stage.instances) else []
        names += ["clock"] * 2 if stage.clock is not None else []
        if stage.shape.to_kafka:
            names += ["broker killed", "broker paused"] if not self._broker_away else []
            names += ["wire"] * 2 + ["cut"] if not ({"wire", "cut"} & held.keys()) else []
        return [name for name in names if name not in held]

    @property
    def _broker_away(self) -> bool:
        return bool({"broker killed", "broker paused"} & self.weather.held.keys())

    def accepting(self) -> bool:
        """Whether the load must be answered with success now."""
        stage, held = self.stage, self.weather.held
        if {"full disk", "read-only disk"} & held.keys() or any(one.frozen for one in stage.instances):
            return False
        small = stage.shape.sinks == "kafka" and stage.shape.spool == SMALL_SPOOL
        if small and {"broker killed", "broker paused", "cut"} & held.keys():
            return False  # the spool may be full
        return any(one.well for one in stage.instances)

    def do(self, name: str) -> str:
        """Do it; returns what was done in words."""
        if name.startswith("end "):
            self.weather.end(name[4:])
            return name
        detail = getattr(self, "_" + name.replace(" ", "_").replace("-", "_"))()
        return f"{name} {detail}".rstrip()

    def calm(self) -> None:
        """End all that is held and start all that is down."""
        for name in list(self.weather.held):
            self.weather.end(name)
        for one in self.stage.instances:
            if not one.up:
                self.stage.start(one)

    # held

    def _full_disk(self) -> None:
        self.weather.begin("full disk").enter_context(filled(self.stage.disk))

    def _read_only_disk(self) -> None:
        """All are killed, for no file may be open; none can start again until it ends."""
        for one in self.stage.instances:
            self._strike(one)
        remount = ["mount", "-o", "remount,ro", str(self.stage.disk)]
        # Whoever was reading may hold a file open a moment longer than it lives.
        until(lambda: subprocess.run(remount, capture_output=True).returncode == 0, "a read-only mount")
        self.weather.begin("read-only disk").callback(
            lambda: subprocess.run(["mount", "-o", "remount,rw", str(self.stage.disk)], check=True)
        )

    def _failing_syncs(self) -> str:
        return self._syncs(
            "failing syncs", f"error=EIO:when={self.dice.randint(1, 6)}+{self.dice.randint(1, 4)}"
        )

    def _slow_syncs(self) -> str:
        milliseconds = self.dice.choice([50, 400, 1500])
        return self._syncs(
            "slow syncs", f"delay_enter={milliseconds * 1000}:when=1+{self.dice.randint(1, 4)}"
        )

    def _syncs(self, name: str, what: str) -> str:
        one = self._well()
        self._traces += 1
        log = self.stage.place / f"strace-{self._traces}.log"
        stack = self.weather.begin(name)
        one.broken = name
        stack.callback(self._mended, one, name)
        stack.enter_context(Strace(one.daemon.pid, f"fdatasync:{what}", log))
        return f"{one.daemon.name}: {what}"

    @staticmethod
    def _mended(one: Instance, name: str) -> None:
        if one.broken == name:
            one.broken = ""

    def _frozen(self) -> str:
        one = self._well()
        one.daemon.signal(signal.SIGSTOP)
        one.frozen = True
        self.weather.begin("frozen").callback(self._thaw, one, one.daemon.pid)
        return one.daemon.name

    @staticmethod
    def _thaw(one: Instance, pid: int) -> None:
        if one.up and one.daemon.pid == pid:
            one.daemon.signal(signal.SIGCONT)
            one.frozen = False

    def _broker_killed(self) -> None:
        kafka = self.stage.kafka
        assert kafka is not None
        kafka.kill()
        self.weather.begin("broker killed").callback(kafka.start)

    def _broker_paused(self) -> None:
        kafka = self.stage.kafka
        assert kafka is not None
        kafka.pause()
        self.weather.begin("broker paused").callback(kafka.resume)

    def _wire(self) -> str:
        fault, api = self.dice.choice(WIRE), self.dice.choice(APIS)
        times = self.dice.randint(1, 4)
        assert self.stage.proxy is not None
        self.stage.proxy.set(fault, apis=frozenset({api, Api.PRODUCE}), times=times, delay=1.5)
        self.weather.begin("wire").callback(self.stage.proxy.set, Fault.PASS)
        return f"{fault.value}, {times} times"

    def _cut(self) -> None:
        assert self.stage.proxy is not None
        self.stage.proxy.set(Fault.CUT)
        self.weather.begin("cut").callback(self.stage.proxy.set, Fault.PASS)

    # in one go

    def _kill(self) -> str:
        one = self.dice.choice([one for one in self.stage.instances if one.up])
        self._strike(one)
        if self.dice.random() < 0.7:
            self._try_to_start(one)
        return one.daemon.name

    def _kill_while_starting(self) -> str:
        one = self._well()
        self._strike(one)
        one.daemon.spawn(self.stage.before)
        self._never.wait(self.dice.uniform(0, 0.8))
        one.daemon.kill()
        self.kills += 1
        self._try_to_start(one)
        return one.daemon.name

    def _strike(self, one: Instance) -> None:
        if one.up:
            self.kills += 1
            self.in_flight += self.stage.ledger.in_flight
            one.daemon.kill()
            one.up = one.frozen = False

    def _restart(self) -> str:
        one = self._well()
        status = one.daemon.stop()
        one.up = False
        troubled = {"full disk", "read-only disk"} & self.weather.held.keys()
        assert status == 0 or troubled, f"TERM ended in {status}: {one.daemon.log()[-2000:]}"
        self._try_to_start(one)
        return one.daemon.name

    def _start(self) -> str:
        one = self.dice.choice([one for one in self.stage.instances if not one.up])
        self._try_to_start(one)
        return one.daemon.name if one.up else f"{one.daemon.name}: not now"

    def _try_to_start(self, one: Instance) -> None:
        """On a disk that takes nothing a start may fail: it must say so and end."""
        try:
            self.stage.start(one)
        except DaemonEndedError:
            if not {"full disk", "read-only disk"} & self.weather.held.keys():
                raise

    def _clock(self) -> str:
        clock = self.stage.clock
        assert clock is not None
        earliest = EARLIEST_NS - time.time_ns() - clock.offset  # before that clicks are refused, and rightly
        seconds = self.dice.choice([step for step in STEPS if step * SECOND > earliest])
        clock.step(seconds)
        return f"{seconds:+} s"

    def _rotate(self) -> str:
        one = self._awake()
        one.daemon.signal(signal.SIGUSR1)
        return one.daemon.name

    def _reload(self) -> str:
        """Another source more or less; demo's stays."""
        one = self._awake()
        more = [{"name": f"s{n}", "path": f"/c/s{n}"} for n in range(self.dice.randint(0, 20))]
        one.daemon.configure(sources=[{"name": "demo", "path": "/c/demo"}, *more])
        self._hang_up(one, "config_reloads_total")
        return f"{one.daemon.name}: {1 + len(more)} sources"

    def _bad_reload(self) -> str:
        one = self._awake()
        good, bad = one.daemon.config.read_bytes(), self.dice.choice(BAD_FILES)
        one.daemon.config.write_bytes(bad)
        self._hang_up(one, "config_reload_failures_total")
        one.daemon.config.write_bytes(good)
        return f"{one.daemon.name}: {bad!r}"

    def _hang_up(self, one: Instance, counter: str) -> None:
        before = one.daemon.metrics()[counter]
        one.daemon.signal(signal.SIGHUP)
        until(lambda: one.daemon.metrics()[counter] > before, counter)

    def _awake(self) -> Instance:
        return self.dice.choice(list(self.stage.looked_at()))

    def _well(self) -> Instance:
        return self.dice.choice([one for one in self.stage.instances if one.well])
