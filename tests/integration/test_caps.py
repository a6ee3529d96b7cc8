"""What one instance may be made to hold: each cap crossed on a running daemon, which serves on.

The sizes of a request are in test_refusals.py, of a decompressed body in test_bodies.py, connections and slow
clients in test_connections.py.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingestd.config.sections import MAX_SOURCES
from ingestd.http.fd_limit import RESERVED
from ingestd.pipeline.subscribers import MAX_SUBSCRIBERS
from ingestd.sources.router import MAX_CACHED_PATHS
from ingestd.system.log import REPEATS_PER_MINUTE
from tests.support.daemon import Daemon, DaemonEndedError
from tests.support.place import open_place
from tests.support.waiting import until
from tests.support.wire import Wire, ask, connect, request

GET = request("/c/demo?a=1")


@pytest.fixture(scope="module")
def flooded() -> Iterator[Daemon]:
    with open_place() as place, Daemon(place) as daemon:
        yield daemon


def descriptors(daemon: Daemon) -> int:
    return len(os.listdir(f"/proc/{daemon.pid}/fd"))


def test_clients_cannot_take_the_descriptors_files_need(place: Path) -> None:
    # 600 are allowed, so 600 - 256 connections; without the cap a new file could not be opened any more.
    allowed = 600
    with Daemon(place).start(before=["prlimit", f"--nofile={allowed}:{allowed}"]) as daemon:
        assert f"connections={allowed - RESERVED}" in daemon.log()
        with contextlib.ExitStack() as held:
            for _ in range(allowed + 200):
                held.callback(connect(daemon.socket).close)
            until(lambda: daemon.status()["connections"] >= allowed - RESERVED, "the flood has come in")
            assert descriptors(daemon) < allowed
            daemon.signal(signal.SIGUSR1)  # nothing is in the file yet; the next event opens one
            assert daemon.status()["ready"]
        until(lambda: daemon.status()["connections"] == 0, "the flood has gone")
        assert ask(daemon.socket, GET).status == 200
        assert len(daemon.events()) == 1
        assert "Too many open files" not in daemon.log()


def test_the_soft_limit_of_open_files_is_raised_to_what_is_wanted(place: Path) -> None:
    with Daemon(place, ingest={"max_connections": 700}).start(before=["prlimit", "--nofile=100:"]) as daemon:
        limits = Path(f"/proc/{daemon.pid}/limits").read_text()
        found = re.search(r"^Max open files +(\d+)", limits, re.MULTILINE)
        assert found is not None
        assert int(found[1]) == 700 + RESERVED
        assert "the limit of open files" not in daemon.log()


def test_a_flood_of_refusals_writes_no_log(flooded: Daemon) -> None:
    before = len(flooded.log().splitlines())
    for _ in range(20):
        with Wire(flooded.socket) as wire:
            wire.send(b"".join(request(f"/nowhere/{number}") for number in range(100)))
            for _ in range(100):
                assert wire.receive().status == 404
        assert ask(flooded.socket, b"\0 nonsense\r\n\r\n").status == 400
    assert len(flooded.log().splitlines()) == before
    refused = flooded.status()["requests_refused"]
    assert (refused["not_found"], refused["bad_request"]) == (2000, 20)


def test_trouble_that_repeats_itself_writes_few_lines(place: Path) -> None:
    with Daemon(place) as daemon:
        before = len(daemon.log().splitlines())
        daemon.config.write_text("[ingest]\nlisten = 5\nack = 5\n")
        for _ in range(2 * REPEATS_PER_MINUTE):
            daemon.signal(signal.SIGHUP)
            daemon.wait_for("READY=1")
        assert daemon.metrics()["config_reload_failures_total"] == 2 * REPEATS_PER_MINUTE
        # One minute's share, or two where a minute ends meanwhile: but not all of both problems' lines.
        assert len(daemon.log().splitlines()) - before <= 2 * REPEATS_PER_MINUTE
        assert daemon.metrics()["log_lines_suppressed_total"] > 0
        assert ask(daemon.socket, GET).status == 200


def test_a_stderr_that_nobody_reads_stops_nothing(place: Path) -> None:
    """The pipe is full before the first line: each line would wait for ever, and with it the loop."""
    daemon = Daemon(place)
    os.mkfifo(daemon.log_file)
    reader = os.open(daemon.log_file, os.O_RDWR | os.O_NONBLOCK)
    with contextlib.suppress(BlockingIOError):
        while os.write(reader, bytes(4096)):
            pass
    with daemon:
        daemon.log_file.unlink()
        daemon.log_file.touch()  # the support reads it at the end
        for _ in range(50):
            daemon.signal(signal.SIGHUP)
            daemon.wait_for("READY=1")
        assert ask(daemon.socket, GET).status == 200
        assert daemon.look("/readyz").status == 200
        assert daemon.metrics()["log_lines_dropped_total"] == 0, "they wait, up to the bound"
        assert daemon.stop() == 0
    os.close(reader)


def test_names_from_outside_make_few_series(flooded: Daemon) -> None:
    with Wire(flooded.socket) as wire:
        for start in range(0, 2000, 100):
            numbers = range(start, start + 100)
            wire.send(b"".join(request(f"/c/demo?p{number}=__X__&{'q' * 300}=__Y__") for number in numbers))
            for _ in numbers:
                assert wire.receive().status == 200
    text = flooded.look("/metrics").text
    series = [line for line in text.splitlines() if line.startswith("ingestd_macro_unreplaced_total{")]
    assert len(series) <= 65
    assert max(map(len, series)) < 200
    counted = {
        name: value for name, value in flooded.metrics().items() if name.startswith("macro_unreplaced")
    }
    assert sum(counted.values()) == 4000


def test_paths_from_outside_take_bounded_memory(flooded: Daemon) -> None:
    def send(numbers: range) -> None:
        for start in numbers[::200]:
            with Wire(flooded.socket) as wire:
                some = range(start, start + 200)
                wire.send(b"".join(request(f"/c/demo/{'r' * 200}{number}?a=1") for number in some))
                for _ in some:
                    assert wire.receive().status == 200

    send(range(MAX_CACHED_PATHS))
    before = flooded.resident()
    send(range(MAX_CACHED_PATHS, MAX_CACHED_PATHS + 12000))
    assert flooded.resident() < before + 4 * 1024 * 1024, "12,000 more paths, each kept, are 10 MB"


def test_a_thousand_sources_are_served(place: Path) -> None:
    sources = [{"name": f"s{number}", "path": f"/c/s{number}"} for number in range(1000)]
    with Daemon(place, sources=sources) as daemon:
        for number in (0, 500, 999):
            assert ask(daemon.socket, request(f"/c/s{number}/app?a=1")).status == 200
        assert ask(daemon.socket, request("/c/s1000/app?a=1")).status == 404
        assert [event["source"] for event in daemon.events()] == ["s0", "s500", "s999"]
        assert daemon.metrics()["sources"] == 1000
        assert daemon.resident() < 200 << 20


def test_sources_have_a_cap_that_reloads_do_not_pass_either(place: Path) -> None:
    """Every name keeps counters and series until a restart, so names that come and go are counted, too."""

    def some(start: int, count: int) -> list[dict[str, object]]:
        return [{"name": f"s{n}", "path": f"/c/s{n}"} for n in range(start, start + count)]

    with Daemon(place, sources=some(0, MAX_SOURCES - 1)) as daemon:
        for start, taken in ((MAX_SOURCES, True), (MAX_SOURCES + 1, False), (MAX_SOURCES, True)):
            daemon.configure(sources=some(start, 1))
            daemon.signal(signal.SIGHUP)
            daemon.wait_for("READY=1")
            assert ask(daemon.socket, request(f"/c/s{start}?a=1")).status == (200 if taken else 404)
        assert "10,001 sources are more than the maximum, 10,000; sources of earlier" in daemon.log()
        metrics = daemon.metrics()
        assert (metrics["config_reloads_total"], metrics["config_reload_failures_total"]) == (2, 1)
        assert len(daemon.status()["sources"]) == MAX_SOURCES


def test_one_source_too_many_starts_no_daemon(place: Path) -> None:
    sources = [{"name": f"s{n}", "path": f"/c/s{n}"} for n in range(MAX_SOURCES + 1)]
    daemon = Daemon(place, sources=sources)
    with pytest.raises(DaemonEndedError, match="10,001 sources are more than the maximum, 10,000; give"):
        daemon.start()
    assert daemon.wait() == 78


def test_a_follower_too_many_is_turned_away(place: Path) -> None:
    with Daemon(place) as daemon, contextlib.ExitStack() as held:
        for number in range(MAX_SUBSCRIBERS + 1):
            wire = held.enter_context(Wire(daemon.admin))
            wire.send(request("/tail", host="localhost"))
            assert wire.receive().status == (200 if number < MAX_SUBSCRIBERS else 503)


def test_bombs_at_the_same_time_take_the_memory_of_one(place: Path) -> None:
    # One request's body is decompressed at a time, and only up to the cap.
    bomb = gzip.compress(bytes(60 << 20), 1)
    assert len(bomb) < 1 << 20
    data = request("/c/demo", "POST", {"Content-Encoding": "gzip", "Content-Type": "application/json"}, bomb)
    with Daemon(place) as daemon:
        ask(daemon.socket, GET)
        before = daemon.resident()
        with contextlib.ExitStack() as held:
            wires = [held.enter_context(Wire(daemon.socket)) for _ in range(12)]
            for wire in wires:
                wire.send(data)
            assert {wire.receive().status for wire in wires} == {413}
        assert daemon.resident() < before + (48 << 20)
        assert daemon.status()["sources"]["demo"]["rejected"] == {"inflated_too_large": 12}
