"""Events with a bad signature, kept apart: in files of their own, counted, and written once."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import orjson
import pytest

from ingestd.errors import SinkError
from ingestd.event import Batch, Entry
from ingestd.pipeline.counters import Counters, SourceCounters
from ingestd.pipeline.quarantine import Quarantine
from ingestd.pipeline.sink import CommitResult, Snapshot
from tests.support.daemon import Daemon
from tests.support.platforms.cases import SAMPLES
from tests.support.wire import ask, request

GOOD = SAMPLES["baidu signed"].removeprefix("https://trk.example.com")
BAD, MISSING = GOOD[:-1], GOOD.rpartition("&sign=")[0]


def sources(policy: str) -> list[dict[str, object]]:
    signature = {"key_file": "baidu.key"}
    return [
        {"name": "baidu", "path": "/c/baidu", "profile": "baidu", "signature": signature,
         "on_bad_signature": policy},
        {"name": "demo", "path": "/c/demo"},
    ]  # fmt: skip


def start(place: Path, policy: str) -> Daemon:
    (place / "baidu.key").write_text("test-akey-0001=")
    return Daemon(place, sources=sources(policy), ingest={"public_base": "https://trk.example.com"})


def lines(paths: list[Path]) -> list[dict[str, Any]]:
    return [orjson.loads(line) for path in paths for line in path.read_bytes().splitlines()]


def test_events_with_a_bad_signature_go_to_files_of_their_own(place: Path) -> None:
    with start(place, "dead_letter") as daemon:
        for target in (GOOD, BAD, MISSING, "/c/demo?a=1"):
            assert ask(daemon.socket, request(target)).status == 200, "kept, so taken"
        assert [event["signature"] for event in daemon.events()] == ["ok", "none"]
        metrics = daemon.metrics()
        assert metrics['events_dead_lettered_total{reason="signature",source="baidu"}'] == 2
        assert metrics['events_stored_total{source="baidu"}'] == 3
        assert metrics['events_delivered_total{sink="file",source="baidu"}'] == 1
        assert metrics['events_delivered_total{sink="file",source="demo"}'] == 1
        assert daemon.stop() == 0
    dead = lines(sorted((place / "clicks" / "dead").glob("*.ndjson")))
    assert [event["signature"] for event in dead] == ["bad", "missing"]
    assert [event["signature"] for event in daemon.events()] == ["ok", "none"]


def test_a_reload_that_asks_for_it_first_says_that_it_needs_a_restart(place: Path) -> None:
    with start(place, "flag") as daemon:
        daemon.configure(sources=sources("dead_letter"))
        daemon.signal(signal.SIGHUP)
        daemon.wait_for("READY=1")
        assert "source.on_bad_signature" in daemon.log()
        assert ask(daemon.socket, request(BAD)).status == 200
        assert [event["signature"] for event in daemon.events()] == ["bad"], "nothing is lost meanwhile"


class Recording:
    """A sink that keeps what it is given, or fails while `broken`."""

    name = "file"

    def __init__(self) -> None:
        self.data: list[bytes] = []
        self.broken = False

    async def commit(self, batch: Batch) -> CommitResult:
        if self.broken:
            raise SinkError("broken")
        self.data.append(batch.data())
        return CommitResult(delivered={self.name: batch.shares()})

    async def nothing(self) -> None:
        pass

    def snapshot(self) -> Snapshot:
        return Snapshot("", {}, {})

    open = probe = tick = rotate = close = nothing


def entry(source: SourceCounters, data: bytes, dead_letter: str | None) -> Entry:
    made = Entry()
    made.counters, made.data, made.count, made.dead_letter = source, data, 1, dead_letter
    made.received_ns = 0
    return made


async def test_letters_are_written_once_however_often_the_rest_fails() -> None:
    main, letters, counters = Recording(), Recording(), Counters()
    source = counters.of("x")
    sink = Quarantine(main, letters)
    batch = Batch()
    batch.entries = [entry(source, b"good\n", None), entry(source, b"bad\n", "signature")]

    main.broken = True
    for _ in range(2):
        with pytest.raises(SinkError):
            await sink.commit(batch)
    assert (source.dead_lettered, source.delivered) == ({}, {})
    main.broken = False
    counters.record(await sink.commit(batch))
    assert (main.data, letters.data) == ([b"good\n"], [b"bad\n"])
    assert (source.dead_lettered, source.delivered) == ({"signature": 1}, {"file": 1})


async def test_a_batch_of_letters_alone_leaves_the_sink_in_peace() -> None:
    main, letters = Recording(), Recording()
    batch = Batch()
    batch.entries = [entry(SourceCounters("x"), b"bad\n", "signature")]
    await Quarantine(main, letters).commit(batch)
    assert (main.data, letters.data) == ([], [b"bad\n"])
