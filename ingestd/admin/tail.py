"""`/tail`: stored events to subscribers, with credentials masked, at a small share of the loop's time."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from urllib.parse import parse_qs

import orjson

from ingestd.admin import redaction
from ingestd.admin.server import Stream
from ingestd.config.messages import nearest
from ingestd.http.responses import Reply
from ingestd.pipeline.subscribers import Subscribers, needles
from ingestd.sources.source import Source

# The loop must turn: at most this many events are masked without a break.
SLICE = 50
# A break lasts this many times as long as the masking before it: a subscriber takes a hundredth of the loop.
REST = 99


class Tail:
    """Handles `/tail`. `sources`: returns the sources of the configuration in force."""

    def __init__(self, subscribers: Subscribers, sources: Callable[[], Sequence[Source]]) -> None:
        self._subscribers = subscribers
        self._sources = sources
        self._credentials_of: Sequence[Source] = ()
        self._credentials: dict[str, frozenset[str]] = {}

    async def handle(self, query: str) -> Reply | Stream:
        """A stream of events, filtered by `source`, `flag` and `param`; 404 or 503 if there can be none."""
        asked = parse_qs(query)
        wanted = asked.get("source", [None])[0]
        known = {source.name for source in self._sources()}  # without those that a reload has removed
        if wanted is not None and wanted not in known:
            return Reply(404, f"there is no source {wanted!r}; {nearest(wanted, known)}\n".encode())
        if self._subscribers.full:
            return Reply(503, b"too many subscribers already\n")
        looked_for = needles(asked.get("flag", []), asked.get("param", []))
        return Stream("application/x-ndjson", paced(self._subscribers, wanted, looked_for, self.masked))

    def masked(self, line: bytes) -> bytes:
        """The line of an event without its credentials."""
        sources = self._sources()
        if sources is not self._credentials_of:
            self._credentials_of = sources
            self._credentials = {source.name: redaction.names(source.config) for source in sources}
        event = orjson.loads(line)
        hidden = self._credentials.get(event["source"], redaction.ALWAYS)
        return orjson.dumps(redaction.mask_event(event, hidden), option=orjson.OPT_APPEND_NEWLINE)


async def paced(
    subscribers: Subscribers, source: str | None, needles: Sequence[bytes], shown: Callable[[bytes], bytes],
    now: Callable[[], float] = time.perf_counter, rest: Callable[[float], Awaitable[None]] = asyncio.sleep,
    lines_a_slice: int = SLICE, rest_times: int = REST,
) -> AsyncGenerator[bytes, None]:  # fmt: skip
    """Yield stored events in slices, each line as `shown` returns it, until the caller closes the generator.

    Missed events are one line, `{"missed": N}`, before those that come after them.
    """
    async with contextlib.aclosing(subscribers.subscribe(source, needles)) as stored:
        async for data, missed in stored:
            if missed:
                yield b'{"missed":%d}\n' % missed
            lines = data.splitlines()
            for start in range(0, len(lines), lines_a_slice):
                began = now()
                piece = b"".join(map(shown, lines[start : start + lines_a_slice]))
                spent = now() - began
                yield piece
                await rest(spent * rest_times)
