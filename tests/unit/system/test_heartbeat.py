"""The heartbeat: it sees a pause of the loop, and feeds the watchdog."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from pathlib import Path

import pytest

from ingestd.system import heartbeat


async def test_a_pause_of_the_loop_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "PERIOD", 0.01)
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    seen: list[float] = []
    beating = asyncio.create_task(heartbeat.beat(seen.append))
    await asyncio.sleep(0)
    time.sleep(0.2)
    while not seen:
        await asyncio.sleep(0.001)
    beating.cancel()
    assert seen[0] > 0.19
    assert min(seen) >= 0


async def test_the_watchdog_is_fed_again_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "PERIOD", 0.001)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(str(tmp_path / "notify"))
        supervisor.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "400000")
        monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
        loop = asyncio.get_running_loop()
        beating = asyncio.create_task(heartbeat.beat(lambda late: None))
        for _ in range(3):
            assert await asyncio.wait_for(loop.sock_recv(supervisor, 100), 20) == b"WATCHDOG=1"
        beating.cancel()
