"""The two load generators: wrk for saturation, our own open-loop one for latency at a fixed rate."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.procs import BenchError, usage


@dataclass(frozen=True)
class Load:
    """What a generator saw. Latencies in milliseconds; `uncounted` replies may have come unseen."""

    requests: int
    ok: int
    bad: int  # replies that were not 2xx, and requests without a reply
    seconds: float
    p50: float
    p99: float
    p999: float
    longest: float
    uncounted: int  # requests that were on their way when the generator hung up
    lag: float  # p99 of how late the generator itself was; 0 for wrk, which has no schedule
    cpu: float  # seconds of CPU of the generator
    received: int  # bytes of replies


def saturate(port: int, script: Path, seconds: float, connections: int) -> Load:
    """Send as fast as replies come, on `connections` connections, from one thread of wrk."""
    wrk = shutil.which("wrk")
    if wrk is None:
        raise BenchError("wrk is not on PATH: apt-get install wrk")
    command = [wrk, "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "10s"]
    text, cpu = _run([*command, "-s", str(script), f"http://127.0.0.1:{port}/"], seconds + 30)
    said = json.loads(text.splitlines()[-1])
    return Load(
        requests=said["requests"],
        ok=said["requests"] - said["bad"],
        bad=said["bad"] + said["broken"],
        seconds=said["seconds"],
        p50=said["p50_ms"],
        p99=said["p99_ms"],
        p999=said["p999_ms"],
        longest=said["max_ms"],
        uncounted=connections,
        lag=0.0,
        cpu=cpu,
        received=said["bytes"],
    )


@dataclass(frozen=True)
class Schedule:
    """Requests at a constant rate, whatever the replies do; latency counts from when a request was due."""

    loadgen: Path
    address: str  # ``HOST:PORT`` or ``unix:PATH``
    requests: Path
    rate: float
    seconds: float
    connections: int
    in_turn: bool = False  # use all connections alike, not rather those just used
    saturate: bool = False  # no rate but a greatest: each connection sends again once it has its reply
    grace: float = 2.0  # seconds to wait for replies after the end

    def command(self) -> list[str]:
        """Return the generator's command line."""
        flags = [f"-address={self.address}", f"-requests={self.requests}", f"-rate={self.rate:g}"]
        flags += [f"-seconds={self.seconds:g}", f"-connections={self.connections}", f"-grace={self.grace:g}s"]
        flags += ["-in-turn"] if self.in_turn else []
        return [str(self.loadgen), *flags, *(["-saturate"] if self.saturate else [])]

    @property
    def longest(self) -> float:
        """After so many seconds it hangs."""
        return self.seconds + self.grace + 30


def offer(schedule: Schedule) -> Load:
    """Run a schedule to its end."""
    text, cpu = _run(schedule.command(), schedule.longest)
    return _offered(text, cpu)


@contextmanager
def held(schedule: Schedule) -> Iterator[Callable[[], Load]]:
    """Open a schedule's connections; what is yielded runs it, without the cost of opening them."""
    command = [*schedule.command(), "-hold"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:

        def go() -> Load:
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            connecting = usage([process.pid]).cpu
            try:
                text, error = process.communicate("\n", timeout=schedule.longest)
            except subprocess.TimeoutExpired as late:
                raise BenchError(f"{command[0]} did not end in {schedule.longest:.0f} s") from late
            if process.returncode:
                raise BenchError(f"{command[0]} failed: {error.strip()}")
            return _offered(text, _cpu_since(before) - connecting)

        try:
            assert process.stdout is not None, "asked for"
            if process.stdout.readline() != "connected\n":
                raise BenchError(f"{command[0]} failed: {process.communicate()[1].strip()}")
            yield go
        finally:
            process.kill()


def _offered(text: str, cpu: float) -> Load:
    said = json.loads(text)
    if said["closed"]:
        raise BenchError(f"the server closed {said['closed']} keep-alive connections")
    return Load(
        requests=said["sent"] + said["unsent"],
        ok=said["ok"],
        bad=said["not_2xx"] + said["no_reply"] + said["unsent"],
        seconds=said["seconds"],
        p50=said["p50_ms"],
        p99=said["p99_ms"],
        p999=said["p999_ms"],
        longest=said["max_ms"],
        uncounted=said["no_reply"],
        lag=said["lag_p99_ms"],
        cpu=cpu,
        received=said["received"],
    )


def _run(command: list[str], seconds: float) -> tuple[str, float]:
    """Run to the end; return what it printed and the seconds of CPU it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"{command[0]} did not end in {seconds:.0f} s") from error
    if done.returncode:
        raise BenchError(f"{command[0]} failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout, _cpu_since(before)


def _cpu_since(before: resource.struct_rusage) -> float:
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
