"""Topics held against the manifest topic: read as a read_committed consumer does, repeats left out by id.

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
from ingestd.tally import HOUR_MS, Key, Row, Rows, Tally, add_row, hour_text, parse_hour

START_TIMEOUT = 15.0
# Where nothing comes for so long, something holds the end of a partition back: an open transaction.
SILENCE = 10.0
# With more events than this the topics are read several times, a share of the ids each: about 500 MB.
MAX_IDS = 5_000_000
RECENT_HOURS = 1

Hours = Callable[[int], bool]
Take = Callable[[Any], None]


def audit(settings: config.Config, hours: Hours, first_hour: int | None) -> AuditReport:
    """The report on the configured topics; `first_hour`: nothing before it is asked for.

    Raises IngestdError.
    """
    kafka = settings.kafka
    if kafka is None or not kafka.manifest_topic:
        raise IngestdError("there is no kafka.manifest_topic to hold topics against")
    try:
        return asyncio.run(_audit(kafka, topics_of(settings, kafka), hours, first_hour))
    except (KafkaError, OSError, TimeoutError) as error:
        raise IngestdError(f"kafka: {str(error) or type(error).__name__}") from error


def topics_of(settings: config.Config, kafka: KafkaConfig) -> list[str]:
    """Every topic a configured source's events go to."""
    names = {
        (one.topic or kafka.topic).replace("{source}", one.name).replace("{type}", one.type)
        for one in settings.source
    }
    return sorted(names)


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
        report.notes.append(f"{found.others // passes} records are no events of ours")
    return report


def _judge(report: AuditReport, where: str, expected: Rows, found: Rows, floor: int) -> None:
    """Compare the hours that can be compared."""
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
    """The newest record of each key; parts and instances added up."""
    newest: dict[bytes, bytes | None] = {}

    def take(message: Any) -> None:
        newest[message.key] = message.value

    await _read(kafka, [kafka.manifest_topic], take, report, "reading manifests", None)
    rows: Rows = {}
    for key, value in newest.items():
        if value is None:
            continue
        try:
            tree = orjson.loads(value)
            add_row(rows, (tree["source"], parse_hour(tree["hour"])), *Row.parse(tree).figures())
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
    """Every partition of the topics. Raises IngestdError where one is not there."""
    cluster = await asyncio.wait_for(fetch_metadata(consumer), START_TIMEOUT)
    places = []
    for topic in topics:
        numbers = cluster.partitions_for_topic(topic)
        if not numbers:
            raise IngestdError(f"topic {topic} is not there")
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
    """Every record to the present ends. Returns the hour up to which retention has removed some, or -1."""
    # Not the end a read_committed consumer is told: that lies before an open transaction, and whatever is
    # behind it would be missing without a word.
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
