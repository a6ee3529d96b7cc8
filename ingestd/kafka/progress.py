"""What of the spool has been delivered, when newer events overtake a backlog.

Undelivered are the `gaps`, oldest first, and everything from `live` on. Positions only grow.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson

from ingestd.spool.spool import Position
from ingestd.system import durable

logger = logging.getLogger(__name__)


class Progress:
    """Ranges of the spool still to be delivered, and what the manifest counts as delivered with the rest."""

    def __init__(self, gaps: list[tuple[Position, Position]], live: Position, manifest: Any = None) -> None:
        self.gaps = gaps
        self.live = live
        self.manifest = manifest

    @classmethod
    def decode(cls, data: bytes) -> Progress:
        """Read what `encode` wrote. Raises ValueError."""
        try:
            tree: Any = orjson.loads(data)
            gaps = [(Position.parse(start), Position.parse(end)) for start, end in tree["gaps"]]
            return cls(gaps, Position.parse(tree["live"]), tree.get("manifest"))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"no progress: {error}") from error

    def encode(self) -> bytes:
        """As JSON."""
        gaps = [[str(start), str(end)] for start, end in self.gaps]
        tree = {"gaps": gaps, "live": str(self.live)}
        return orjson.dumps(tree if self.manifest is None else {**tree, "manifest": self.manifest})

    @property
    def oldest(self) -> Position:
        """Everything before it is delivered."""
        return self.gaps[0][0] if self.gaps else self.live

    def skip_to(self, position: Position) -> None:
        """Leave everything from `live` to `position` for later: it becomes a gap."""
        if position <= self.live:
            return
        if self.gaps and self.gaps[-1][1] == self.live:
            self.gaps[-1] = (self.gaps[-1][0], position)
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

    def copy(self) -> Progress:
        """As it is now."""
        return Progress(list(self.gaps), self.live, self.manifest)

    def without(self, ranges: Iterable[tuple[Position, Position]]) -> Progress:
        """What this will be once the ranges are delivered."""
        after = Progress(list(self.gaps), self.live)
        for start, end in ranges:
            after.deliver(start, end)
        return after


class ProgressFile:
    """Where a restart takes up. A hint, no promise: where it is lost or old, some events are sent again."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self, checkpoint: Position, end: Position) -> Progress:
        """What is left to deliver of a spool that holds what lies between the two positions."""
        start = Progress([], checkpoint)
        try:
            found = Progress.decode(self._path.read_bytes())
        except FileNotFoundError:
            return start
        except (OSError, ValueError) as error:
            logger.warning("progress file unusable, some go again", extra={"error": str(error)})
            return start
        if checkpoint <= found.oldest and found.live <= end:
            return found
        return Progress([], checkpoint, found.manifest)

    def save(self, progress: Progress) -> None:
        """A failure is only logged."""
        try:
            durable.atomic_write(self._path, progress.encode(), sync=False)
        except OSError as error:
            logger.warning("cannot save the progress", extra={"error": str(error)})


class OwnerFile:
    """Which process was the last to deliver from this disk: under its name Kafka holds the progress."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> str:
        """Its name, "" where there was none. Raises OSError."""
        try:
            return self._path.read_text("ascii")
        except FileNotFoundError:
            return ""

    def write(self, owner: str) -> None:
        """Durable when it returns. Raises OSError."""
        durable.atomic_write(self._path, owner.encode("ascii"))
