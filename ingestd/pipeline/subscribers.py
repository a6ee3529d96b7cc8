"""Followers: who looks at events as they are stored (`ingestd tail`). With nobody it costs one look a batch.

A follower that does not keep up misses events, and is told how many; the daemon never waits for one.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Sequence

from ingestd.event import Entry

MAX_FOLLOWERS = 8
# Bytes a follower may have waiting; a longer backlog is not kept for it.
MAX_WAITING = 1 << 18
# What stands in an event's line as it was asked for, however the line was made.
_PLAIN = re.compile(r"[A-Za-z0-9_.:/@ -]+")


def needles(flags: Sequence[str], params: Sequence[str]) -> tuple[bytes, ...]:
    """What a line must hold to be worth a closer look: for each flag, and each `NAME` or `NAME=VALUE`."""
    found = [f'"{flag}' for flag in flags if _PLAIN.fullmatch(flag)]
    for param in params:
        name, _, value = param.partition("=")
        found += [f'"{one}"' for one in (name, value) if _PLAIN.fullmatch(one)]
    return tuple(one.encode() for one in found)


class Follower:
    """Stored events of one source, or of all (`source` None), as they come; only with all of `needles`."""

    def __init__(self, source: str | None, needles: Sequence[bytes] = ()) -> None:
        self._source = source
        self._needles = needles
        self._waiting: list[bytes] = []
        self._size = 0
        self._missed = 0
        self._there_is = asyncio.Event()

    def offer(self, entries: Sequence[Entry]) -> None:
        """Take what is asked for, as long as there is room."""
        for entry in entries:
            if self._source is not None and entry.counters.source != self._source:
                continue
            if self._needles and not all(needle in entry.data for needle in self._needles):
                continue
            if self._size >= MAX_WAITING:
                self._missed += entry.count
            else:
                self._waiting.append(entry.data)
                self._size += len(entry.data)
        if self._waiting:
            self._there_is.set()

    async def next(self) -> tuple[bytes, int]:
        """Wait for events: their lines, and how many were missed before them."""
        await self._there_is.wait()
        lines, missed = b"".join(self._waiting), self._missed
        self._waiting.clear()
        self._size = self._missed = 0
        self._there_is.clear()
        return lines, missed


class Following:
    """All followers."""

    def __init__(self) -> None:
        self.followers: set[Follower] = set()

    @property
    def full(self) -> bool:
        """No further follower is taken."""
        return len(self.followers) >= MAX_FOLLOWERS

    def offer(self, entries: Sequence[Entry]) -> None:
        """Show everybody what was just stored."""
        for follower in self.followers:
            follower.offer(entries)

    async def follow(
        self, source: str | None, needles: Sequence[bytes] = ()
    ) -> AsyncGenerator[tuple[bytes, int], None]:
        """Events as they are stored, until the caller stops."""
        follower = Follower(source, needles)
        self.followers.add(follower)
        try:
            while True:
                yield await follower.next()
        finally:
            self.followers.discard(follower)
