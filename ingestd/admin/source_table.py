"""The table of all sources, column by column: small enough to be sent every few seconds for 10,000."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import orjson

from ingestd.admin.counter_totals import COLUMNS
from ingestd.admin.server import PRIVATE
from ingestd.http.responses import Reply

if TYPE_CHECKING:
    from ingestd.admin.endpoints import Endpoints
    from ingestd.admin.vitals import Vitals
    from ingestd.pipeline.counters import Counters

# An answer serves everybody who asks within so many seconds: five pages cost what one does.
FRESH_SECONDS = 4.0
# The loop turns after so many rows.
ROWS = 1000


class SourceTable:
    """Made in slices, and kept for the next who asks."""

    def __init__(self, vitals: Vitals, endpoints: Endpoints, counters: Counters) -> None:
        self._vitals = vitals
        self._endpoints = endpoints
        self._counters = counters
        self._lock = asyncio.Lock()
        self._named: tuple[str, bytes] = ("", b"")
        self._columns = b""
        self._until = 0.0

    def revision(self) -> str:
        """A text that changes when the sources' names do."""
        return f"{self._endpoints.loaded_at:.3f}-{len(self._counters.by_source)}"

    async def names(self, query: str) -> Reply:
        """The sources in the order of the columns, with what only a reload changes."""
        async with self._lock:
            if self._named[0] != self.revision():
                self._named = (self.revision(), await self._build_names())
        return _json(self._named[1])

    async def columns(self, query: str) -> Reply:
        """A column for each figure: the last slot, the last hour, when something came last."""
        async with self._lock:
            if time.monotonic() >= self._until:
                self._columns = await self._build_columns()
                self._until = time.monotonic() + FRESH_SECONDS
        return _json(self._columns)

    async def _build_names(self) -> bytes:
        revision, known = self.revision(), self._vitals.by_name
        names = list(self._counters.by_source)
        paths, profiles, titles = [], [], {}
        for number, name in enumerate(names, 1):
            source = known.get(name)  # None: a reload has taken it away, its counters stay
            paths.append(source.path if source else "")
            profiles.append(source.profile if source else "")
            if source:
                titles[source.profile] = source.title
            if not number % ROWS:
                await asyncio.sleep(0)
        tree = {"revision": revision, "names": names, "paths": paths, "profiles": profiles, "titles": titles}
        return orjson.dumps(tree)

    async def _build_columns(self) -> bytes:
        sources = self._vitals.history.sources
        oldest, hour = sources.snapshots[0], {}
        for index, name in enumerate(COLUMNS):
            hour[name] = sources.column(index, oldest)
            await asyncio.sleep(0)
        seen = list(map(int, sources.seen))
        await asyncio.sleep(0)
        tree = {
            "revision": self.revision(),
            "now": int(time.time()),
            "slot_seconds": round(sources.seconds, 3),
            "hour_seconds": round(time.monotonic() - oldest.at),
            "came": sources.came.tolist(),
            "seen": seen,
            "hour": hour,
        }
        return orjson.dumps(tree)


def _json(data: bytes) -> Reply:
    return Reply(200, data, "application/json", PRIVATE)
