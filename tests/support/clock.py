"""A wall clock that a test can step while the daemon runs; the monotonic clock stays as it is."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.support.waiting import FAR

SOURCE = Path(__file__).with_name("clock.c")
SECOND = 1_000_000_000


class WallClock:
    """`before`: what a daemon is started with so that it sees this clock. Needs gcc."""

    def __init__(self, place: Path) -> None:
        library = place / "clock.so"
        command = ["gcc", "-shared", "-fPIC", "-O2", "-o", str(library), str(SOURCE), "-ldl"]
        subprocess.run(command, check=True, capture_output=True, timeout=FAR)
        self._file = place / "clock"
        self._file.write_bytes(bytes(8))
        self.offset = 0
        self.before = ["env", f"LD_PRELOAD={library}", f"TEST_CLOCK={self._file}"]

    @staticmethod
    def why_not() -> str:
        """Why there can be none; "" where there can."""
        return "" if shutil.which("gcc") else "there is no gcc to build the clock with"

    def step(self, seconds: float) -> None:
        """Set the clock forward, or back where `seconds` is negative. In force on return."""
        self.offset += round(seconds * SECOND)
        with self._file.open("r+b") as file:
            file.write(self.offset.to_bytes(8, "little", signed=True))
