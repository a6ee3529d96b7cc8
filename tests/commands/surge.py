"""More comes than can be taken: what becomes of the rest, and of what was taken?

    python -m tests.commands.surge --times 5 --seconds 10

Each request is a JSON array of 50 small events: the instance has much to do, nginx and the load generator,
which share the machine, little, even at five times as many. What the instance can take is found by wrk; then
requests come at half of that, at `--times` that, and at half of it again, whatever the replies (open loop:
latency counts from when a request was due). Exit status 0: all was as it should be; 1: it was not; 2: the
machine was too busy to tell.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from bench.contenders import go_build
from bench.load import saturate
from bench.mix import Request, write_for_loadgen, write_for_wrk
from bench.procs import machine_busy, usage
from tests.support.daemon import Daemon
from tests.support.oracle import PATH
from tests.support.place import open_place
from tests.support.spilling import Net
from tests.support.waiting import FAR
from tests.support.wire import request

SOURCE: dict[str, object] = {
    "name": "demo", "path": PATH, "on_overload": {"status": 503, "body": "come back later", "retry_after": 7},
}  # fmt: skip
# Seconds that a request waits where nginx' limit is reached: the rule for `ingestd nginx --requests`
# (nginx/README.md).
WAIT = 1 / 50
LEAST_GOODPUT = 0.9
MOST_P99_MS = 50.0
MOST_GROWTH = 32 << 20
MOST_RECOVERY = 2.0
MOST_LAG_MS = 15.0
MOST_OTHERS = 0.3
SLOT = 0.1  # seconds; the generator's
AT_ONCE = 128  # connections of wrk: what is taken then, whatever the latency, is the peak
WARM_SECONDS, PEAK_SECONDS, AFTER_SECONDS = 2, 5, 5


@dataclass
class Surge:
    """What a surge showed. Rates are requests/s, times ms unless they say seconds."""

    peak: float
    requests: int  # nginx' limit
    before: dict[str, Any]
    surge: dict[str, Any]
    after: dict[str, Any]
    seconds: float
    foreign: list[str]  # refusals that are not the source's own
    growth: int  # bytes of memory
    resident: int
    spilled: int
    stored: int  # events
    answered: int  # ... of requests that were answered with success
    front: float  # cores that nginx used in all that time
    others: float  # ... and other programs

    @property
    def goodput(self) -> float:
        return float(self.surge["ok"]) / self.seconds

    @property
    def recovery(self) -> float:
        """Seconds after the surge until every tenth of a second was all success, none slower than it may."""
        slots = self.after["slots"]
        bad = [n for n, slot in enumerate(slots) if slot["bad"] or slot["slowest_ms"] > MOST_P99_MS]
        return (bad[-1] + 1) * SLOT if bad else 0.0

    @property
    def lag(self) -> float:
        return max(float(part["lag_p99_ms"]) for part in (self.before, self.surge, self.after))

    def problems(self) -> list[str]:
        """What was not as it should be."""
        unanswered = sum(part["no_reply"] + part["unsent"] for part in (self.before, self.surge, self.after))
        found = {
            f"goodput under {LEAST_GOODPUT:.0%} of the peak": self.goodput < LEAST_GOODPUT * self.peak,
            f"p99 of what was taken over {MOST_P99_MS:g} ms": self.surge["accepted_p99_ms"] > MOST_P99_MS,
            f"memory grew by more than {MOST_GROWTH >> 20} MiB": self.growth > MOST_GROWTH,
            f"replies that are not the source's own: {self.foreign}": bool(self.foreign),
            f"{unanswered} requests without a reply": unanswered > 0,
            f"not normal within {MOST_RECOVERY:g} s": self.recovery > MOST_RECOVERY,
            f"{self.spilled} requests spilled": self.spilled > 0,
            f"{self.answered} events answered with success, {self.stored} stored": self.stored
            != self.answered,
        }
        return [text for text, wrong in found.items() if wrong]

    def text(self) -> str:
        """The figures, one a line."""
        before, surge, after = self.before, self.surge, self.after
        offered = sum(surge[key] for key in ("sent", "unsent")) / self.seconds
        return f"""\
peak                  {self.peak:8.0f} requests/s; nginx lets {self.requests} of a source be under way
before  p99           {before["accepted_p99_ms"]:8.1f} ms at half of it
surge   offered       {offered:8.0f} requests/s for {self.seconds:g} s
        taken         {self.goodput:8.0f} requests/s, {self.goodput / self.peak:.0%} of the peak
        refused       {surge["not_2xx"]:8d} requests, in the source's own words
        p50, p99      {surge["accepted_p50_ms"]:8.1f} ms, {surge["accepted_p99_ms"]:.1f} ms of what was taken
        memory        {self.resident >> 20:8d} MiB at most, {self.growth / 2**20:+.1f} MiB in the surge
        spilled       {self.spilled:8d} requests
after   normal within {self.recovery:8.1f} s; p99 of all that time {after["accepted_p99_ms"]:.1f} ms
books   answered      {self.answered:8d} events with success, {self.stored} stored
        generator     {self.lag:8.1f} ms late at most (p99)
        cores         {self.front:8.2f} used by nginx, {self.others:.2f} by other programs"""


class Watch:
    """The most memory an instance has resident from entering to leaving."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.first = self.most = daemon.resident()

    @contextmanager
    def watching(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._ended.set()
            self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(0.1):
            self.most = max(self.most, self._daemon.resident())


def mix(events: int) -> list[Request]:
    """A few hundred different requests of so many events each."""
    texts = []
    for number in range(200):
        body = orjson.dumps([{"n": number, "part": n} for n in range(events)])
        data = request(f"{PATH}/app42", "POST", {"Content-Type": "application/json"}, body)
        texts.append(Request(data.decode(), "", ""))
    return texts


def run(place: Path, *, events: int, times: float, seconds: float, connections: int) -> Surge:
    """One surge in `place`."""
    loadgen = go_build("./loadgen")
    script, requests = place / "mix.lua", place / "mix.json"
    write_for_wrk(mix(events), script)
    write_for_loadgen(mix(events), requests)
    with Net(place, sources=[SOURCE], timeout=None) as net:
        [daemon] = net.daemons
        daemon.start()
        saturate(net.nginx.port, script, WARM_SECONDS, AT_ONCE)
        found = saturate(net.nginx.port, script, PEAK_SECONDS, AT_ONCE)
        peak = found.ok / found.seconds
        most = max(8, round(peak * WAIT))
        net.limit(most)
        stored, watch = _stored(daemon), Watch(daemon)
        busy, front = machine_busy() - _used(os.getpid()), _used(net.nginx.pid)
        rates = ((peak / 2, WARM_SECONDS), (peak * times, seconds), (peak / 2, AFTER_SECONDS))
        phases = ",".join(f"{rate:.0f}x{length:g}" for rate, length in rates)
        command = [str(loadgen), f"-address=127.0.0.1:{net.nginx.port}", f"-requests={requests}", "-in-turn"]
        command += [f"-phases={phases}", f"-connections={connections}"]
        with watch.watching():
            done = subprocess.run(command, capture_output=True, text=True, timeout=FAR, check=True)
        said = json.loads(done.stdout)
        before, surge, after = said["phases"]
        return Surge(
            peak=peak, requests=most, before=before, surge=surge, after=after, seconds=seconds,
            foreign=[text for text in said["refusals"] if not _own(text)],
            growth=watch.most - watch.first, resident=watch.most,
            spilled=net.spilled(), stored=_stored(daemon) - stored, answered=said["ok"] * events,
            front=(_used(net.nginx.pid) - front) / said["seconds"],
            others=(machine_busy() - _used(os.getpid()) - busy) / said["seconds"],
        )  # fmt: skip


def _own(reply: str) -> bool:
    return reply.startswith("HTTP/1.1 503 ") and "Retry-After: 7\r\n" in reply and "come back" in reply


def _used(pid: int) -> float:
    """Seconds of CPU that a process and what it started have used."""
    cost = usage([pid])
    return cost.user + cost.system


def _stored(daemon: Daemon) -> int:
    """Events stored so far, once none is under way."""
    while (source := daemon.status()["sources"]["demo"])["unstored"]:
        pass
    return int(source["stored"])


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--times", type=float, default=5, help="how much more comes than is taken (default 5)"
    )
    parser.add_argument("--seconds", type=float, default=10, help="how long (default 10)")
    parser.add_argument("--events", type=int, default=50, help="events of a request (default 50)")
    parser.add_argument("--connections", type=int, default=1000, help="keep-alive connections (default 1000)")
    arguments = parser.parse_args()
    with open_place() as place:
        result = run(place, **vars(arguments))
    print(result.text())
    problems = result.problems()
    if problems and (result.lag > MOST_LAG_MS or result.others > MOST_OTHERS):
        print("\n".join(problems))
        print("NO VERDICT: the load generator was late, or other programs used the machine")
        return 2
    print("\n".join(f"WRONG: {problem}" for problem in problems) or "all as it should be")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
