"""One contender, one round: start it behind nginx, load it, stop it, and see that it kept every event."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench import front
from bench.contenders import Contender, Place, Stored
from bench.load import Load, Schedule, offer, saturate
from bench.procs import Usage, free_port, machine_busy, peak_rss, usage
from bench.scrape import Samples, between, scrape

MICRO, MILLI = 1e6, 1e3
PAUSE = 0.01  # seconds the loop may stand still; a bucket's bound of ingestd_loop_lag_seconds
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
    request_bytes: float  # mean, on the wire, as platforms send them
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


@dataclass(frozen=True)
class Watched:
    """The processes under load: the daemons, what stands before them, and the ports of their metrics."""

    daemons: tuple[int, ...]
    fronts: tuple[int, ...]
    admin: tuple[int, ...] = ()


def run(contender: Contender, number: int, plan: Plan) -> Result:
    """Run one round. Raises BenchError where a part does not start, serve or stop."""
    result = Result(contender.name, number)
    with places(contender.name, plan) as (work, sockets):
        place = Place(work, sockets / "daemon.sock", free_port())
        with contender.start(place) as daemon:
            port = free_port()
            upstreams = [contender.upstream(place)]
            with front.start(place.work, upstreams, port, contender.front_extra()) as nginx:
                _load(result, plan, port, Watched((daemon.pid,), (nginx.pid,), contender.admin(place)))
                nginx.stop()
            daemon.stop()
        check(result, contender.stored(place, set(plan.known)))
    return result


@contextmanager
def places(name: str, plan: Plan) -> Iterator[tuple[Path, Path]]:
    """Make a folder on the disk and one for sockets, and wait until the machine is quiet."""
    prefix = f"{name.replace(' ', '-').replace('/', '-')}-"
    with (
        tempfile.TemporaryDirectory(prefix=prefix, dir=plan.work) as work,
        tempfile.TemporaryDirectory(prefix="bench-") as sockets,  # a Unix socket's path is 107 bytes at most
    ):
        os.sync()  # what an earlier contender wrote must not be written on this one's time
        _await_quiet(plan.patience)
        yield Path(work), Path(sockets)


def _await_quiet(patience: float) -> None:
    """Wait until nothing else uses the machine; go on after `patience` seconds all the same."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        busy, began = machine_busy(), time.monotonic()
        time.sleep(1.0)
        if (machine_busy() - busy) / (time.monotonic() - began) < OTHERS_LIMIT:
            return


def _load(result: Result, plan: Plan, port: int, watched: Watched) -> None:
    """Warm up, saturate, then offer each rate in turn."""
    count(result, saturate(port, plan.wrk_script, 1, plan.connections))
    load = phase(
        result, "sat", watched, lambda: saturate(port, plan.wrk_script, plan.seconds, plan.connections)
    )
    result.metrics["sat.rps"] = load.ok / load.seconds
    result.metrics["rss_mib"] = peak_rss(watched.daemons[0]) / 2**20
    for rate in plan.rates:
        phase(result, f"{rate:g}", watched, lambda rate=rate: _offer(plan, port, rate))  # type: ignore[misc]


def _offer(plan: Plan, port: int, rate: float) -> Load:
    address = f"127.0.0.1:{port}"
    connections = plan.open_connections
    return offer(Schedule(plan.loadgen, address, plan.requests, rate, plan.seconds, connections))


def phase(result: Result, name: str, watched: Watched, act: Callable[[], Load]) -> Load:
    """Measure one load and file its figures under `name`."""
    said = [scrape(port) for port in watched.admin]
    busy, began = machine_busy(), time.monotonic()
    before = [usage(pids) for pids in (watched.daemons, watched.fronts)]
    load = act()
    daemon, nginx = usage(watched.daemons) - before[0], usage(watched.fronts) - before[1]
    seconds = time.monotonic() - began
    others = (machine_busy() - busy - daemon.cpu - nginx.cpu - load.cpu) / seconds
    count(result, load)
    figures = _figures(load, daemon, nginx)
    figures |= inside(said, [scrape(port) for port in watched.admin])
    result.metrics |= {f"{name}.{key}": value for key, value in figures.items()}
    result.metrics[f"{name}.others_cores"] = others
    if load.bad:
        result.notes.append(
            f"round {result.round} {name}: {load.bad} of {load.requests} requests not answered 2xx"
        )
    return load


def inside(before: list[Samples], after: list[Samples]) -> dict[str, float]:
    """Return what only the daemon itself knows; nothing for one without metrics.

    A pause is the upper bound of the bucket it fell into: it was at most that. The loop takes a sample every
    100 ms, so of the pauses that are short beside that only some are seen.
    """
    lag = between(before, after, "ingestd_loop_lag_seconds")
    if not lag.total:
        return {}
    batches = between(before, after, "ingestd_batch_events")
    found = {
        "loop_ms": lag.quantile(1.0) * MILLI,
        "loop_p999_ms": lag.quantile(0.999) * MILLI,
        "loop_over": lag.above(PAUSE),
        "loop_samples": lag.total,
    }
    if batches.total:
        commits = between(before, after, "ingestd_commit_seconds")
        found |= {"batch_events": batches.mean, "commit_ms": commits.mean * MILLI}
    return found


def _figures(load: Load, daemon: Usage, nginx: Usage) -> dict[str, float]:
    events = max(load.ok, 1)
    return {
        "p50_ms": load.p50,
        "p99_ms": load.p99,
        "p999_ms": load.p999,
        "max_ms": load.longest,
        "lag_ms": load.lag,
        "reply_bytes": load.received / max(load.ok, 1),
        "generator_us": load.cpu / max(load.requests, 1) * MICRO,
        "cpu_us": daemon.cpu / events * MICRO,
        "user_us": daemon.user / events * MICRO,
        "sys_us": daemon.system / events * MICRO,
        "front_us": nginx.cpu / events * MICRO,
        "disk_bytes": daemon.written / events,
        "switches": (daemon.voluntary + daemon.involuntary) / events,
        "bad": load.bad / max(load.requests, 1),
    }


def count(result: Result, load: Load) -> None:
    """Add a load to what must, and what may, be in the output."""
    result.answered += load.ok
    result.maybe += load.bad + load.uncounted


def check(result: Result, stored: Stored) -> None:
    """Every answered event must be there, and none that nobody sent."""
    if stored.size:
        result.metrics["file_bytes"] = stored.size / stored.events
    result.metrics |= stored.figures
    result.invalid.extend(stored.wrong)
    if stored.events < result.answered:
        missing = result.answered - stored.events
        result.invalid.append(f"{missing} of {result.answered} answered events are not in the output")
    if stored.events > result.answered + result.maybe:
        surplus = stored.events - result.answered - result.maybe
        result.invalid.append(f"{surplus} events in the output that no request explains")
