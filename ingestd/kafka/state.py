"""The files beside the spool: the progress of delivery, and the process that delivered last.

Undelivered are the progress' gaps, oldest first, and everything from `live` on: newer events may overtake a
backlog. Positions only grow.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson

from ingestd.kafka.manifest import KafkaManifest
from ingestd.spool.format import Position
from ingestd.system import durable

logger = logging.getLogger(__name__)


class Progress:
    """Ranges of the spool still to be delivered, and the manifest's rows for what is delivered."""

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
            raise ValueError(f"not a progress: {error}") from error

    def encode(self) -> bytes:
        """JSON: `gaps`, a list of [start, end]; `live`; `manifest`, if there is one. Positions as text."""
        gaps = [[str(start), str(end)] for start, end in self.gaps]
        tree = {"gaps": gaps, "live": str(self.live)}
        return orjson.dumps(tree if self.manifest is None else {**tree, "manifest": self.manifest})

    @property
    def oldest(self) -> Position:
        """The position before which everything is delivered."""
        return self.gaps[0][0] if self.gaps else self.live

    def skip_to(self, position: Position) -> None:
        """Leave everything from `live` to `position` for later, as a gap."""
        if position <= self.live:
            return
        if self.gaps and self.gaps[-1][1] == self.live:
            self.gaps[-1] = (self.gaps[-1][0], position)
        else:
            self.gaps.append((self.live, position))
        self.live = position

    def deliver(self, start: Position, end: Position) -> None:
        """Record that everything from `start` to `end` is delivered."""
        gaps = []
        for low, high in self.gaps:
            if low < min(high, start):
                gaps.append((low, min(high, start)))
            if max(low, end) < high:
                gaps.append((max(low, end), high))
        self.gaps = gaps

    def copy(self) -> Progress:
        """A copy that later deliveries do not change."""
        return Progress(list(self.gaps), self.live, self.manifest)

    def without(self, ranges: Iterable[tuple[Position, Position]]) -> Progress:
        """The progress as it will be once the ranges are delivered, without the manifest's rows."""
        after = Progress(list(self.gaps), self.live)
        for start, end in ranges:
            after.deliver(start, end)
        return after


class State:
    """The files `<instance>.progress` and `<instance>.owner` in `directory`. Blocking, but for `snapshot`.

    The progress is a hint, not a promise: if it is lost or old, some events are sent again. The owner tells
    under which name the checkpoint topic holds the progress of this disk.
    """

    def __init__(self, directory: Path, instance: str, manifest: KafkaManifest | None = None) -> None:
        self._progress = directory / f"{instance}.progress"
        self._owner = directory / f"{instance}.owner"
        self._manifest = manifest

    def load(self, checkpoint: Position, end: Position) -> Progress:
        """The progress saved last, as far as it fits a spool that holds what lies between the two positions.

        Else everything from the checkpoint on is undelivered. Gives the manifest its saved rows.
        """
        progress = self._read(checkpoint, end)
        if self._manifest is not None:
            self._manifest.load(progress.manifest)
        return progress

    def _read(self, checkpoint: Position, end: Position) -> Progress:
        try:
            found = Progress.decode(self._progress.read_bytes())
        except FileNotFoundError:
            return Progress([], checkpoint)
        except (OSError, ValueError) as error:
            logger.warning("progress file unusable; some events are sent again", extra={"error": str(error)})
            return Progress([], checkpoint)
        if checkpoint <= found.oldest and found.live <= end:
            return found
        return Progress([], checkpoint, found.manifest)

    def snapshot(self, progress: Progress) -> Progress:
        """A copy with the manifest's rows of this moment, for the thread that saves it."""
        copy = progress.copy()
        if self._manifest is not None:
            copy.manifest = self._manifest.tree()
        return copy

    def save(self, snapshot: Progress) -> None:
        """Replace the saved progress; a failure is only logged."""
        try:
            durable.atomic_write(self._progress, snapshot.encode(), sync=False)
        except OSError as error:
            logger.warning("cannot save the progress", extra={"error": str(error)})

    def read_owner(self) -> str:
        """The name of the process that last delivered from this disk, "" for none. Raises OSError."""
        try:
            return self._owner.read_text("ascii")
        except FileNotFoundError:
            return ""

    def write_owner(self, owner: str) -> None:
        """Make `owner` the last one, durably. Raises OSError."""
        durable.atomic_write(self._owner, owner.encode("ascii"))
