"""One setting of bench/scale, one round: its instances behind nginx, its load, and what is left."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench import front, interpreter
from bench.axes import CONNECTIONS, Setting
from bench.contenders import ROTATE_BYTES, Stored, read_events
from bench.load import Load, Schedule, held, offer, saturate
from bench.measure import MILLI, Plan, Result, Watched, check, count, phase, places
from bench.mix import PUBLIC_BASE
from bench.paths import ROOT
from bench.procs import Child, free_port, peak_rss
from bench.scrape import scrape, total
from bench.traffic import Traffic

FAST = 100_000.0  # requests/s that nobody answers: as fast as it goes
SLOWEST = 500.0  # events/s a daemon takes at least; slower is given up
START_SECONDS = 120.0
PATIENCE = 10.0  # seconds for the last replies
SETTLE_SECONDS = 20.0
MIB = 2**20


@dataclass(frozen=True)
class Ground:
    """What a setting stands on: how it is loaded, its traffic, and the spool to start with."""

    plan: Plan  # with the files of this traffic
    traffic: Traffic
    ack: str
    rate: float  # requests/s where they do not go through nginx
    spool: Path  # segments to link, as many as the setting wants


@dataclass(frozen=True)
class Instance:
    """One daemon's name and where it listens."""

    name: str
    socket: Path
    admin: int


def run(setting: Setting, number: int, ground: Ground) -> Result:
    """Run one round. Raises BenchError where a part does not start, serve or stop."""
    result = Result(setting.name, number)
    with places(setting.name, ground.plan) as (work, sockets), ExitStack() as stack:
        (work / "out").mkdir()
        if setting.backlog:
            link_segments(ground.spool, work / "spool" / "bench-0", setting.backlog)
        daemons = []
        instances = [
            Instance(f"bench-{at}", sockets / f"{at}.sock", free_port()) for at in range(setting.instances)
        ]
        for instance in instances:
            began = time.monotonic()
            daemons.append(stack.enter_context(_start(setting, instance, ground, work)))
            result.metrics["start_s"] = time.monotonic() - began
        stack.enter_context(_idle(instances[0].socket, setting.idle))
        port = free_port()
        upstreams = [f"unix:{instance.socket}" for instance in instances]
        most = max(setting.connections, front.KEEPALIVE)
        nginx = stack.enter_context(front.start(work, upstreams, port, connections=most))
        admin = tuple(instance.admin for instance in instances)
        watched = Watched(tuple(daemon.pid for daemon in daemons), (nginx.pid,), admin)
        _load(result, setting, ground, watched, port, instances[0])
        stored = _look(result, setting, watched)
        nginx.stop()
        if setting.waiting:  # it has nowhere to put them; that all were there has been seen
            return result
        for daemon in daemons:
            daemon.stop()
        check(result, stored or _files(work / "out", ground))
    return result


def link_segments(spool: Path, folder: Path, size: int) -> None:
    """Make a spool of `size` bytes from links to the first segments of one that is there.

    A daemon never appends to a segment of an earlier life, and what it releases is only a link.
    """
    folder.mkdir(parents=True)
    linked = 0
    for segment in sorted(spool.glob("*.spool")):
        if linked >= size:
            return
        os.link(segment, folder / segment.name)
        linked += segment.stat().st_size


def _start(setting: Setting, instance: Instance, ground: Ground, work: Path) -> Child:
    file = work / f"{instance.name}.toml"
    file.write_text(config(setting, instance, ground, work), encoding="utf-8")
    here = interpreter.installed(ROOT)
    command = [here.ingestd, "serve", "-c", str(file)]
    child = Child(instance.name, command, work / f"{instance.name}.log", here.env())
    child.wait_for(str(instance.socket), START_SECONDS)
    return child


def config(setting: Setting, instance: Instance, ground: Ground, work: Path) -> str:
    """Return an instance's whole configuration."""
    ack = "queued" if setting.waiting else "stored" if setting.backlog is not None else ground.ack
    return f"""\
[ingest]
listen = "unix:{instance.socket}"
ack = "{ack}"
instance = "{instance.name}"
public_base = "{PUBLIC_BASE}"
max_connections = 40000
header_timeout = "1h"
idle_timeout = "1h"

[buffer]
max_bytes = "{4096 if setting.waiting else 256}MiB"

[admin]
listen = "tcp:127.0.0.1:{instance.admin}"

{_sink(setting, work)}{ground.traffic.sources(work)}"""


def _sink(setting: Setting, work: Path) -> str:
    """Return the sink's sections: files, or a Kafka that is away, with a spool or with the buffer alone."""
    if setting.backlog is None and not setting.waiting:
        return f"""\
[file]
directory = "{work}/out"
rotate_bytes = "{ROTATE_BYTES >> 20}MiB"
compress = "none"
"""
    return f"""\
[kafka]
bootstrap = ["127.0.0.1:{free_port()}"]  # nobody

[spool]
directory = "{work}/spool"
enabled = {"true" if setting.backlog is not None else "false"}
max_bytes = "{((setting.backlog or 0) >> 30) + 20}GiB"
"""


@contextlib.contextmanager
def _idle(path: Path, number: int) -> Iterator[None]:
    """Hold so many connections that say nothing."""
    with ExitStack() as stack:
        for _ in range(number):
            silent = stack.enter_context(socket.socket(socket.AF_UNIX))
            silent.connect(str(path))
        yield


def _load(
    result: Result, setting: Setting, ground: Ground, watched: Watched, port: int, first: Instance
) -> None:
    """Take what comes before, then warm up and measure."""
    plan = ground.plan
    address = f"unix:{first.socket}"

    def taken(events: int) -> Load:
        """Send so many as fast as they are taken."""
        seconds, patience = events / FAST, 10 + events / SLOWEST
        return offer(
            Schedule(plan.loadgen, address, plan.requests, FAST, seconds, CONNECTIONS, grace=patience)
        )

    if setting.waiting:
        load = phase(result, "load", watched, lambda: taken(setting.waiting))
    elif setting.load == "saturate":
        if setting.before:
            count(result, taken(setting.before))
        count(result, saturate(port, plan.wrk_script, 1, setting.connections))
        _settle(watched, setting.idle)
        load = phase(
            result,
            "load",
            watched,
            lambda: saturate(port, plan.wrk_script, plan.seconds, setting.connections),
        )
    else:
        schedule = _schedule(setting, ground, address, port)
        if setting.load == "clients":
            # Until nginx, too, has its connections: more than a listener's backlog at once are refused.
            warming = 1 + setting.connections / 1000
            count(result, offer(dataclasses.replace(schedule, seconds=warming)))
        else:
            count(result, taken(int(ground.rate)))
        with held(schedule) as go:
            _settle(watched, setting.connections)
            load = phase(result, "load", watched, go)
    result.metrics["load.rps"] = load.ok / load.seconds
    if not load.ok:
        result.invalid.append("no request was answered")


def _schedule(setting: Setting, ground: Ground, address: str, port: int) -> Schedule:
    """Return the schedule for connections that are open before it begins."""
    plan, many = ground.plan, setting.connections
    if setting.load == "straight":
        return Schedule(plan.loadgen, address, plan.requests, ground.rate, plan.seconds, many, in_turn=True)
    front_door = f"127.0.0.1:{port}"
    return Schedule(
        plan.loadgen, front_door, plan.requests, FAST, plan.seconds, many, saturate=True, grace=PATIENCE
    )


def _settle(watched: Watched, connections: int) -> None:
    """Wait until what a generator left is stored and so many connections are open: neither is the load's."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < deadline:
        said = [scrape(port) for port in watched.admin]
        waiting = sum(total(one, "ingestd_unstored_events") for one in said)
        if not waiting and sum(total(one, "ingestd_connections") for one in said) >= connections:
            return
        time.sleep(0.05)


def _look(result: Result, setting: Setting, watched: Watched) -> Stored | None:
    """Read what there is now: memory, what waits. Where there are no files also what was stored."""
    result.metrics["rss_mib"] = sum(map(peak_rss, watched.daemons)) / MIB
    began = time.monotonic()
    said = [scrape(port) for port in watched.admin]
    result.metrics["scrape_ms"] = (time.monotonic() - began) / len(said) * MILLI
    result.metrics["buffer_mib"] = sum(total(one, "ingestd_buffer_bytes") for one in said) / MIB
    waiting = sum(total(one, "ingestd_unstored_events") for one in said)
    if setting.waiting and waiting != result.answered:
        result.invalid.append(f"{waiting:.0f} events wait where {result.answered} were answered")
    open_now = sum(total(one, "ingestd_connections") for one in said)
    if open_now < setting.idle:
        result.invalid.append(f"{open_now:.0f} connections are open where {setting.idle} should say nothing")
    if setting.backlog is None:
        return None
    result.metrics["spool_mib"] = sum(total(one, "ingestd_spool_bytes") for one in said) / MIB
    events = sum(total(one, "ingestd_events_stored_total") for one in said)
    if result.metrics["spool_mib"] * MIB < setting.backlog:
        result.invalid.append(f"the spool holds {result.metrics['spool_mib']:.0f} MiB only")
    return Stored(int(events), 0)


def _files(out: Path, ground: Ground) -> Stored:
    kept = [file for file in out.rglob("*") if file.name.endswith((".ndjson", ".ndjson.open"))]
    return read_events(sorted(kept), set(ground.plan.known))
