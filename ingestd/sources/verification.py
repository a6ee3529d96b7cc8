"""Signatures that take long to verify: in a thread of their own, in turn by source."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ingestd.sources.signatures import Result
from ingestd.system.io_thread import IoThread

# Requests of one source that may wait, and of all. Beyond them a source answers that it is busy.
MAX_OF_SOURCE = 128
MAX_WAITING = 1024
# Checks in one call of the thread: a call costs as much as a tenth of a check.
AT_ONCE = 8
# The share of a core that verification may take: forged signatures must not slow down what needs none.
SHARE = 0.25


class Waiting(NamedTuple):
    """A check, and the function that gets its result, or the exception that is a bug in it."""

    check: Callable[[], Result]
    done: Callable[[Result | Exception], None]


class VerificationQueue:
    """Checks of all sources, bounded, so that one source's flood delays its own requests alone."""

    def __init__(self) -> None:
        self._by_source: dict[str, deque[Waiting]] = {}
        self._count = 0
        self._some = asyncio.Event()

    def is_full(self, source: str) -> bool:
        """Whether no more requests of a source can wait."""
        return self._count >= MAX_WAITING or len(self._by_source.get(source, ())) >= MAX_OF_SOURCE

    def put(
        self, source: str, check: Callable[[], Result], done: Callable[[Result | Exception], None]
    ) -> None:
        """Have a check run in the thread and its result handed to `done`, in a later turn of the loop."""
        self._by_source.setdefault(source, deque()).append(Waiting(check, done))
        self._count += 1
        self._some.set()

    async def run(self) -> None:
        """Verify until cancelled. The thread is started with the first check."""
        await self._some.wait()
        thread = IoThread("signatures")
        try:
            while True:
                await self._some.wait()
                batch = self._next()
                began = time.monotonic()
                results = await thread.call(_run_all, [one.check for one in batch])
                took = time.monotonic() - began
                for one, result in zip(batch, results, strict=True):
                    one.done(result)
                await asyncio.sleep(took * (1 / SHARE - 1))
        finally:
            thread.close()

    def _next(self) -> list[Waiting]:
        """Up to AT_ONCE checks, one of each source in turn."""
        batch: list[Waiting] = []
        while self._by_source and len(batch) < AT_ONCE:
            source = next(iter(self._by_source))
            waiting = self._by_source.pop(source)
            batch.append(waiting.popleft())
            if waiting:
                self._by_source[source] = waiting  # behind the others
        self._count -= len(batch)
        if not self._by_source:
            self._some.clear()
        return batch


def _run_all(checks: Sequence[Callable[[], Result]]) -> list[Result | Exception]:
    results: list[Result | Exception] = []
    for check in checks:
        try:
            results.append(check())
        except Exception as error:  # noqa: BLE001 (a bug: the one request is answered 500)
            results.append(error)
    return results
