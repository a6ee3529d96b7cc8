"""Tests that are coroutines: each runs in a uvloop of its own, with its fixtures, and can fail."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import uvloop

from tests.support import loop

LOOPS: list[asyncio.AbstractEventLoop] = []


@pytest.mark.parametrize("number", [1, 2])
async def test_each_runs_in_a_uvloop_of_its_own_with_what_it_asks_for(number: int, tmp_path: Path) -> None:
    running = asyncio.get_running_loop()
    assert isinstance(running, uvloop.Loop)
    assert running not in LOOPS
    LOOPS.append(running)
    assert tmp_path.is_dir()
    assert number in {1, 2}


@pytest.mark.xfail(raises=ZeroDivisionError, strict=True, reason="it raises on purpose")
async def test_what_it_raises_after_a_turn_of_the_loop_fails_it() -> None:
    await asyncio.sleep(0)
    raise ZeroDivisionError


def test_one_that_waits_for_ever_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "FAR", 0.01)
    with pytest.raises(TimeoutError):
        loop.run(asyncio.Event().wait())
