"""The snippets of conf/analysts.md, run as they stand there, over what a real daemon has written."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import orjson
import pytest

from tests.support.daemon import Daemon
from tests.support.documents import read
from tests.support.kafka.broker import KafkaBroker
from tests.support.kafka.daemon import KafkaDaemon
from tests.support.kafka.producing import produce
from tests.support.load import Load
from tests.support.oracle import Ledger, Oracle, parts
from tests.support.place import open_place
from tests.support.wire import ask, request


@pytest.fixture
def place() -> Iterator[Path]:
    with open_place() as path:
        yield path


def snippet(language: str, word: str) -> str:
    """The one block of the page for analysts that has this word in it."""
    text = read("conf/analysts.md")
    [found] = [one for one in re.findall(rf"^```{language}\n(.*?)^```$", text, re.M | re.S) if word in one]
    return str(found)


def test_duckdb_counts_events_and_clicks_in_compressed_files(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each click twice, with parameters that differ between sources and a value that changes its type."""
    sources: list[dict[str, object]] = [
        {"name": "ocean", "path": "/c/ocean", "profile": "ocean"},
        {"name": "other", "path": "/c/other", "dedup": ["callback_param"]},
    ]
    with Daemon(place, sources=sources, file={"compress": "zstd"}) as daemon:
        for number in range(60):
            macro = "__IMEI__" if number % 3 else "ab"
            target = f"/c/ocean?callback_param={100 + number // 2}&aid={number % 4}&imei={macro}&p{number}=1"
            assert ask(daemon.socket, request(target)).status == 200
        body = orjson.dumps([{"callback_param": n, "deep": [{"n": n}] if n else "text"} for n in range(5)])
        posted = request("/c/other", "POST", {"Content-Type": "application/json"}, body)
        assert ask(daemon.socket, posted).status == 200
        assert daemon.stop() == 0
    assert [path.suffix for path in daemon.files()] == [".zst"]
    monkeypatch.chdir(place)
    found = duckdb.sql(snippet("sql", "read_json"))
    assert found is not None
    assert found.columns == ["source", "events", "clicks", "ads", "without_imei"]
    assert found.fetchall() == [("ocean", 60, 30, 4, 40), ("other", 5, 5, 0, 0)]


@pytest.mark.kafka
def test_the_consumer_drops_repeats_by_id(kafka: KafkaBroker, topic: str, place: Path) -> None:
    ledger = Ledger()
    with KafkaDaemon(place, kafka.bootstrap, kafka={"topic": topic}) as daemon:
        with Load(daemon.socket, ledger, connections=4):
            ledger.wait_for_acks(300)
        assert daemon.stop() == 0
    produce(kafka.bootstrap, topic, kafka.consume_all(topic)[:50])
    script = place / "consumer.py"
    script.write_text(snippet("python", "consumer"))
    wanted = sum(parts(number) for number in range(ledger.sent))
    command = [sys.executable, str(script), kafka.bootstrap, topic]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as consumer:
        assert consumer.stdout is not None
        lines = [consumer.stdout.readline() for _ in range(wanted)]
        consumer.terminate()  # not by SIGINT: what is started in the background ignores it
        lines += consumer.stdout.readlines()
    oracle = Oracle(ledger)
    oracle.read(line.encode() for line in lines)
    result = oracle.verdict()
    assert (len(lines), result.problems(), result.repeated) == (wanted, [], 0)
