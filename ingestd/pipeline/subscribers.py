"""Subscribers: they see events as they are stored (`/tail`). Without any, a batch costs one look.

A subscriber that is too slow misses events and learns how many; the daemon never waits for one.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Sequence

from ingestd.event import Entry

MAX_SUBSCRIBERS = 8
# Bytes that may wait for a subscriber; it misses events beyond them.
MAX_WAITING = 1 << 18
# Text that every encoder leaves as it is in a line.
_PLAIN = re.compile(r"[A-Za-z0-9_.:/@ -]+")


def needles(flags: Sequence[str], params: Sequence[str]) -> tuple[bytes, ...]:
    """The bytes that a line with these flags and these `NAME` or `NAME=VALUE` parameters must contain.

    A line without one of them does not match; a line with all of them may.
    """
    found = [f'"{flag}' for flag in flags if _PLAIN.fullmatch(flag)]
    for param in params:
        name, _, value = param.partition("=")
        found += [f'"{one}"' for one in (name, value) if _PLAIN.fullmatch(one)]
    return tuple(one.encode() for one in found)


class Subscriber:
    """Takes stored events of one source, or of all (`source` None), whose lines contain all of `needles`."""

    def __init__(self, source: str | None, needles: Sequence[bytes] = ()) -> None:
        self._source = source
        self._needles = needles
        self._waiting: list[bytes] = []
        self._size = 0
        self._missed = 0
        self._ready = asyncio.Event()

    def offer(self, entries: Sequence[Entry]) -> None:
        """Take the entries that match, up to MAX_WAITING bytes; count the others as missed."""
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
            self._ready.set()

    async def next(self) -> tuple[bytes, int]:
        """Wait for events. Returns their lines, and how many events were missed since the last call."""
        await self._ready.wait()
        lines, missed = b"".join(self._waiting), self._missed
        self._waiting.clear()
        self._size = self._missed = 0
        self._ready.clear()
        return lines, missed


class Subscribers:
    """All subscribers of the daemon, at most MAX_SUBSCRIBERS."""

    def __init__(self) -> None:
        self.active: set[Subscriber] = set()

    @property
    def full(self) -> bool:
        """Whether another subscriber would be one too many."""
        return len(self.active) >= MAX_SUBSCRIBERS

    def offer(self, entries: Sequence[Entry]) -> None:
        """Show every subscriber the entries of a batch that has been stored."""
        for subscriber in self.active:
            subscriber.offer(entries)

    async def subscribe(
        self, source: str | None, needles: Sequence[bytes] = ()
    ) -> AsyncGenerator[tuple[bytes, int], None]:
        """Yield what `Subscriber.next` returns, until the caller closes the generator."""
        subscriber = Subscriber(source, needles)
        self.active.add(subscriber)
        try:
            while True:
                yield await subscriber.next()
        finally:
            self.active.discard(subscriber)
