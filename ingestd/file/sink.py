"""The file sink: rotating NDJSON files, every batch written and fdatasync'd before it counts.

Two threads do all disk work: one owns the file being written, the other (upkeep) everything else, so that
neither the loop nor a commit waits for it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict
from math import inf
from pathlib import Path
from typing import Any

from ingestd import config
from ingestd.errors import SinkError
from ingestd.event import Batch
from ingestd.file import names
from ingestd.file.counters import FileCounters
from ingestd.file.ndjson import NdjsonFile
from ingestd.file.upkeep import Upkeep
from ingestd.pipeline.sink import CommitResult, Snapshot
from ingestd.system import durable
from ingestd.system.file_identity import FileIdentity, MisplacedError
from ingestd.system.io_thread import IoThread

logger = logging.getLogger(__name__)

# A commit may be this large; less room than that is "disk full".
RESERVE = 4 << 20
# Seconds after which a commit looks again whether the file is where its path leads.
LOOK_PERIOD = 0.5


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
        self._counts = FileCounters()
        self._owner = IoThread("commit")
        self._upkeep = Upkeep(settings, clock, wall, self._counts)
        self._place: FileIdentity | None = None  # the directory's
        self._file: NdjsonFile | None = None
        self._opened_at = 0.0
        self._looked_at = -inf
        self._error = ""  # why no commit can succeed, known before one is tried
        self._finished: list[tuple[Path, int, int]] = []  # for upkeep, from the owner's thread

    # Sink

    async def open(self) -> None:
        """Make the directory, see that a file can be written, recover what a crash left."""
        await self._own(self._make_directory)
        await self._own(self._prepare)
        await self._upkeep.start()

    async def commit(self, batch: Batch) -> CommitResult:
        """Write and fdatasync; rotate when the file has reached its size."""
        await self._own(self._write, batch)
        return CommitResult(delivered={self.name: batch.shares()})

    async def probe(self) -> None:
        """See that the directory takes a file of a batch's size; have what the failure left recovered."""
        await self._own(self._prepare)
        self._error = ""
        self._upkeep.look()

    async def tick(self) -> None:
        """Look whether the file is in its place, rotate one that is old enough, have upkeep done."""
        await self._look()
        if self._file is not None and self._clock() - self._opened_at >= self._settings.rotate_every:
            await self.rotate()
        self._upkeep.tick()

    async def rotate(self) -> None:
        """Finish the present file. A failure is logged, counted, and retried at a later tick."""
        try:
            await self._own(self._finish)
        except SinkError as error:
            self._counts.file_errors += 1
            logger.error("cannot finish a file", extra={"error": str(error)})

    async def close(self) -> None:
        """Finish the file, and whatever upkeep has to do that is short."""
        finished = False
        try:
            await self._own(self._finish)
            finished = True
        finally:
            await self._upkeep.close(wait=finished)
            self._owner.close()

    def snapshot(self) -> Snapshot:
        """The present file, the upkeep of the others, and whether they are where they should be."""
        file = self._file
        size = file.size if file else 0
        status = {
            "directory": str(self._directory),
            "file": file.path.name if file else None,
            "file_bytes": size,
            "file_age_seconds": round(self._clock() - self._opened_at, 1) if file else 0,
            **self._upkeep.status(),
        }
        return Snapshot(self._error, {"file_open_bytes": size, **asdict(self._counts)}, {self.name: status})

    async def _own(self, work: Callable[..., None], *arguments: Any) -> None:
        try:
            await self._owner.call(work, *arguments)
        except OSError as error:
            raise SinkError(f"{self._directory}: {error.strerror or error}") from error
        finally:
            while self._finished:
                self._upkeep.finished(*self._finished.pop(0))

    async def _look(self) -> None:
        """See whether the directory and the file are in their places; if not, take up what is there."""
        try:
            await self._own(self._look_or_prepare)
        except SinkError as error:
            if str(error) != self._error:
                logger.error("the files are not in their place", extra={"error": str(error)})
            self._error = str(error)
        else:
            if self._error:
                logger.warning("the files are in their place again", extra={"after": self._error})
            self._error = ""

    # in the owner's thread

    def _write(self, batch: Batch) -> None:
        data = batch.data()
        if self._clock() - self._looked_at >= LOOK_PERIOD:
            self._check_places()
        if self._file is None:
            self._file = self._create()
        file = self._file
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
        self._opened_at = self._clock()
        return NdjsonFile.create(self._directory, self._stem, self._settings.file_mode, self._wall())

    def _make_directory(self) -> None:
        """At the start only: later it might be made where another disk belongs. Raises OSError."""
        durable.make_directory(self._directory)
        self._place = FileIdentity(self._directory, "the directory")

    def _prepare(self) -> None:
        """Raises OSError unless a whole batch could be stored now, where readers find it."""
        self._take_up_directory()
        self._take_up_file()
        if self._file is None:
            self._file = self._create()
        file = self._file
        try:
            file.reserve(RESERVE)
        except OSError:
            self._file = None
            file.abandon()
            raise

    def _finish(self) -> None:
        if self._file is not None:
            self._look_or_prepare()
        file = self._file
        if file is None:
            return
        if file.size == 0:
            self._file = None
            file.discard()
            return
        names.claim(self._directory, self._settings.prefix)
        try:
            final = file.finish()
        finally:
            if file.closed:  # it has its final name: from here on nothing may be added to it
                self._file = None
                self._counts.files_finished += 1
        self._finished.append((final, file.events, file.size))

    # where the files are

    def _look_or_prepare(self) -> None:
        """Raises OSError where the files are not in their place, and there is nothing to take up."""
        try:
            self._check_places()
        except MisplacedError:
            self._prepare()

    def _check_places(self) -> None:
        """Raises MisplacedError unless the paths of the directory and the file lead to them."""
        self._looked_at = -inf
        if self._place is not None:
            self._place.check()
        if self._file is not None:
            self._file.check()
        self._looked_at = self._clock()

    def _take_up_directory(self) -> None:
        """Go on in a directory that was made again, unless it is on another file system. Raises OSError."""
        if self._place is None:
            return
        try:
            self._place.check()
        except MisplacedError as error:
            if error.other_device or not self._directory.is_dir():
                raise OSError(
                    0, f"{error.strerror}: put it back, or restart ingestd to use what is there"
                ) from error
            logger.warning(
                "files go into another directory of the same name", extra={"error": error.strerror}
            )
            self._place = FileIdentity(self._directory, "the directory")

    def _take_up_file(self) -> None:
        """Leave a file that was moved where it is, save the events of a removed one. Raises OSError."""
        file = self._file
        if file is None:
            return
        try:
            file.check()
        except MisplacedError as error:
            fields = {"file": file.path.name, "events": file.events, "error": error.strerror}
            saved = self._save(file) if file.removed and file.size else None
            self._file = saved
            file.close()
            if saved is not None:
                fields["saved"] = saved.path.name
            logger.error("the open file was not in its place", extra=fields)

    def _save(self, file: NdjsonFile) -> NdjsonFile:
        """A file with the content of one whose name is gone. Raises OSError."""
        saved = self._create()
        try:
            saved.copy_from(file)
        except OSError:
            saved.discard()
            raise
        return saved
