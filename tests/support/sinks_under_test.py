"""The sinks that the contract is held against. A new kind of sink joins by one more entry of SUBJECTS."""

from __future__ import annotations

import errno
import gzip
import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from unittest import mock

import zstandard

from ingestd import config
from ingestd.event import Batch
from ingestd.file.sink import FileSink
from ingestd.pipeline.counters import SourceCounters
from ingestd.pipeline.fanout import Fanout
from ingestd.pipeline.sink import CommitResult, Sink
from tests.support.fakes import FakeClock, FakeEntry, MemorySink, event_line

Report = Callable[[CommitResult], None]


def ignore(result: CommitResult) -> None:
    """Where a test does not look at what became of a batch."""


class Subject(ABC):
    """A kind of sink: how to have one, how to look behind it, how to break it."""

    name: str
    delivers_to: tuple[str, ...]

    @abstractmethod
    def make(self, directory: Path, report: Report = ignore) -> Sink:
        """A sink over `directory`, in the running loop; a second one sees what the first one left.

        `report`: takes what is not in the results of its commits.
        """

    @abstractmethod
    def stored(self, directory: Path) -> bytes:
        """Every event that is durable at this moment, in the order they were committed."""

    @abstractmethod
    def broken(self) -> AbstractContextManager[None]:
        """While this is entered nothing can be stored."""


class MemorySubject(Subject):
    """The fake that other tests use: it must behave like the real ones."""

    name = "memory"
    delivers_to: tuple[str, ...] = ("memory",)

    def __init__(self) -> None:
        self._sinks: dict[Path, MemorySink] = {}
        self._failing = ""

    def make(self, directory: Path, report: Report = ignore) -> Sink:
        before = self._sinks.get(directory)
        sink = self._sinks[directory] = MemorySink()
        sink.failing = self._failing
        if before is not None:
            sink.batches = before.batches
        return sink

    def stored(self, directory: Path) -> bytes:
        return self._sinks[directory].stored()

    @contextmanager
    def broken(self) -> Iterator[None]:
        self._fail("no space left")
        try:
            yield
        finally:
            self._fail("")

    def _fail(self, why: str) -> None:
        self._failing = why
        for sink in self._sinks.values():
            sink.failing = why


class FileSubject(Subject):
    """Files, compressed or not; broken by a device that takes no more bytes."""

    def __init__(self, compress: str) -> None:
        self.name = f"file, {compress}"
        self.delivers_to = ("file",)
        self._compress = compress
        self.clock = FakeClock()
        self._seconds = itertools.count(1_700_000_000)

    def make(self, directory: Path, report: Report = ignore) -> Sink:
        settings = config.FileConfig.model_validate({"directory": directory, "compress": self._compress})
        return FileSink(settings, "one", self.clock.now, lambda: float(next(self._seconds)))

    def stored(self, directory: Path) -> bytes:
        return b"".join(read_files(directory))

    @contextmanager
    def broken(self) -> Iterator[None]:
        def full(*arguments: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        with mock.patch("os.fdatasync", full), mock.patch("os.posix_fallocate", full):
            yield


class FanoutSubject(FileSubject):
    """A file and another sink as one; broken where neither can store."""

    def __init__(self) -> None:
        super().__init__("none")
        self.name = "fanout"
        self.delivers_to = ("file", "kafka")
        self._other = MemorySubject()

    def make(self, directory: Path, report: Report = ignore) -> Sink:
        other = self._other.make(directory)
        other.name = "kafka"
        return Fanout([super().make(directory), other], 60.0, report, self.clock.now)

    @contextmanager
    def broken(self) -> Iterator[None]:
        with super().broken(), self._other.broken():
            yield


def read_files(directory: Path) -> list[bytes]:
    """What a reader finds in the files of a directory, oldest first: finished, compressed, being written."""
    found: dict[str, bytes] = {}
    for path in sorted(directory.iterdir()):
        try:
            data = path.read_bytes()
        except FileNotFoundError:  # compressed meanwhile: it is there under its other name
            return read_files(directory)
        if path.name.endswith((".ndjson", ".ndjson.open")):
            found[path.name.removesuffix(".open")] = data
        elif path.name.endswith(".ndjson.gz"):
            found.setdefault(path.name.removesuffix(".gz"), gzip.decompress(data))
        elif path.name.endswith(".ndjson.zst"):
            found.setdefault(path.name.removesuffix(".zst"), unzstd(data))
    return [found[name] for name in sorted(found)]


def unzstd(data: bytes) -> bytes:
    """The content of a zstd file, which need not say how long it is."""
    with zstandard.ZstdDecompressor().stream_reader(data) as reader:
        return bytes(reader.read())


def batch_of(*numbers: int, size: int = 200) -> Batch:
    """A batch of events with these numbers."""
    batch, source = Batch(), SourceCounters("demo")
    for number in numbers:
        entry = FakeEntry(event_line(number, size), source)
        batch.entries.append(entry)
        batch.events += 1
        batch.bytes += len(entry.data)
    return batch


SUBJECTS: dict[str, type[Subject] | tuple[type[FileSubject], str]] = {
    "memory": MemorySubject,
    "file": (FileSubject, "none"),
    "file, gzip": (FileSubject, "gzip"),
    "file, zstd": (FileSubject, "zstd"),
    "fanout": FanoutSubject,
}


def subject(name: str) -> Subject:
    """A fresh one."""
    made = SUBJECTS[name]
    return made[0](made[1]) if isinstance(made, tuple) else made()
