"""What of the spool has been delivered, when newer events overtake a backlog.

Undelivered are the `gaps`, oldest first, and everything from `live` on. Positions only grow.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from ingestd.sinks.spool import Position

MAX_GAPS = 64


class Progress:
    """Ranges of the spool still to be delivered."""

    def __init__(self, gaps: list[tuple[Position, Position]], live: Position) -> None:
        self.gaps = gaps
        self.live = live

    @classmethod
    def decode(cls, data: bytes) -> Progress:
        """Read what `encode` wrote. Raises ValueError."""
        try:
            tree: Any = orjson.loads(data)
            gaps = [(Position.parse(start), Position.parse(end)) for start, end in tree["gaps"]]
            return cls(gaps, Position.parse(tree["live"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"no progress: {error}") from error

    def encode(self) -> bytes:
        """As JSON."""
        gaps = [[str(start), str(end)] for start, end in self.gaps]
        return orjson.dumps({"gaps": gaps, "live": str(self.live)})

    @property
    def oldest(self) -> Position:
        """Everything before it is delivered."""
        return self.gaps[0][0] if self.gaps else self.live

    def skip_to(self, position: Position) -> None:
        """Leave everything from `live` to `position` for later: it becomes a gap."""
        if position <= self.live:
            return
        if self.gaps and (self.gaps[-1][1] == self.live or len(self.gaps) >= MAX_GAPS):
            self.gaps[-1] = (self.gaps[-1][0], position)  # too many gaps: some are delivered twice
        else:
            self.gaps.append((self.live, position))
        self.live = position

    def deliver(self, start: Position, end: Position) -> None:
        """What lies from `start` to `end` is delivered."""
        gaps = []
        for low, high in self.gaps:
            if low < min(high, start):
                gaps.append((low, min(high, start)))
            if max(low, end) < high:
                gaps.append((max(low, end), high))
        self.gaps = gaps

    def without(self, ranges: Iterable[tuple[Position, Position]]) -> Progress:
        """What this will be once the ranges are delivered."""
        after = Progress(list(self.gaps), self.live)
        for start, end in ranges:
            after.deliver(start, end)
        return after
