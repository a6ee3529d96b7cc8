"""The queue of signatures that take long to verify."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator

import pytest

from ingestd.sources.signatures import Result
from ingestd.sources.verification import AT_ONCE, MAX_OF_SOURCE, MAX_WAITING, VerificationQueue
from tests.support.loop import turns
from tests.support.waiting import FAR


@contextlib.asynccontextmanager
async def running(queue: VerificationQueue) -> AsyncIterator[None]:
    task = asyncio.create_task(queue.run())
    try:
        yield
        assert not task.done(), task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


class Results:
    """What came back, in its order."""

    def __init__(self, expected: int) -> None:
        self.found: list[tuple[str, Result | Exception]] = []
        self._expected = expected
        self._all = asyncio.Event()

    def of(self, name: str, result: Result | Exception) -> None:
        self.found.append((name, result))
        if len(self.found) == self._expected:
            self._all.set()

    async def all(self) -> list[tuple[str, Result | Exception]]:
        async with asyncio.timeout(FAR):
            await self._all.wait()
        return self.found


def good() -> Result:
    return "ok"


async def test_a_check_runs_in_another_thread_and_its_result_comes_back_to_the_loop() -> None:
    queue, results, threads = VerificationQueue(), Results(1), []

    def check() -> Result:
        threads.append(threading.get_ident())
        return "bad"

    async with running(queue):
        queue.put("a", check, lambda result: results.of("a", result))
        assert results.found == [], "not in the turn that put it"
        assert await results.all() == [("a", "bad")]
    assert threads != [threading.get_ident()]


async def test_sources_take_turns_however_many_requests_one_of_them_has() -> None:
    queue, results = VerificationQueue(), Results(MAX_OF_SOURCE + 2)
    for _ in range(MAX_OF_SOURCE):
        queue.put("flooded", good, lambda result: results.of("flooded", result))
    for name in ("b", "c"):
        queue.put(name, good, lambda result, name=name: results.of(name, result))  # type: ignore[misc]
    async with running(queue):
        found = await results.all()
    assert {"b", "c"} <= {name for name, _ in found[:AT_ONCE]}


async def test_what_waits_is_bounded_by_source_and_in_all() -> None:
    queue = VerificationQueue()
    for _ in range(MAX_OF_SOURCE):
        assert not queue.is_full("a")
        queue.put("a", good, print)
    assert queue.is_full("a")
    assert not queue.is_full("b")
    for number in range(MAX_WAITING - MAX_OF_SOURCE):
        queue.put(f"s{number}", good, print)
    assert queue.is_full("b")


async def test_there_is_room_again_once_they_are_verified() -> None:
    queue, results = VerificationQueue(), Results(MAX_OF_SOURCE)
    for _ in range(MAX_OF_SOURCE):
        queue.put("a", good, lambda result: results.of("a", result))
    async with running(queue):
        await results.all()
        assert not queue.is_full("a")
        again = Results(1)
        queue.put("a", good, lambda result: again.of("a", result))
        assert await again.all() == [("a", "ok")]


async def test_a_bug_in_a_check_is_the_result_of_that_one_alone() -> None:
    queue, results = VerificationQueue(), Results(2)

    def broken() -> Result:
        raise ZeroDivisionError

    queue.put("a", broken, lambda result: results.of("a", result))
    queue.put("a", good, lambda result: results.of("a", result))
    async with running(queue):
        [(_, first), (_, second)] = await results.all()
    assert isinstance(first, ZeroDivisionError)
    assert second == "ok"


@pytest.mark.parametrize("first", [True, False])
async def test_without_a_check_there_is_no_thread(first: bool) -> None:
    queue = VerificationQueue()
    results = Results(1)
    async with running(queue):
        if first:
            queue.put("a", good, lambda result: results.of("a", result))
            await results.all()
        await turns()
        assert any(thread.name == "signatures" for thread in threading.enumerate()) == first
    async with asyncio.timeout(FAR):
        while any(thread.name == "signatures" for thread in threading.enumerate()):
            await asyncio.sleep(0.01)
