"""A child in its own process group that never outlives the test run, however that ends."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from subprocess import DEVNULL, PIPE


class GuardedProcess:
    """A process group, and a guard that kills it should this process die without stopping it.

    The guard blocks on a pipe whose only writer is this process: a test run that is itself killed closes
    the pipe. A parent-death signal would not do, since it fires when the starting *thread* ends.
    """

    def __init__(self, command: Sequence[str], log: Path) -> None:
        with log.open("ab") as out:
            self._child = subprocess.Popen(
                command, stdin=DEVNULL, stdout=out, stderr=out, start_new_session=True
            )
        script = f"read -r _; kill -s KILL -- -{self._child.pid}"
        self._guard = subprocess.Popen(
            ["sh", "-c", script], stdin=PIPE, stderr=DEVNULL, start_new_session=True
        )

    @property
    def pid(self) -> int:
        return self._child.pid

    def running(self) -> bool:
        return self._child.poll() is None

    def signal_group(self, number: signal.Signals) -> None:
        """Signal every process of the group; nothing happens when it is gone."""
        if self.running():
            os.killpg(self._child.pid, number)

    def terminate(self, grace: float) -> int:
        """SIGTERM, then SIGKILL after `grace` seconds; returns the exit status."""
        self.signal_group(signal.SIGTERM)
        try:
            self._child.wait(grace)
        except subprocess.TimeoutExpired:
            self.signal_group(signal.SIGKILL)
        return self._reap()

    def kill(self) -> int:
        """SIGKILL at once; returns the exit status."""
        self.signal_group(signal.SIGKILL)
        return self._reap()

    def wait(self, timeout: float) -> int:
        """Wait for an exit nobody asked for. Raises subprocess.TimeoutExpired."""
        self._child.wait(timeout)
        return self._reap()

    def _reap(self) -> int:
        status = self._child.wait()
        # The guard goes before anyone can get the group's number again.
        self._guard.kill()
        self._guard.communicate()
        return status
