"""A smaller machine for one process: a part of a core, so much memory, by the kernel's control groups."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from bench.procs import BenchError

ROOT = Path("/sys/fs/cgroup")
# A short period: throttled for the rest of a long one, a process would be late by that much.
PERIOD_US = 5_000
REMOVE_SECONDS = 10.0


class Limits:
    """Directories of control groups that hold a process and what it starts."""

    def __init__(self, directories: list[Path]) -> None:
        self._directories = directories

    def entering(self) -> list[str]:
        """A command's beginning, which enters the groups and becomes the rest of the command."""
        files = " ".join(str(directory / "cgroup.procs") for directory in self._directories)
        return ["sh", "-c", f'for file in {files}; do echo $$ >"$file"; done; exec "$@"', "sh"]

    def killed(self) -> int:
        """How many processes the kernel has killed here for want of memory."""
        for directory in self._directories:
            for name in ("memory.events", "memory.oom_control"):
                if (directory / name).exists():
                    words = (directory / name).read_text().split()
                    return int(words[words.index("oom_kill") + 1])
        return 0


@contextlib.contextmanager
def limits(name: str, *, cores: float = 0, memory: int = 0) -> Iterator[Limits]:
    """Groups with these limits; 0 is none. Raises BenchError where there can be none.

    `cores`: of the time of one core, in each PERIOD_US, which others can hardly take away; `memory`: bytes,
    of files' cache too.
    """
    made: list[Path] = []
    try:
        for directory, settings in _settings(f"{name}-{os.getpid()}", cores, memory):
            directory.mkdir()
            made.append(directory)
            for file, value in settings.items():
                (directory / file).write_text(value)
        yield Limits(made)
    except OSError as error:
        raise BenchError(f"no control groups here, which need root: {error}") from error
    finally:
        for directory in made:
            _remove(directory)


def _settings(name: str, cores: float, memory: int) -> Iterator[tuple[Path, Mapping[str, str]]]:
    """Each directory and what to write there: one for all (version 2), or one a controller (version 1)."""
    quota = f"{int(cores * PERIOD_US)}"
    if (ROOT / "cgroup.subtree_control").exists():
        (ROOT / "cgroup.subtree_control").write_text("+cpu +memory")
        found = {"cpu.max": f"{quota} {PERIOD_US}" if cores else "max", "memory.max": f"{memory or 'max'}"}
        found["cpu.weight"] = "1000" if cores else "100"
        yield ROOT / name, found
        return
    if cores:
        found = {"cpu.cfs_period_us": f"{PERIOD_US}", "cpu.cfs_quota_us": quota, "cpu.shares": "10240"}
        yield ROOT / "cpu" / name, found
    if memory:
        yield ROOT / "memory" / name, {"memory.limit_in_bytes": f"{memory}"}


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
