"""Compares topics with the manifest topic, as a read_committed consumer reads them; repeats are told by id.

An hour's rows of all instances add up. Rows are written every minute and when an hour is over, so for the
present hour and the one before more events than rows is a note, no finding.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import click
import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from ingestd import config
from ingestd.cli.audit_report import AuditFinding, AuditReport, Repeats
from ingestd.config.kafka import KafkaConfig
from ingestd.errors import IngestdError
from ingestd.kafka.aiokafka_internals import fetch_metadata
from ingestd.kafka.producer import connection_options, stop
from ingestd.kafka.topics import Topics
from ingestd.tally import HOUR_MS, Key, Row, Rows, Tally, add_row, hour_text, parse_row

START_TIMEOUT = 15.0
# Seconds without a record after which an open transaction must be holding the partition's end back.
SILENCE = 10.0
# The ids held at a time, about 500 MB. For more the topics are read again for each share of the ids.
MAX_IDS = 5_000_000
RECENT_HOURS = 1

Hours = Callable[[int], bool]
Take = Callable[[Any], None]


def audit(settings: config.Config, hours: Hours, first_hour: int | None) -> AuditReport:
    """Report on the configured topics. `first_hour`: the first hour wanted, since the epoch; None: all.

    Raises IngestdError.
    """
    kafka = settings.kafka
    if kafka is None or not kafka.manifest_topic:
        raise IngestdError(
            "kafka.manifest_topic is not configured, so there is nothing to compare topics with"
        )
    try:
        return asyncio.run(_audit(kafka, topics_of(settings, kafka), hours, first_hour))
    except (KafkaError, OSError, TimeoutError) as error:
        raise IngestdError(f"kafka: {str(error) or type(error).__name__}") from error


def topics_of(settings: config.Config, kafka: KafkaConfig) -> list[str]:
    """Every topic to which a configured source's events go, sorted."""
    topics = Topics.configured(kafka, settings.source)
    return sorted({topics.of_source(source.name, source.type) for source in settings.source})


async def _audit(
    kafka: KafkaConfig, topics: Sequence[str], hours: Hours, first_hour: int | None
) -> AuditReport:
    report = AuditReport("topics", places=len(topics))
    expected = await _manifest(kafka, report)
    expected = {key: row for key, row in expected.items() if hours(key[1])}
    passes = max(1, -(-sum(row.events for row in expected.values()) // MAX_IDS))
    where = ", ".join(topics)
    found, floor = Tally(), -1
    for share in range(passes):
        repeats = Repeats()

        def known(
            identity: int, line: bytes, key: Key, *, share: int = share, repeats: Repeats = repeats
        ) -> bool:
            elsewhere = identity % passes != share or not hours(key[1])
            return elsewhere or repeats.known(identity, line, key)

        def take(message: Any, known: Any = known) -> None:
            found.add([message.value or b""], known)

        label = f"reading {where}" + (f" ({share + 1}/{passes})" if passes > 1 else "")
        begun = await _read(kafka, topics, take, report, label, first_hour)
        floor = max(floor, begun)
        report.findings += repeats.findings(where)
    _judge(report, where, expected, found.rows, floor)
    if found.others:
        report.notes.append(f"{found.others // passes} records are not events of ingestd")
    return report


def _judge(report: AuditReport, where: str, expected: Rows, found: Rows, floor: int) -> None:
    """Compare the hours that retention has left whole; `floor`: the last one that it has not."""
    gone = sum(row.events for key, row in expected.items() if key[1] <= floor)
    if gone:
        report.notes.append(
            f"the topic's retention has reached {hour_text(floor)}: {gone} events up to then are only known "
            "by their manifests"
        )
    recent = int(time.time() * 1000) // HOUR_MS - RECENT_HOURS
    for key in sorted(expected.keys() | found.keys()):
        if key[1] <= floor:
            continue
        wanted, there = expected.get(key, Row()), found.get(key, Row())
        report.expect({key: wanted})
        if key[1] >= recent and there.events > wanted.events:
            more = there.events - wanted.events
            report.notes.append(f"{key[0]} {hour_text(key[1])}: {more} events are not in the manifests yet")
        else:
            report.compare(where, {key: wanted}, {key: there})


async def _manifest(kafka: KafkaConfig, report: AuditReport) -> Rows:
    """The rows of the manifest topic: the newest record of each key, parts and instances added up."""
    newest: dict[bytes, bytes | None] = {}

    def take(message: Any) -> None:
        newest[message.key] = message.value

    await _read(kafka, [kafka.manifest_topic], take, report, "reading manifests", None)
    rows: Rows = {}
    for key, value in newest.items():
        if value is None:
            continue
        try:
            place, row = parse_row(orjson.loads(value))
            add_row(rows, place, *row.figures())
        except (KeyError, TypeError, ValueError) as error:
            what = f"record {key!r} cannot be read: {error!r}"
            report.findings.append(AuditFinding("manifest", kafka.manifest_topic, what))
    return rows


@asynccontextmanager
async def _consumer(kafka: KafkaConfig, isolation: str) -> AsyncIterator[Any]:
    consumer = AIOKafkaConsumer(
        isolation_level=isolation, enable_auto_commit=False, auto_offset_reset="none",
        **connection_options(kafka),
    )  # fmt: skip
    try:
        await asyncio.wait_for(consumer.start(), START_TIMEOUT)
        yield consumer
    finally:
        await stop(consumer)


async def _places(consumer: Any, topics: Sequence[str]) -> list[TopicPartition]:
    """Every partition of the topics. Raises IngestdError for a topic that does not exist."""
    cluster = await asyncio.wait_for(fetch_metadata(consumer), START_TIMEOUT)
    places = []
    for topic in topics:
        numbers = cluster.partitions_for_topic(topic)
        if not numbers:
            raise IngestdError(f"topic {topic} does not exist")
        places += [TopicPartition(topic, number) for number in sorted(numbers)]
    return places


async def _read(
    kafka: KafkaConfig,
    topics: Sequence[str],
    take: Take,
    report: AuditReport,
    label: str,
    first_hour: int | None,
) -> int:
    """Read every record up to the present end. Returns the last hour that retention has cut, or -1."""
    # A read_committed consumer is told an end before an open transaction; what is behind that would be
    # missing without a note.
    async with _consumer(kafka, "read_uncommitted") as consumer:
        places = await _places(consumer, topics)
        starts, ends = await consumer.beginning_offsets(places), await consumer.end_offsets(places)
        cut = {place for place in places if starts[place] > 0}
        if first_hour is not None:
            found = await consumer.offsets_for_times(dict.fromkeys(places, first_hour * HOUR_MS))
            for place, at in found.items():
                starts[place] = max(starts[place], at.offset if at is not None else ends[place])
    floor = -1
    async with _consumer(kafka, "read_committed") as consumer:
        consumer.assign(places)
        for place in places:
            consumer.seek(place, starts[place])
        left = {place for place in places if starts[place] < ends[place]}
        total = sum(ends[place] - starts[place] for place in places)
        heard = time.monotonic()
        with click.progressbar(length=total, label=label, file=sys.stderr) as bar:
            while left:
                batches = await consumer.getmany(*left, timeout_ms=200)
                for place, messages in batches.items():
                    if messages and place in cut:
                        cut.discard(place)
                        floor = max(floor, messages[0].timestamp // HOUR_MS)
                    for message in messages:
                        if message.offset < ends[place]:
                            take(message)
                    bar.update(len(messages))
                    heard = time.monotonic()
                left = {place for place in left if await consumer.position(place) < ends[place]}
                if left and time.monotonic() - heard > SILENCE:
                    names = ", ".join(f"{one.topic}/{one.partition}" for one in sorted(left))
                    report.notes.append(f"{names}: not read to the end; a transaction is open there")
                    break
    return floor
