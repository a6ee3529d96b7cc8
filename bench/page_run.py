"""What the status page costs the daemon with several pages open, and the longest it holds up the loop.

    bench/page --sources 10000 --pages 5 --seconds 30 --rounds 3

The pages are stood in for by a process that asks exactly what they ask: one on each view in turn (overview,
sources, a source, waiting for a test click, conservation). CPU is that of a daemon of its own, with the pages
open and without them in turn, under a light load. The loop's turns are measured in a second daemon, inside
this process, on asyncio's own loop: the time of each callback by the thread's CPU clock, which does not count
the time that others have the core.
Exit status 1: over a percent of a core, or a turn of over 5 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import asyncio.events
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bench.procs import usage

MOST_SHARE, MOST_SECONDS = 0.01, 0.005
SETTLE_SECONDS = 8.0
VIEWS = ("overview", "sources", "source", "click", "conservation")


# the pages, in a process of their own


async def question(port: int, target: str) -> bytes:
    """One answer, whole."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 200"), (target, answer[:200])
    return answer


async def follow(port: int, target: str) -> None:
    """A stream, read until it ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    while await reader.read(1 << 16):
        pass
    writer.close()


async def every(seconds: float, ask: Callable[[], Awaitable[object]]) -> None:
    while True:
        await ask()
        await asyncio.sleep(seconds)


async def page(port: int, view: str) -> None:
    """What page/*.js asks for on a view, as often."""
    since = 0

    async def now() -> None:
        nonlocal since
        answer = await question(port, f"/api/now?instance=0&since={since}")
        since = int(answer.rpartition(b'"slot":')[2].partition(b",")[0])

    asks: list[Awaitable[None]] = [every(2, now)]
    if view == "sources":
        await question(port, "/api/names?instance=0")
        asks.append(every(5, lambda: question(port, "/api/table?instance=0")))
    if view == "source":
        asks.append(every(10, lambda: question(port, "/api/source?name=shop7&instance=0")))
        asks.append(every(10, lambda: question(port, "/api/events?name=shop7&instance=0")))
    if view == "click":
        await question(port, "/api/names?instance=0")
        asks.append(follow(port, "/api/clicks?name=shop7&instance=0"))
    if view == "conservation":
        asks.append(every(5, lambda: question(port, "/api/evidence?instance=0")))
    await asyncio.gather(*asks)


async def pages(port: int, count: int) -> None:
    await asyncio.gather(*(page(port, VIEWS[number % len(VIEWS)]) for number in range(count)))


async def load(path: str, sources: int, rate: float) -> None:
    """Clicks over one connection, spread over the sources; every third is for the one that is looked at."""
    reader, writer = await asyncio.open_unix_connection(path)
    number = 0
    while True:
        number += 1
        source = 7 if number % 3 == 0 else number * 7919 % sources
        target = f"/c/shop{source}?ts=1718000000123&imei=__IMEI__&n={number}"
        writer.write(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await reader.readuntil(b"ok")
        await asyncio.sleep(1 / rate)


@contextmanager
def beside(*arguments: str) -> Iterator[None]:
    """Another process of this module, until it is left."""
    process = subprocess.Popen([sys.executable, "-m", "bench.page_run", *arguments])
    try:
        yield
        if process.poll() is not None:
            raise SystemExit(f"{arguments}: ended with status {process.returncode}")
    finally:
        process.kill()
        process.wait()


# the daemon


def configuration(place: Path, port: int, sources: int) -> Path:
    lines = [
        f'[ingest]\nlisten = "unix:{place}/socket"\nsocket_group = ""\ninstance = "0"',
        f'[file]\ndirectory = "{place}/clicks"',
        f'[admin]\nlisten = "tcp:127.0.0.1:{port}"\nspill_log = "{place}/none"',
    ]
    lines += [f'[[source]]\nname = "shop{n}"\npath = "/c/shop{n}"\nprofile = "ocean"' for n in range(sources)]
    path = place / "ingestd.toml"
    path.write_text("\n".join(lines))
    return path


def wait_for(place: Path, port: int) -> None:
    for _ in range(600):
        with suppress(OSError):
            asyncio.run(question(port, "/livez"))
            if (place / "socket").exists():
                return
        time.sleep(0.1)
    raise SystemExit("the daemon does not answer")


def cost(options: argparse.Namespace, place: Path, port: int) -> float:
    """Cores the pages cost: the median over the rounds of what the daemon used with them less without."""
    path = configuration(place, port, options.sources)
    daemon = subprocess.Popen(
        [sys.executable, "-m", "ingestd", "serve", "-c", str(path)], stderr=subprocess.DEVNULL
    )
    try:
        wait_for(place, port)
        with beside(
            "--load", str(place / "socket"), "--sources", str(options.sources), "--rate", str(options.rate)
        ):
            differences = []
            for number in range(options.rounds):
                without = used(daemon.pid, options.seconds)
                with beside("--client", str(port), "--pages", str(options.pages)):
                    there = used(daemon.pid, options.seconds)
                differences.append(there - without)
                print(f"round {number + 1}: {without:.2%} of a core, {there:.2%} with pages")
        return statistics.median(differences)
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait()


def used(pid: int, seconds: float) -> float:
    """Cores a process uses, once it has settled."""
    time.sleep(SETTLE_SECONDS)
    before, began = usage([pid]).cpu, time.monotonic()
    time.sleep(seconds)
    return (usage([pid]).cpu - before) / (time.monotonic() - began)


# the loop's turns


class Turns:
    """The longest callbacks of the loop, by the CPU time of its thread."""

    def __init__(self) -> None:
        self.longest: list[tuple[float, str]] = []
        self.counted = False
        real = asyncio.events.Handle._run
        turns = self

        def timed(handle: Any) -> None:
            began = time.thread_time()
            real(handle)
            if turns.counted and (spent := time.thread_time() - began) > 0.0005:
                turns.longest.append((spent, repr(handle)))

        asyncio.events.Handle._run = timed  # type: ignore[assignment]


def turns(options: argparse.Namespace, place: Path, port: int) -> float:
    """The longest turn of the loop while pages are open, seconds."""
    from ingestd import config
    from ingestd.app import App
    from ingestd.system.log import LogRateLimit

    path = configuration(place, port, options.sources)
    measured = Turns()

    async def main() -> None:
        app = App(config.load(path), lambda: config.load(path), LogRateLimit())
        running = asyncio.create_task(app.run())
        await asyncio.sleep(SETTLE_SECONDS)
        arguments = (
            "--load",
            str(place / "socket"),
            "--sources",
            str(options.sources),
            "--rate",
            str(options.rate),
        )
        with beside(*arguments), beside("--client", str(port), "--pages", str(options.pages)):
            await asyncio.sleep(SETTLE_SECONDS)
            measured.counted = True
            await asyncio.sleep(options.seconds * options.rounds)
            measured.counted = False
        app.stop()
        await running

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(main())
    measured.longest.sort(reverse=True)
    for spent, what in measured.longest[:5]:
        print(f"{spent * 1000:6.2f} ms  {what[:160]}")
    return measured.longest[0][0] if measured.longest else 0.0


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sources", type=int, default=10_000)
    parser.add_argument("--pages", type=int, default=5)
    parser.add_argument("--rate", type=float, default=50.0, help="clicks/s meanwhile (default 50)")
    parser.add_argument("--seconds", type=float, default=30.0, help="of each half of a round (default 30)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--client", type=int, metavar="PORT", help=argparse.SUPPRESS)
    parser.add_argument("--load", metavar="SOCKET", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.client:
        asyncio.run(pages(options.client, options.pages))
    if options.load:
        asyncio.run(load(options.load, options.sources, options.rate))
    port = 20_000 + os.getpid() % 10_000
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        share = cost(options, Path(first), port)
        longest = turns(options, Path(second), port + 1)
    what = f"{options.pages} pages, {options.sources:,} sources"
    print(f"{what}: {share:.2%} of a core (at most {MOST_SHARE:.0%})")
    print(f"longest turn of the loop: {longest * 1000:.1f} ms (at most {MOST_SECONDS * 1000:.0f} ms)")
    return int(share > MOST_SHARE or longest > MOST_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
