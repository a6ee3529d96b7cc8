"""A directory, a clock, and file sinks over them."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ingestd import config
from ingestd.file.sink import FileSink
from tests.support.fakes import FakeClock


class Files:
    """A directory, a clock, and sinks over them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.clock = FakeClock()
        self.wall = 1_718_000_000.0
        self._started = self.clock.now()
        self._moments = itertools.count()

    def sink(self, instance: str = "one", **settings: Any) -> FileSink:
        parsed = config.FileConfig.model_validate({"directory": self.directory, **settings})
        return FileSink(parsed, instance, self.clock.now, self.now)

    def now(self) -> float:
        """The wall clock: a second later each time it is asked, and as much as the monotonic one moves."""
        return self.wall + self.clock.now() - self._started + next(self._moments)

    async def opened(self, instance: str = "one", **settings: Any) -> FileSink:
        sink = self.sink(instance, **settings)
        await sink.open()
        return sink

    def names(self, ending: str = "") -> list[str]:
        names = [
            path.name
            for path in self.directory.iterdir()
            if path.name.endswith(ending) and path.name[0] != "."
        ]
        return sorted(name for name in names if ".manifest" not in name and ".chain" not in name)

    def finished(self) -> int:
        return len(self.names(".ndjson"))


def failing(number: int) -> Callable[..., None]:
    def fail(*arguments: object, **named: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def synced(patch: pytest.MonkeyPatch) -> list[tuple[Path, int | list[str]]]:
    """Each fsync or fdatasync from now on: a file with its size, a directory with the names it had then."""
    seen: list[tuple[Path, int | list[str]]] = []
    for call in ("fsync", "fdatasync"):
        real = getattr(os, call)

        def noted(fd: int, real: Callable[[int], None] = real) -> None:
            path = Path(os.readlink(f"/proc/self/fd/{fd}"))
            names = sorted(one for one in os.listdir(path) if one[0] != ".") if path.is_dir() else None
            real(fd)
            seen.append((path, os.fstat(fd).st_size if names is None else names))

        patch.setattr(os, call, noted)
    return seen
