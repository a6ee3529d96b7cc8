"""The files of a directory beside the one being written: recovered, described, compressed, removed.

One task does one piece of work at a time, and each runs in a thread, by aiofiles: neither the loop nor a
commit waits for it. Once a minute it looks at the directory and does whatever is not done, whoever left it;
so what failed is tried again, and a crash or a full disk takes no memory of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import aiofiles.os
from aiofiles.os import wrap

from ingestd import config
from ingestd.errors import IngestdError
from ingestd.file import compression, listing, names, recovery
from ingestd.file.compression import UNREADABLE
from ingestd.file.counters import FileCounters
from ingestd.file.listing import FinishedFile
from ingestd.file.manifest import Manifest
from ingestd.file.manifests import Manifests
from ingestd.file.retention import Retention
from ingestd.file.scan import Scan

logger = logging.getLogger(__name__)

T = TypeVar("T")

# Seconds from one look at the directory to the next.
PERIOD = 60.0
# Seconds to sleep after each slice of a file that is read, for the loop's sake.
BREATH = 0.001
# A file of at most so many bytes takes less than about a second: it is recovered before events are taken, and
# seen to before the daemon ends, as are the first FEW that were left. A larger one is recovered while events
# are taken, and may be left to the next start.
SMALL = 64 << 20
FEW = 32


class _Finished(NamedTuple):
    """A file that this process has finished. `found`: what recovery has read in it."""

    path: Path
    size: int
    found: Scan | None = None


class _LeaveError(IngestdError):
    """The daemon ends, and what is under way is left to the next start."""


class Upkeep:
    """Owns every file of a prefix but the one being written. Bound to the running loop."""

    def __init__(
        self,
        settings: config.FileConfig,
        clock: Callable[[], float],
        wall: Callable[[], float],
        counters: FileCounters,
    ) -> None:
        self._settings = settings
        self._directory = settings.directory
        self._clock = clock
        self._wall = wall
        self._retention = Retention(settings, clock, wall)
        self._counters = counters
        self._manifests = Manifests(settings.directory, settings.prefix)
        self._thread = ThreadPoolExecutor(1, "files")
        self._task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._waiting: list[_Finished] = []
        self._written: dict[Path, tuple[int, int]] = {}  # events and bytes, until the manifest agrees
        self._round_at = 0.0
        self._leaving = False
        self._must = False  # whether the work under way is done to its end even on leaving
        self._progress: recovery.RecoveryProgress | None = None

    def status(self) -> dict[str, str]:
        """For /status, where there is something to say: a long recovery, and why old files are kept."""
        found = {"recovering": str(self._progress or ""), "retention_waits": self._retention.doubt}
        return {key: value for key, value in found.items() if value}

    async def start(self) -> None:
        """Remove half copies and recover small files that a crash left; everything else follows."""
        with self._doing("remove half copies", self._directory, must=True):
            for path in await self._off(compression.sweep, self._directory, self._settings.prefix):
                logger.warning("removed a half copy a crash had left", extra={"file": path.name})
        await self._recover_all(SMALL)
        self._task = asyncio.create_task(self._run(), name="file upkeep")
        self.look()

    def finished(self, path: Path, events: int, size: int) -> None:
        """See to a file that has just been finished, with so many events and bytes."""
        if self._settings.manifest:
            self._written[path] = events, size
        self._waiting.append(_Finished(path, size))
        self._awake()

    def look(self) -> None:
        """Look at the directory now, though its minute is not over."""
        self._round_at = self._clock()
        self._awake()

    def tick(self) -> None:
        """To be called about once a second."""
        self._retention.look()
        if self._clock() >= self._round_at:
            self._awake()

    async def idle(self) -> None:
        """Return when nothing is to be done for now."""
        await self._idle.wait()

    async def close(self, *, wait: bool = True) -> None:
        """End, after what is short, with `wait`; the next start sees to what is left."""
        self._leaving = True
        try:
            if self._task is not None and wait:
                self._awake()
                await self._task
        finally:
            if self._task is not None:
                self._task.cancel()
            self._thread.shutdown(wait=False, cancel_futures=True)

    # the task

    def _awake(self) -> None:
        self._idle.clear()
        self._wake.set()

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            try:
                await self._see_to_finished()
                if self._leaving:
                    await self._finish_what_is_short()
                    return
                if self._clock() >= self._round_at:
                    self._round_at = self._clock() + PERIOD
                    await self._round()
            except _LeaveError:
                continue
            except Exception:  # the events are safe without it
                logger.exception("bug in the upkeep of files")
                if self._leaving:
                    return
            if not self._wake.is_set():
                self._idle.set()
                await self._wake.wait()

    async def _round(self) -> None:
        """Do whatever is not done, whoever left it. Raises _LeaveError."""
        await self._recover_all()
        if self._settings.manifest:
            with self._failing("finish manifests", self._directory):
                await self._off(self._manifests.settle)
        with self._failing("look after files", self._directory):
            for file in await self._unfinished():
                await self._see_to_finished()
                await self._complete(_Finished(self._directory / file.name, file.size))
            await self._remove_due()

    async def _finish_what_is_short(self) -> None:
        """On leaving: as much as takes about a second, so that a daemon that was stopped leaves order."""
        await self._recover_all(SMALL)
        await self._see_to_finished()
        room, number = SMALL, 0
        with self._doing("look after files", self._directory, must=True):
            for file in await self._unfinished():
                if file.size <= room and number < FEW:
                    room, number = room - file.size, number + 1
                    await self._complete(_Finished(self._directory / file.name, file.size), fresh=True)

    async def _unfinished(self) -> list[FinishedFile]:
        settings = self._settings
        find = partial(
            listing.unfinished, manifests=settings.manifest, compressed=settings.compress != "none"
        )
        return await self._off(find, self._directory, settings.prefix)

    async def _see_to_finished(self) -> None:
        """Files that have just been finished go before everything else."""
        while self._waiting:
            await self._complete(self._waiting.pop(0), fresh=True)

    async def _off(self, work: Callable[..., T], *arguments: object) -> T:
        """Run blocking work in the thread, by aiofiles. Raises what it raises, and _LeaveError."""
        self._check_leaving()
        result: T = await wrap(work)(*arguments, executor=self._thread)
        return result

    def _check_leaving(self) -> None:
        if self._leaving and not self._must:
            raise _LeaveError

    def _pause(self, size: int = 0) -> None:
        """Between slices of work, in the thread. Raises _LeaveError."""
        if self._progress is not None:
            self._progress.add(size)
        self._check_leaving()
        if not self._leaving:
            time.sleep(BREATH)

    @contextlib.contextmanager
    def _failing(self, what: str, path: Path) -> Iterator[None]:
        """A failure is counted and named; the next look tries again."""
        try:
            yield
        except (*UNREADABLE, ValueError) as error:
            self._counters.file_errors += 1
            logger.error("cannot " + what, extra={"file": path.name, "error": str(error)})

    @contextlib.contextmanager
    def _doing(self, what: str, path: Path, *, must: bool) -> Iterator[None]:
        """`must`: it is done to its end even on leaving."""
        self._must = must
        try:
            with self._failing(what, path):
                yield
        finally:
            self._must = False

    # the pieces of work

    async def _recover_all(self, most: int | None = None) -> None:
        """Finish the files that a crash or a failed commit left open, of at most `most` bytes."""
        found: list[tuple[Path, int]] = []
        with self._doing("list files", self._directory, must=True):
            found = await self._off(listing.left_open, self._directory, self._settings.prefix)
        for path, size in found:
            if most is None or size <= most:
                await self._recover(path, size)

    async def _recover(self, path: Path, size: int) -> None:
        result = None
        if size > SMALL:
            self._progress = recovery.RecoveryProgress(path, size, self._clock)
        with self._doing("recover a file", path, must=size <= SMALL):
            try:
                result = await self._off(recovery.recover, path, self._pause)
            finally:
                self._progress = None
        if result is None:
            return
        self._counters.bad_bytes += result.bad_bytes
        if result.file is not None:
            self._counters.files_recovered += 1
            fields = {"file": result.file.name, "bad_bytes": result.bad_bytes}
            logger.warning("finished a file a crash had left open", extra=fields)
            self._waiting.append(_Finished(result.file, size - result.bad_bytes, result.found))

    async def _complete(self, one: _Finished, *, fresh: bool = False) -> None:
        """The manifest, then compression."""
        path, small = one.path, one.size <= SMALL
        if self._settings.manifest and names.stem_of(names.plain_name(path.name)) is not None:
            manifest = None
            with self._doing("write a manifest", path, must=fresh or small):
                manifest = await self._off(self._describe, one)
            if manifest is None:
                return
            if path in self._written:
                self._check(path, manifest)
        if self._settings.compress != "none" and path.suffix == names.NDJSON:
            with self._doing("compress", path, must=fresh and small):
                await self._off(compression.compress, path, self._settings.compress, self._pause)

    def _describe(self, one: _Finished) -> Manifest | None:
        """The manifest of a file, whoever wrote it; None while another is at it. In the thread."""
        made = self._manifests.write(one.path, self._pause, one.found)
        if made is None:
            with contextlib.suppress(FileNotFoundError):
                return Manifest.read(names.manifest_path(one.path))
        return made

    def _check(self, path: Path, manifest: Manifest) -> None:
        """The file holds what this process has put into it, or that is counted and logged."""
        written = self._written.pop(path)
        if (manifest.events, manifest.size) != written:
            self._counters.manifest_mismatches += 1
            fields = {"file": manifest.file, "events": manifest.events, "bytes": manifest.size}
            fields |= {"written_events": written[0], "written_bytes": written[1]}
            logger.error("a file does not hold what was written to it", extra=fields)

    async def _remove_due(self) -> None:
        """Remove the files that retention names. Raises _LeaveError."""
        if not self._settings.keep_days and not self._settings.keep_bytes:
            return
        files = await self._off(listing.finished, self._directory, self._settings.prefix)
        removed = [name for name in self._retention.due(files) if await self._remove(self._directory / name)]
        if removed and self._settings.manifest:
            with self._failing("prune manifests", self._directory):
                await self._off(self._manifests.prune, self._wall())

    async def _remove(self, path: Path) -> bool:
        before = self._counters.files_removed
        with self._failing("remove an old file", path):
            await self._off(self._manifests.mark_removed, path, self._wall())
            with contextlib.suppress(FileNotFoundError):  # another instance was first
                await aiofiles.os.remove(path, executor=self._thread)
            self._counters.files_removed += 1
            logger.info("removed by retention", extra={"file": path.name})
        return self._counters.files_removed > before
