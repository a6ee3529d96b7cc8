"""The two load generators: wrk for saturation, our own open-loop one for latency at a fixed rate."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bench.procs import BenchError


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


def offer(
    loadgen: Path,
    address: str,
    requests: Path,
    rate: float,
    seconds: float,
    connections: int,
    *,
    in_turn: bool = False,
    grace: float = 2.0,
) -> Load:
    """Send at a constant rate whatever the replies do; latency counts from when a request was due.

    `address`: ``HOST:PORT`` or ``unix:PATH``. `in_turn`: use all connections alike, not the ones just used.
    `grace`: seconds to wait for replies after the schedule's end.
    """
    command = [str(loadgen), f"-address={address}", f"-requests={requests}", f"-rate={rate:g}"]
    command += [f"-seconds={seconds:g}", f"-connections={connections}", f"-grace={grace:g}s"]
    text, cpu = _run([*command, *(["-in-turn"] if in_turn else [])], seconds + grace + 30)
    said = json.loads(text)
    return Load(
        requests=said["sent"],
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
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return done.stdout, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
