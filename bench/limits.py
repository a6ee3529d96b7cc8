"""Less memory for one process, by a control group of the kernel's."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from bench.procs import BenchError

ROOT = Path("/sys/fs/cgroup")
REMOVE_SECONDS = 10.0


class Limit:
    """The group's directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def entering(self) -> list[str]:
        """A command's beginning, which enters the group and becomes the rest of the command."""
        file = self._directory / "cgroup.procs"
        return ["sh", "-c", f'echo $$ >"{file}"; exec "$@"', "sh"]

    def killed(self) -> int:
        """How many processes the kernel has killed here for want of memory."""
        for name in ("memory.events", "memory.oom_control"):
            if (self._directory / name).exists():
                words = (self._directory / name).read_text().split()
                return int(words[words.index("oom_kill") + 1])
        raise BenchError(f"{self._directory} does not tell of processes killed")


@contextlib.contextmanager
def memory_limit(name: str, size: int) -> Iterator[Limit]:
    """A group whose processes have so many bytes, cache of their files included. Raises BenchError."""
    if (ROOT / "cgroup.subtree_control").exists():  # version 2
        directory, file = ROOT / f"{name}-{os.getpid()}", "memory.max"
    else:
        directory, file = ROOT / "memory" / f"{name}-{os.getpid()}", "memory.limit_in_bytes"
    try:
        if file == "memory.max":
            (ROOT / "cgroup.subtree_control").write_text("+memory")
        directory.mkdir()
    except OSError as error:
        raise BenchError(f"no control group for memory, which needs root: {error}") from error
    try:
        (directory / file).write_text(str(size))
        yield Limit(directory)
    finally:
        _remove(directory)


def _remove(directory: Path) -> None:
    """Remove a group once the kernel has let go of its processes, which have ended. Raises BenchError."""
    deadline = time.monotonic() + REMOVE_SECONDS
    while True:
        try:
            directory.rmdir()
        except OSError as error:
            if time.monotonic() > deadline:
                raise BenchError(f"{directory} cannot be removed: {error.strerror}") from error
            time.sleep(0.02)
        else:
            return
