"""Which sinks a configuration makes, and which changes of it only a new process takes up."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from ingestd.pipeline.counters import Counters
from ingestd.pipeline.quarantine import Quarantine
from ingestd.sinks import build, need_restart
from tests.support.event_files import event
from tests.support.fakes import FakeEntry, settings
from tests.support.kafka_stand_in import Cluster
from tests.support.sinks_under_test import batch_of

STRICT = {
    "signature": {"kind": "token", "key_file": "demo.key"},
    "on_bad_signature": "dead_letter",
}
KAFKA = '[kafka]\nbootstrap = ["127.0.0.1:1"]\n'


@pytest.mark.parametrize("file", [False, True])
async def test_unsigned_events_are_files_beside_the_events_or_where_kafka_s_dead_letters_are(
    file: bool, tmp_path: Path
) -> None:
    toml = f'{KAFKA}dead_letter_directory = "{tmp_path}/letters"\n[spool]\ndirectory = "{tmp_path}/spool"\n'
    toml += f'[file]\ndirectory = "{tmp_path}/clicks"\n' if file else ""
    toml += '[ingest]\ninstance = "one"\n'

    cluster, counters = Cluster({"clicks": 1}), Counters()
    batch = batch_of(1)
    source = counters.of("demo")
    batch.entries = [FakeEntry(event(number), source) for number in (1, 2)]
    batch.entries[0].dead_letter = "bad_signature"
    with cluster.in_place():
        sink = build(settings(toml, **STRICT), counters, "host/one")
        assert isinstance(sink, Quarantine)
        await sink.open()
        counters.record(await sink.commit(batch))
        while not cluster.values("clicks"):
            await asyncio.sleep(0.005)
        await sink.close()
    assert cluster.values("clicks") == [event(2)[:-1]]
    assert source.dead_lettered == {"bad_signature": 1}
    directory = tmp_path / "clicks" / "dead" if file else tmp_path / "letters"
    [letters] = directory.glob("*.ndjson")
    assert letters.name.startswith("clicks-unsigned-one-")
    assert letters.read_bytes() == event(1)
    assert (tmp_path / "clicks").exists() is file


@pytest.mark.parametrize(
    ("before", "after", "sections"),
    [
        ("", "", []),
        (
            '[admin]\nlisten = "tcp:127.0.0.1:9401"\n',
            '[admin]\nlisten = "tcp:127.0.0.1:9402"\n',
            ["admin.listen"],
        ),
        ("", '[admin]\ncertificates = ["/etc/ssl/one.pem"]\n', []),
        ('[file]\nprefix = "a"\n', '[file]\nprefix = "b"\n[flush]\ninterval = "1s"\n', ["flush", "file"]),
        (KAFKA, KAFKA + 'topic = "other"\n', []),
        (KAFKA, KAFKA + 'linger = "1s"\ndelivery = "exactly_once"\n', ["kafka.delivery", "kafka.linger"]),
        (KAFKA, "", ["kafka"]),
        ("", KAFKA, ["kafka"]),
    ],
)
def test_what_only_a_new_process_takes_up_is_named(before: str, after: str, sections: list[str]) -> None:
    """The rest of [admin], the sources and where Kafka is are taken up at once."""
    file = "" if "[file]" in before else '[file]\ndirectory = "/c"\n'
    assert need_restart(settings(before + file), settings(after + file)) == sections


def test_the_first_source_that_sets_events_aside_needs_a_restart_and_no_other_does() -> None:
    """Their files are opened at the start, and stay."""

    def with_(**source: Any) -> Any:
        return settings('[file]\ndirectory = "/c"\n', **source)

    flags = {**STRICT, "on_bad_signature": "flag"}
    assert need_restart(with_(), with_(**STRICT)) == ["source.on_bad_signature"]
    assert need_restart(with_(**flags), with_(**STRICT)) == ["source.on_bad_signature"]
    assert need_restart(with_(**STRICT), with_(**STRICT, dedup=["a"])) == []
    assert need_restart(with_(**STRICT), with_(**flags)) == []
