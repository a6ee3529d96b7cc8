"""The file sink: rotating NDJSON files, every batch written and fdatasync'd before it counts.

All disk work happens in two threads: one owns the file being written, the other (by aiofiles) compresses
and removes finished ones, so that neither the loop nor a commit waits for them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from aiofiles.os import wrap

from ingestd import config
from ingestd.errors import SinkError
from ingestd.event import Batch
from ingestd.file import compression, names, recovery, retention
from ingestd.file.compression import UNREADABLE
from ingestd.file.manifest import Manifest
from ingestd.file.manifests import Manifests
from ingestd.file.ndjson import NdjsonFile
from ingestd.file.scan import Scan
from ingestd.pipeline.sink import CommitResult, Snapshot
from ingestd.system import durable
from ingestd.system.io_thread import IoThread

logger = logging.getLogger(__name__)

# After each slice of a file that is read for its manifest the keeper sleeps so long, for the loop's sake.
BREATH = 0.001
# A commit may be this large; less room than that is "disk full".
RESERVE = 4 << 20


@dataclass
class FileCounters:
    """What the metrics say of files."""

    files_finished: int = 0
    files_recovered: int = 0
    files_removed: int = 0
    file_errors: int = 0
    bad_bytes: int = 0
    manifest_mismatches: int = 0


class FileSink:
    """Sink over a directory that several instances may share."""

    name = "file"

    def __init__(
        self,
        settings: config.FileConfig,
        instance: str,
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._directory = settings.directory
        self._stem = f"{settings.prefix}-{instance}"
        self._clock = clock
        self._wall = wall
        self._manifests = Manifests(settings.directory, settings.prefix)
        self._file: NdjsonFile | None = None
        self._opened_at = 0.0
        self._owner = IoThread("commit")
        self._keeper = ThreadPoolExecutor(1, "files")
        self._owed: set[Path] = set()  # finished files the keeper could not see to
        self._closing = False
        self._expire_at = 0.0
        self._counts = FileCounters()

    # Sink

    async def open(self) -> None:
        """Make the directory, finish what a crash left, and see that a file can be written."""
        await self._own(self._prepare)
        await self._own(self._hand_over_finished)

    async def commit(self, batch: Batch) -> CommitResult:
        """Write and fdatasync; rotate where the file has reached its size."""
        await self._own(self._write, batch)
        return CommitResult(delivered={self.name: batch.shares()})

    async def probe(self) -> None:
        """See that the directory takes a file of a batch's size; finish what the failure left."""
        await self._own(self._prepare)

    async def tick(self) -> None:
        """Rotate a file that is old enough, remove what retention says."""
        if self._file is not None and self._clock() - self._opened_at >= self._settings.rotate_every:
            await self.rotate()
        if self._clock() >= self._expire_at:
            self._expire_at = self._clock() + 60
            self._keep(self._expire)

    async def rotate(self) -> None:
        """Finish the present file. Where that fails it is logged, counted and tried again at a later tick."""
        try:
            await self._own(self._finish)
        except SinkError as error:
            self._counts.file_errors += 1
            logger.error("cannot finish a file", extra={"error": str(error)})

    async def close(self) -> None:
        """Finish the file and what is under way."""
        self._closing = True
        try:
            await self._own(self._finish)
            await wrap(_nothing)(executor=self._keeper)  # its turn comes after all that is under way
        finally:
            self._owner.close()
            self._keeper.shutdown(wait=False, cancel_futures=True)

    def snapshot(self) -> Snapshot:
        """The present file, and what became of the others. It knows of no error before a commit is tried."""
        file = self._file
        size = file.size if file else 0
        status = {
            "directory": str(self._directory),
            "file": file.path.name if file else None,
            "file_bytes": size,
            "file_age_seconds": round(self._clock() - self._opened_at, 1) if file else 0,
        }
        return Snapshot("", {"file_open_bytes": size, **asdict(self._counts)}, {self.name: status})

    # in the owner's thread

    async def _own(self, work: Callable[..., None], *arguments: Any) -> None:
        try:
            await self._owner.call(work, *arguments)
        except OSError as error:
            raise SinkError(f"{self._directory}: {error.strerror or error}") from error

    def _write(self, batch: Batch) -> None:
        data = batch.data()
        file = self._file or self._create()
        try:
            file.append(data)
        except OSError:
            self._file = None
            file.abandon()
            raise
        file.events += batch.events
        if file.size >= self._settings.rotate_bytes:
            try:
                self._finish()
            except OSError as error:  # the batch is durable all the same
                self._counts.file_errors += 1
                logger.error("cannot finish a file", extra={"file": file.path.name, "error": str(error)})

    def _create(self) -> NdjsonFile:
        settings = self._settings
        self._file = NdjsonFile.create(self._directory, self._stem, settings.file_mode, self._wall())
        self._opened_at = self._clock()
        return self._file

    def _prepare(self) -> None:
        """Raises OSError unless a whole batch could be stored now."""
        durable.make_directory(self._directory)
        self._recover()
        file = self._file or self._create()
        try:
            file.reserve(RESERVE)
        except OSError:
            self._file = None
            file.abandon()
            raise

    def _recover(self) -> None:
        for path in recovery.orphans(self._directory, self._settings.prefix):
            if self._file is not None and path == self._file.path:
                continue
            try:
                result = recovery.recover(path)
            except OSError as error:  # it stays as it is, to be tried again; new events need not wait for it
                self._counts.file_errors += 1
                logger.error("cannot recover a file", extra={"file": path.name, "error": str(error)})
                continue
            if result is None:
                continue
            self._counts.bad_bytes += result.bad_bytes
            if result.file is not None:
                self._counts.files_recovered += 1
                fields = {"file": result.file.name, "bad_bytes": result.bad_bytes}
                logger.warning("finished a file a crash had left open", extra=fields)
                self._hand_over(result.file, found=result.found)

    def _finish(self) -> None:
        file = self._file
        if file is None:
            return
        if file.size == 0:
            self._file = None
            file.discard()
            return
        names.claim(self._directory, self._settings.prefix)
        final = file.finish()
        self._file = None  # it has its final name: from here on nothing may be added to it
        self._counts.files_finished += 1
        self._hand_over(final, (file.events, file.size))
        durable.fsync_directory(self._directory)

    # in the keeper's thread

    def _hand_over(
        self, path: Path, counted: tuple[int, int] | None = None, found: Scan | None = None
    ) -> None:
        """A finished file to the keeper. `counted`: the events and bytes this process has put into it."""
        if self._settings.manifest or self._settings.compress != "none":
            self._keep(self._complete, path, counted, found)

    def _hand_over_finished(self) -> None:
        self._keep(self._sweep)
        if self._settings.manifest:
            self._keep(self._settle)
        files = retention.finished(self._directory, self._settings.prefix)
        if files:
            names.claim(self._directory, self._settings.prefix)
        for path in files:
            bare = self._settings.manifest and not names.manifest_path(path).exists()
            if bare or path.suffix == ".ndjson":
                self._hand_over(path)

    def _keep(self, work: Callable[..., None], *arguments: Any) -> None:
        self._keeper.submit(work, *arguments).add_done_callback(_log_bug)

    def _settle(self) -> None:
        try:
            self._manifests.settle()
        except (OSError, ValueError) as error:
            self._cannot("finish manifests", self._directory, error)

    def _sweep(self) -> None:
        try:
            removed = compression.sweep(self._directory, self._settings.prefix)
        except OSError as error:
            self._cannot("remove half copies", self._directory, error)
            return
        for path in removed:
            logger.warning("removed a half copy a crash had left", extra={"file": path.name})

    def _complete(
        self, path: Path, counted: tuple[int, int] | None = None, found: Scan | None = None
    ) -> None:
        """The manifest, then compression: each is tried again until it is done."""
        self._owed.discard(path)
        try:
            if self._settings.manifest:
                self._check(self._manifests.write(path, self._breathe, found), counted)
            if self._settings.compress != "none" and path.suffix == ".ndjson":
                compression.compress(path, self._settings.compress)
        except (*UNREADABLE, ValueError) as error:  # the file is whole all the same
            self._owed.add(path)
            self._cannot("write a manifest or compress", path, error)

    def _breathe(self) -> None:
        if not self._closing:
            time.sleep(BREATH)

    def _check(self, manifest: Manifest | None, counted: tuple[int, int] | None) -> None:
        """What the file holds against what this process has put into it."""
        if manifest is None or counted is None:
            return
        found = (manifest.events, manifest.size)
        if found != counted:
            self._counts.manifest_mismatches += 1
            fields = {"file": manifest.file, "events": found[0], "bytes": found[1]}
            fields |= {"written_events": counted[0], "written_bytes": counted[1]}
            logger.error("a file does not hold what was written to it", extra=fields)

    def _cannot(self, what: str, path: Path, error: Exception) -> None:
        self._counts.file_errors += 1
        logger.error("cannot " + what, extra={"file": path.name, "error": str(error)})

    def _expire(self) -> None:
        settings = self._settings
        for path in list(self._owed):
            self._complete(path)
        if not settings.keep_days and not settings.keep_bytes:
            return
        older_than = self._wall() - settings.keep_days * 86400 if settings.keep_days else None
        try:
            removed = retention.expire(
                self._directory, settings.prefix, older_than=older_than, keep_bytes=settings.keep_bytes,
                removing=lambda path: self._manifests.mark_removed(path, self._wall()),
            )  # fmt: skip
            if removed and settings.manifest:
                self._manifests.prune(self._wall())
        except (OSError, ValueError) as error:
            self._cannot("remove old files", self._directory, error)
            return
        self._counts.files_removed += len(removed)
        for path in removed:
            logger.info("removed by retention", extra={"file": path.name})


def _nothing() -> None:
    """The last piece of work in a queue: when it is done, so is everything before it."""


def _log_bug(future: Future[None]) -> None:
    if not future.cancelled() and (error := future.exception()) is not None:
        logger.error("bug in file keeping", exc_info=error)
