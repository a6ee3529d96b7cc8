"""The manifest: the events that Kafka has confirmed, by source and hour.

The figures are kept with the spool's progress, so a round that is sent again after a crash counts once. A
part is the count of one accumulator; its record in the topic is cumulative, so the latest wins, and the parts
of an hour add up. A part is forgotten some time after its hour; late events begin another.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import orjson
from xxhash import xxh3_128_intdigest

from ingestd.kafka.batches import Group
from ingestd.kafka.records import Record
from ingestd.tally import HOUR_MS, Key, Row, Rows, add_row, parse_row, row_tree

logger = logging.getLogger(__name__)

# Seconds between two publications of a row whose hour is not over.
PERIOD = 60.0
# ... and of one whose hour is over, while a backlog of that hour is delivered.
PAUSE = 5.0
# A published part is forgotten this many hours after its own, or earlier, past this number of parts.
KEEP_HOURS = 2
MAX_PARTS = 2000


class Part(NamedTuple):
    """One accumulator; its `name` is unique among those of its source and hour."""

    name: str
    row: Row


Figures = tuple[int, int, int]


class KafkaManifest:
    """The accumulators of one instance. `failures`: publications that failed. `wall`: seconds since the
    epoch.
    """

    def __init__(self, topic: str, instance: str, wall: Callable[[], float] = time.time) -> None:
        self.topic = topic
        self.failures = 0
        self._instance = instance
        self._wall = wall
        self._parts: dict[Key, Part] = {}
        self._published: dict[Key, Figures] = {}
        self._next = wall() + PERIOD
        self._not_before = 0.0

    def load(self, tree: Any) -> None:
        """Load what `tree` returned in an earlier process; a row that cannot be read is left out and
        logged.
        """
        self._parts, self._published = {}, {}
        for one in tree or ():
            try:
                key, row = parse_row(one)
                self._parts[key] = Part(one["part"], row)
            except (KeyError, TypeError, ValueError) as error:
                logger.error("lost a row of the manifest", extra={"row": str(one), "error": repr(error)})

    def add(self, rows: Rows) -> None:
        """Count rows that Kafka has confirmed."""
        for key, row in rows.items():
            self._part(key).row.add(*row.figures())

    def tree(self, more: Rows | None = None) -> list[dict[str, Any]]:
        """All parts, for JSON, including the rows of `more`, which are about to be confirmed."""
        for key in more or ():
            self._part(key)
        return [self._one(key, part, more or {}) for key, part in list(self._parts.items())]

    def _part(self, key: Key) -> Part:
        part = self._parts.get(key)
        if part is None:
            part = self._parts[key] = Part(f"{int(self._wall() * 1000):x}", Row())
        return part

    def _one(self, key: Key, part: Part, more: Rows) -> dict[str, Any]:
        row = Row(*part.row.figures())
        if (added := more.get(key)) is not None:
            row.add(*added.figures())
        return {"part": part.name, **row_tree(key, row)}

    # the records of the topic

    def due(self) -> bool:
        """Whether a row is to be published now."""
        now = self._wall()
        if now < self._not_before:
            return False
        return any(self._is_due(key, part.row.figures(), now) for key, part in self._parts.items())

    def _is_due(self, key: Key, figures: Figures, now: float) -> bool:
        if self._published.get(key) == figures or not figures[0]:
            return False
        return now >= self._next or key[1] < int(now * 1000) // HOUR_MS

    def records(self, *, all_of_it: bool = False) -> list[tuple[Key, Record]]:
        """The records to publish now; or all that are not published yet, whatever the time."""
        now, found = self._wall(), []
        for key, part in self._parts.items():
            figures = part.row.figures()
            unpublished = figures[0] > 0 and self._published.get(key) != figures
            due = now >= self._not_before and self._is_due(key, figures, now)
            if due or (all_of_it and unpublished):
                found.append((key, self._record(self._one(key, part, {}), int(now * 1000))))
        return found

    def _record(self, tree: dict[str, Any], now_ms: int) -> Record:
        name = f"{self._instance}/{tree['source']}/{tree['hour']}/{tree['part']}"
        value = orjson.dumps({"v": 1, "instance": self._instance, **tree})
        return Record(tree["source"], self.topic, name.encode(), value, now_ms, [])

    def published(self, sent: Sequence[tuple[Key, Record]]) -> None:
        """Remember that these records are in the topic, and forget parts whose hour is long over."""
        for key, record in sent:
            self._published[key] = Row.parse(orjson.loads(record.value)).figures()
        now = self._wall()
        self._not_before = now + PAUSE
        if now >= self._next:
            self._next = now + PERIOD
        limit = int(now * 1000) // HOUR_MS - KEEP_HOURS
        whole = [key for key, part in self._parts.items() if self._published.get(key) == part.row.figures()]
        crowd = len(self._parts) - MAX_PARTS
        for number, key in enumerate(sorted(whole, key=lambda key: key[1])):
            if key[1] < limit or number < crowd:
                del self._parts[key], self._published[key]

    def failed(self, reason: str) -> None:
        """Count and log a failure; retry after PERIOD seconds, so that delivery does not suffer."""
        self.failures += 1
        self._not_before = self._wall() + PERIOD
        logger.error("cannot write the manifest", extra={"topic": self.topic, "error": reason})


def count_rows(rows: Rows, groups: Sequence[Group]) -> None:
    """Add a confirmed chunk's groups to rows: 0.2 us a record, for the hash of its id."""
    for source, hour, events, size, ids in groups:
        add_row(rows, (source, hour), events, size, sum(map(xxh3_128_intdigest, ids or ())))
