"""`ingestd audit --topic` where Kafka or what is in it is not as it should be; the consumer is a stand-in."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import orjson
import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError
from click.testing import CliRunner

from ingestd.cli import audit_topic, main
from ingestd.cli.audit_report import AuditReport
from ingestd.errors import IngestdError
from ingestd.tally import Row, Rows, hour_text, received_at, rows_tree
from tests.support.event_files import HOUR, event, rows_of
from tests.support.fakes import settings

TOML = '[kafka]\nbootstrap = ["127.0.0.1:1"]\nmanifest_topic = "manifest"\n'
Message = tuple[bytes | None, bytes | None]  # key, value


class Topics:
    """What is in partition 0 of each topic. `open_from`: the offset at which a transaction is open."""

    def __init__(self) -> None:
        self.held: dict[str, list[Message]] = {"manifest": [], "clicks": []}
        self.open_from: dict[str, int] = {}
        self.starting: BaseException | None = None
        self.consumers: list[Consumer] = []
        self.read: list[tuple[str, int]] = []  # topic and offset of what was handed out

    def consumer(self, **options: Any) -> Consumer:
        made = Consumer(self, options["isolation_level"] == "read_committed")
        self.consumers.append(made)
        return made

    def say(self, rows: Rows, part: str = "a") -> None:
        """Write manifest records."""
        for tree in rows_tree(rows):
            key = f"host/1/{tree['source']}/{tree['hour']}/{part}".encode()
            self.held["manifest"].append((key, orjson.dumps(tree)))

    def end(self, topic: str, committed: bool) -> int:
        end = len(self.held[topic])
        return min(end, self.open_from.get(topic, end)) if committed else end


class Consumer:
    """What of aiokafka's consumer is called."""

    def __init__(self, topics: Topics, committed: bool) -> None:
        self._topics = topics
        self._committed = committed
        self._at: dict[TopicPartition, int] = {}
        self.stopped = False
        numbers = {topic: {0} for topic in topics.held}
        cluster = SimpleNamespace(partitions_for_topic=numbers.get)
        self.client = SimpleNamespace(fetch_all_metadata=mock.AsyncMock(return_value=cluster))

    async def start(self) -> None:
        if self._topics.starting is not None:
            raise self._topics.starting

    async def stop(self) -> None:
        self.stopped = True

    def assign(self, places: list[TopicPartition]) -> None:
        self._at = dict.fromkeys(places, 0)

    def seek(self, place: TopicPartition, offset: int) -> None:
        self._at[place] = offset

    async def beginning_offsets(self, places: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(places, 0)

    async def end_offsets(self, places: list[TopicPartition]) -> dict[TopicPartition, int]:
        """As Kafka: to a read_committed consumer the end is where a transaction is open."""
        return {place: self._topics.end(place.topic, self._committed) for place in places}

    async def offsets_for_times(self, times: dict[TopicPartition, int]) -> dict[TopicPartition, Any]:
        """As Kafka: to a read_committed consumer there is nothing where a transaction is open."""
        found: dict[TopicPartition, Any] = {}
        for place, time_ms in times.items():
            held = self._topics.held[place.topic][: self._topics.end(place.topic, self._committed)]
            later = [at for at, one in enumerate(held) if received_at(one[1] or b"") >= time_ms]
            found[place] = SimpleNamespace(offset=later[0]) if later else None
        return found

    async def position(self, place: TopicPartition) -> int:
        return self._at[place]

    async def getmany(self, *places: TopicPartition, timeout_ms: int) -> dict[TopicPartition, list[Any]]:
        found = {}
        for place in places:
            start, end = self._at[place], self._topics.end(place.topic, self._committed)
            held = list(enumerate(self._topics.held[place.topic]))[start:end]
            self._topics.read += [(place.topic, at) for at, _ in held]
            if held:
                found[place] = [SimpleNamespace(offset=at, key=one[0], value=one[1]) for at, one in held]
            self._at[place] = max(start, end)
        return found


@pytest.fixture
def topics(monkeypatch: pytest.MonkeyPatch) -> Iterator[Topics]:
    made = Topics()
    monkeypatch.setattr(audit_topic, "AIOKafkaConsumer", made.consumer)
    monkeypatch.setattr(audit_topic, "SILENCE", 0.05)
    clock = SimpleNamespace(time=lambda: HOUR * 3600.0 + 100, monotonic=time.monotonic)
    monkeypatch.setattr(audit_topic, "time", clock)  # the events' hour is the present one
    yield made
    assert all(one.stopped for one in made.consumers)


def audit(toml: str = TOML, first_hour: int | None = None) -> AuditReport:
    return audit_topic.audit(
        settings(toml), lambda hour: first_hour is None or hour >= first_hour, first_hour
    )


def fill(topics: Topics, lines: list[bytes]) -> None:
    topics.held["clicks"] += [(b"key", line[:-1]) for line in lines]


@pytest.mark.parametrize("hours_ago", [0, 1, 2])
def test_more_events_than_rows_are_a_note_only_while_their_rows_are_still_to_come(
    topics: Topics, hours_ago: int
) -> None:
    lines = [event(number, hours=-hours_ago) for number in range(3)]
    fill(topics, lines)
    topics.say(rows_of(lines[:1]))
    report = audit()
    hour = hour_text(HOUR - hours_ago)
    if hours_ago < 2:
        assert (report.findings, report.status) == ([], 0)
        assert report.notes == [f"demo {hour}: 2 events are not in the manifests yet"]
    else:
        assert [(one.kind, one.events, one.hour) for one in report.findings] == [("extra", 2, hour)]
        assert report.notes == []
    assert report.events == 1


def test_an_event_missing_of_the_present_hour_is_a_finding(topics: Topics) -> None:
    lines = [event(number) for number in range(3)]
    fill(topics, lines[1:])
    topics.say(rows_of(lines))
    assert [(one.kind, one.events) for one in audit().findings] == [("missing", 1)]


def test_of_a_manifest_s_key_the_newest_record_counts_and_parts_add_up(topics: Topics) -> None:
    """None is what is left of a row that was taken back."""
    lines = [event(number) for number in range(5)]
    fill(topics, lines)
    topics.say(rows_of(lines[:1]))
    topics.say(rows_of(lines[:3]))
    topics.say(rows_of(lines[3:]), part="b")
    topics.say({("demo", HOUR): Row(70, 70, 70)}, part="c")
    topics.held["manifest"].append((topics.held["manifest"][-1][0], None))
    report = audit()
    assert (report.findings, report.notes, report.events) == ([], [], 5)


@pytest.mark.parametrize("value", [b"{", b"[]", b"{}", b'{"source":"demo","hour":"today"}'])
def test_a_manifest_record_that_cannot_be_read_is_a_finding_by_its_key(topics: Topics, value: bytes) -> None:
    """And the others count."""
    fill(topics, [event(1)])
    topics.say(rows_of([event(1)]))
    topics.held["manifest"].append((b"host/2/demo", value))
    report = audit()
    [found] = report.findings
    assert (found.kind, found.where, report.status) == ("manifest", "manifest", 1)
    assert found.what.startswith("record b'host/2/demo' cannot be read: ")
    assert report.events == 1


def test_records_of_others_are_counted_once_however_often_the_topic_is_read(
    topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With more ids than it can hold it reads a share of them at a time."""
    monkeypatch.setattr(audit_topic, "MAX_IDS", 4)
    lines = [event(number) for number in range(10)]
    fill(topics, lines)
    fill(topics, [lines[0], b"no event\n"])
    topics.held["clicks"].append((b"key", None))
    topics.say(rows_of(lines))
    report = audit()
    assert report.notes == ["2 records are not events of ingestd"]
    assert [(one.kind, one.events) for one in report.findings] == [("repeated", 1)]


def test_what_lies_behind_an_open_transaction_is_said_not_to_be_read(topics: Topics) -> None:
    """Missing it is all the same: nobody can read it."""
    lines = [event(number) for number in range(3)]
    fill(topics, lines)
    topics.say(rows_of(lines))
    topics.open_from["clicks"] = 2
    report = audit()
    assert report.notes == ["clicks/0: not read to the end; a transaction is open there"]
    assert [(one.kind, one.events) for one in report.findings] == [("missing", 1)]
    topics.open_from = {"manifest": 0}
    assert audit().notes == [
        "manifest/0: not read to the end; a transaction is open there",
        f"demo {hour_text(HOUR)}: 3 events are not in the manifests yet",
    ]


def test_from_an_hour_on_only_what_came_since_is_read_and_that_behind_an_open_transaction_is_told(
    topics: Topics,
) -> None:
    lines = [event(number, hours=number) for number in range(4)]
    fill(topics, lines)
    topics.say(rows_of(lines))
    report = audit(first_hour=HOUR + 2)
    assert (report.findings, report.notes, report.events) == ([], [], 2)
    assert [at for topic, at in topics.read if topic == "clicks"] == [2, 3]
    topics.open_from["clicks"] = 2
    report = audit(first_hour=HOUR + 2)
    assert report.notes == ["clicks/0: not read to the end; a transaction is open there"]
    assert [one.kind for one in report.findings] == ["missing", "missing"]
    report = audit(first_hour=HOUR + 4)
    assert (report.findings, report.notes, report.events) == ([], [], 0), "there is nothing to read"


@pytest.mark.parametrize("gone", ["manifest", "clicks"])
def test_a_topic_that_is_not_there_is_an_error_that_names_it(
    topics: Topics, gone: str, tmp_path: Path
) -> None:
    del topics.held[gone]
    with pytest.raises(IngestdError, match=f"topic {gone} does not exist"):
        audit()
    path = tmp_path / "c.toml"
    path.write_text(TOML + '[[source]]\nname = "demo"\npath = "/c/demo"\n')
    said = CliRunner().invoke(main, ["audit", "-c", str(path), "--topic"])
    assert (said.exit_code, f"topic {gone} does not exist" in said.output) == (1, True)


@pytest.mark.parametrize("toml", ["", '[kafka]\nbootstrap = ["127.0.0.1:1"]\n'])
def test_without_a_manifest_topic_there_is_nothing_to_hold_topics_against(topics: Topics, toml: str) -> None:
    with pytest.raises(IngestdError, match=r"kafka\.manifest_topic is not configured"):
        audit(toml)
    assert topics.consumers == []


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (KafkaConnectionError("Unable to bootstrap"), "kafka: KafkaConnectionError: Unable to bootstrap"),
        (OSError("no route"), "kafka: no route"),
    ],
)
def test_a_cluster_that_cannot_be_reached_is_an_error_and_no_finding(
    topics: Topics, error: Exception, said: str
) -> None:
    topics.starting = error
    with pytest.raises(IngestdError) as raised:
        audit()
    assert str(raised.value) == said
    assert raised.value.__cause__ is error
    topics.starting = TimeoutError()
    with pytest.raises(IngestdError) as raised:
        audit()
    assert str(raised.value) == "kafka: TimeoutError"
