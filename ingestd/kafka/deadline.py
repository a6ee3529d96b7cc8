"""A deadline on an await that survives aiokafka: some of its coroutines swallow a cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def within(work: Awaitable[T], seconds: float) -> T:
    """Await `work` for at most so many seconds. Raises TimeoutError, and what `work` raises.

    `work` runs in a task of its own, so that a cancellation of the caller is never lost in it: Python 3.11's
    `wait_for` loses one that comes as the work ends, and `asyncio.timeout` one that the work suppresses.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait([task], timeout=seconds)
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # retrieved, or the loop logs it where nobody waits for it any more
    if task.cancelled():
        raise TimeoutError
    return task.result()
