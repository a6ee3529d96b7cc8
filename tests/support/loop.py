"""The event loop a test runs in: uvloop, as the daemon's.

A test that is a coroutine (`async def test_...`) needs no marker: tests/conftest.py gives it to `run`. A test
that Hypothesis calls many times is a function, and calls `run` itself for each example.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import uvloop

from tests.support.waiting import FAR

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in a uvloop of its own; the tasks it leaves running are cancelled.

    Raises TimeoutError after `FAR` seconds, with a traceback from inside the loop.
    """

    async def bounded() -> T:
        async with asyncio.timeout(FAR):
            return await main

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(bounded())


async def turns(number: int = 5) -> None:
    """Let the loop turn `number` times, so that every callback that is ready has run."""
    for _ in range(number):
        await asyncio.sleep(0)
