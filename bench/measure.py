"""One contender, one round: start it behind nginx, load it, stop it, and see that it kept every event."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bench import front
from bench.contenders import Contender, Place, Stored
from bench.load import Load, offer, saturate
from bench.procs import Usage, free_port, machine_busy, peak_rss, usage

MICRO = 1e6
OTHERS_LIMIT = 0.15  # cores that something else used, from which a round is called noisy


@dataclass(frozen=True)
class Plan:
    """What every contender gets."""

    seconds: float
    rates: tuple[float, ...]
    connections: int  # at saturation
    open_connections: int  # at a fixed rate
    work: Path  # on a real disk
    loadgen: Path
    wrk_script: Path
    requests: Path
    known: frozenset[str]
    patience: float  # seconds to wait for the machine to be quiet


@dataclass
class Result:
    """What one round of one contender gave; the metrics' names end in their unit."""

    contender: str
    round: int
    metrics: dict[str, float] = field(default_factory=dict)
    invalid: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    answered: int = 0
    maybe: int = 0  # requests cut off or refused: an event of theirs may or may not be kept


def run(contender: Contender, number: int, plan: Plan) -> Result:
    """Run one round. Raises BenchError where a part does not start, serve or stop."""
    result = Result(contender.name, number)
    prefix = f"{contender.name.replace(' ', '-')}-"
    with (
        tempfile.TemporaryDirectory(prefix=prefix, dir=plan.work) as work,
        tempfile.TemporaryDirectory(prefix="bench-") as sockets,  # a Unix socket's path is 107 bytes at most
    ):
        os.sync()  # what an earlier contender wrote must not be written on this one's time
        _await_quiet(plan.patience)
        place = Place(Path(work), Path(sockets) / "daemon.sock", free_port())
        with contender.start(place) as daemon:
            port = free_port()
            with front.start(place.work, contender.upstream(place), port, contender.front_extra()) as nginx:
                _load(result, plan, port, (daemon.pid, nginx.pid))
                nginx.stop()
            daemon.stop()
        _check(result, contender.stored(place, set(plan.known)))
    return result


def _await_quiet(patience: float) -> None:
    """Wait until nothing else uses the machine; go on after `patience` seconds all the same."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        busy, began = machine_busy(), time.monotonic()
        time.sleep(1.0)
        if (machine_busy() - busy) / (time.monotonic() - began) < OTHERS_LIMIT:
            return


def _load(result: Result, plan: Plan, port: int, pids: tuple[int, int]) -> None:
    """Warm up, saturate, then offer each rate in turn."""
    _count(result, saturate(port, plan.wrk_script, 1, plan.connections))
    load = _phase(
        result, "sat", pids, lambda: saturate(port, plan.wrk_script, plan.seconds, plan.connections)
    )
    result.metrics["sat.rps"] = load.ok / load.seconds
    result.metrics["rss_mib"] = peak_rss(pids[0]) / 2**20
    for rate in plan.rates:
        _phase(result, f"{rate:g}", pids, lambda rate=rate: _offer(plan, port, rate))  # type: ignore[misc]


def _offer(plan: Plan, port: int, rate: float) -> Load:
    return offer(plan.loadgen, port, plan.requests, rate, plan.seconds, plan.open_connections)


def _phase(result: Result, name: str, pids: tuple[int, int], act: Callable[[], Load]) -> Load:
    """Measure one load and file its figures under `name`."""
    busy, began = machine_busy(), time.monotonic()
    before = [usage(pid) for pid in pids]
    load = act()
    daemon, nginx = (usage(pid) - was for pid, was in zip(pids, before, strict=True))
    seconds = time.monotonic() - began
    ours = daemon.user + daemon.system + nginx.user + nginx.system + load.cpu
    others = (machine_busy() - busy - ours) / seconds
    _count(result, load)
    result.metrics |= {f"{name}.{key}": value for key, value in _figures(load, daemon, nginx).items()}
    result.metrics[f"{name}.others_cores"] = others
    if load.bad:
        result.notes.append(
            f"round {result.round} {name}: {load.bad} of {load.requests} requests not answered 2xx"
        )
    return load


def _figures(load: Load, daemon: Usage, nginx: Usage) -> dict[str, float]:
    events = max(load.ok, 1)
    return {
        "p50_ms": load.p50,
        "p99_ms": load.p99,
        "p999_ms": load.p999,
        "max_ms": load.longest,
        "lag_ms": load.lag,
        "generator_us": load.cpu / max(load.requests, 1) * MICRO,
        "cpu_us": (daemon.user + daemon.system) / events * MICRO,
        "user_us": daemon.user / events * MICRO,
        "sys_us": daemon.system / events * MICRO,
        "front_us": (nginx.user + nginx.system) / events * MICRO,
        "disk_bytes": daemon.written / events,
        "switches": (daemon.voluntary + daemon.involuntary) / events,
        "bad": load.bad / max(load.requests, 1),
    }


def _count(result: Result, load: Load) -> None:
    result.answered += load.ok
    result.maybe += load.bad + load.uncounted


def _check(result: Result, stored: Stored) -> None:
    """Every answered event must be there, and none that nobody sent."""
    if stored.size:
        result.metrics["file_bytes"] = stored.size / stored.events
    result.invalid.extend(stored.wrong)
    if stored.events < result.answered:
        missing = result.answered - stored.events
        result.invalid.append(f"{missing} of {result.answered} answered events are not in the output")
    if stored.events > result.answered + result.maybe:
        surplus = stored.events - result.answered - result.maybe
        result.invalid.append(f"{surplus} events in the output that no request explains")
