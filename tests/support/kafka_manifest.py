"""What the tests of the manifest topic share: its clock, and rows counted as the sender counts them."""

from __future__ import annotations

from ingestd.kafka.batches import Chunk
from ingestd.kafka.manifest import count_rows
from ingestd.kafka.records import record_of, source_of
from ingestd.spool.envelope import events
from ingestd.tally import Rows
from tests.support.event_files import HOUR


class Wall:
    """A clock the test moves, seconds since the epoch."""

    def __init__(self) -> None:
        self.now = HOUR * 3600.0 + 100

    def __call__(self) -> float:
        return self.now


def rows_of(*lines: bytes) -> Rows:
    found: Rows = {}
    records = [record_of(one, source_of(one.line).decode(), "clicks") for one in events(b"".join(lines))]
    count_rows(found, Chunk.of("clicks", 0, records).groups)
    return found
