"""A delivery by rounds over a spool and a Kafka in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

from ingestd.errors import SinkError
from ingestd.kafka.delivery import Delivery, Pace
from ingestd.kafka.delivery_report import DeliveryReport
from ingestd.kafka.state import Progress
from ingestd.pipeline.counters import Counters
from ingestd.spool.spool import Position, Spool, Stored
from tests.support.waiting import FAR

SIZE = 100


def payload(number: int) -> bytes:
    start = b'{"v":1,"id":"%036d","dup_key":"%032d","received_at":1700000000000,"source":"demo"}' % (
        number,
        number,
    )
    return start + b"\n"


def number_of(data: bytes) -> int:
    return int(data[13:49])


class MemorySpool:
    """A spool in memory; a position's offset is the number of the next payload."""

    def __init__(self, before: int = 0) -> None:
        self.held = [payload(number) for number in range(before)]
        self.released = Position(1, 0)

    @property
    def end(self) -> Position:
        return Position(1, len(self.held))

    def append(self, count: int) -> tuple[Position, list[bytes]]:
        fresh = [payload(len(self.held) + more) for more in range(count)]
        self.held += fresh
        return self.end, fresh

    def read(self, position: Position, max_bytes: int) -> tuple[list[Stored], Position]:
        count = max(1, max_bytes // SIZE)
        found = [
            Stored(data, Position(1, number + 1), 0)
            for number, data in list(enumerate(self.held))[position.offset : position.offset + count]
        ]
        return found, found[-1].end if found else self.end

    def release(self, position: Position) -> None:
        assert position >= self.released, "the spool is never wound back"
        self.released = position


class Rig:
    """A delivery whose rounds wait for `gate` and fail while `failing`."""

    def __init__(
        self, before: int = 0, window: int = 10 * SIZE, share: int = 4 * SIZE, linger: float = 0.0
    ) -> None:
        self.spool = MemorySpool(before)
        self.gate = asyncio.Event()
        self.gate.set()
        self.failing = 0
        self.rounds: list[list[int]] = []
        self.promised: list[Progress] = []
        self.counters = Counters()
        self.saved = b""
        self.published = 0
        self.delivery = Delivery(
            cast(Spool, self.spool), Progress([], Position(1, 0)), self, Pace(linger, share, window),
            send=self._send, in_thread=self._call, report=self.counters.record, publish=self._publish,
        )  # fmt: skip
        self.task = asyncio.create_task(self.delivery.run())

    async def _send(self, lines: Sequence[bytes], after: Progress) -> DeliveryReport:
        self.promised.append(after)
        await self.gate.wait()
        if self.failing:
            self.failing -= 1
            raise SinkError("no")
        self.rounds.append([number_of(one) for one in lines])
        return DeliveryReport({"demo": [len(lines), sum(map(len, lines))]})

    async def _call(self, work: Any, *arguments: Any) -> Any:
        await asyncio.sleep(0)
        return work(*arguments)

    async def _publish(self) -> None:
        self.published += 1

    def snapshot(self, progress: Progress) -> Progress:
        return progress.copy()

    def save(self, progress: Progress) -> None:
        self.saved = progress.encode()

    def append(self, count: int) -> None:
        end, fresh = self.spool.append(count)
        self.counters.of("demo").spooled += count
        self.delivery.add(end, fresh)

    @property
    def sent(self) -> list[int]:
        return [number for one in self.rounds for number in one]

    async def finish(self) -> None:
        """Drain; then everything was sent once and nothing is kept."""
        self.gate.set()
        await asyncio.wait_for(self.delivery.drained(), FAR)
        assert sorted(self.sent) == list(range(len(self.spool.held)))
        assert self.spool.released == self.spool.end
        source = self.counters.of("demo")
        assert source.spooled == 0
        assert source.delivered["kafka"] == len(self.spool.held)
        self.task.cancel()
