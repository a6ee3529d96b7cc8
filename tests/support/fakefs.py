"""A file system in memory that keeps, at a crash, only what was synced, and fails where it is told to.

It is meaner than real ones: what was not synced survives a crash in any combination of sectors and names,
and after a failed sync the data still reads back but is never written again, whatever a later sync returns.
"""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ingestd.spool.fs import FileInfo

SECTOR = 512


class CrashError(BaseException):
    """The machine stopped. Not an Exception, so that no code under test can handle it."""


@dataclass(slots=True, eq=False)
class Node:
    """A file: what reads see, what the disk has, and the changes on their way from one to the other."""

    data: bytearray = field(default_factory=bytearray)
    disk: bytearray = field(default_factory=bytearray)
    unsynced: list[tuple[int, bytes | None]] = field(default_factory=list)  # (offset, bytes), (size, None)
    unreadable: set[int] = field(default_factory=set)  # sectors that give EIO

    def settle(self, change: tuple[int, bytes | None], keep: Callable[[], bool]) -> None:
        """Bring a change to the disk: a size as a whole, bytes sector by sector."""
        at, data = change
        if data is None:
            if keep():
                _resize(self.disk, at)
            return
        start = at
        while start < at + len(data):
            stop = min(at + len(data), (start // SECTOR + 1) * SECTOR)
            if keep():
                _resize(self.disk, max(len(self.disk), stop))
                self.disk[start:stop] = data[start - at : stop - at]
            start = stop


def _resize(data: bytearray, size: int) -> None:
    del data[size:]
    data.extend(bytes(size - len(data)))


class FakeFs:
    """Implements `ingestd.spool.fs.Fs`. Directories spring into being; all names are full paths."""

    def __init__(self, seed: int = 0) -> None:
        self.random = random.Random(seed)
        self.names: dict[Path, Node] = {}
        self.directories: set[Path] = set()
        self.space: int | None = None  # bytes all files together may take
        self.calls: list[str] = []
        self.read_bytes = 0
        self.before_call: Callable[[str, str], None] = lambda _call, _name: None
        """Called with each operation and file name; may raise OSError or CrashError in its place."""
        self._disk_names: dict[Path, Node] = {}
        self._unsynced_names: list[dict[Path, Node | None]] = []
        self._open: dict[int, tuple[Path, Node | None]] = {}
        self._next_fd = 100

    # What tests do to it

    def crash(self) -> None:
        """Lose what was not synced: all of it, none, or a random part. Open files are gone."""
        chance = self.random.choice([0.0, 0.0, 0.5, 0.5, 1.0])

        def keep() -> bool:
            return self.random.random() < chance

        for change in self._unsynced_names:
            if keep():
                self._apply(change)
        self._unsynced_names = []
        self.names = dict(self._disk_names)
        for node in dict.fromkeys(self.names.values()):
            for data in node.unsynced:
                node.settle(data, keep)
            node.unsynced = []
            node.data = bytearray(node.disk)
        self.kill()

    def kill(self) -> None:
        """The process dies, the machine goes on: the cache stays, open files and locks are gone."""
        self._open = {}

    def open_files(self) -> set[Path]:
        return {path for path, node in self._open.values() if node is not None}

    def corrupt(self, path: Path, offset: int, data: bytes) -> None:
        """Change bytes behind the program's back."""
        node = self.names[path]
        node.data[offset : offset + len(data)] = data
        node.disk = bytearray(node.data)

    # What the program does

    def make_directory(self, path: Path) -> None:
        self._call("make_directory", path)
        self.directories.add(path)

    def entries(self, directory: Path) -> list[FileInfo]:
        self._call("entries", directory)
        files = [FileInfo(p.name, True, len(n.data)) for p, n in self.names.items() if p.parent == directory]
        return files + [FileInfo(p.name, False, 0) for p in self.directories if p.parent == directory]

    def lock(self, directory: Path) -> int:
        self._call("lock", directory)
        if any(path == directory for path, _node in self._open.values()):
            raise BlockingIOError(errno.EWOULDBLOCK, os.strerror(errno.EWOULDBLOCK))
        return self._descriptor(directory, None)

    def create(self, path: Path) -> int:
        self._call("create", path)
        node = self.names.get(path)
        if node is None:
            node = self._name(path, Node())
        node.unsynced.append((0, None))
        node.data.clear()
        return self._descriptor(path, node)

    def create_new(self, path: Path) -> int:
        self._call("create_new", path)
        if path in self.names:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        return self._descriptor(path, self._name(path, Node()))

    def open_write(self, path: Path) -> int:
        self._call("open_write", path)
        return self._descriptor(path, self._node(path))

    def open_read(self, path: Path) -> int:
        self._call("open_read", path)
        return self._descriptor(path, self._node(path))

    def close(self, fd: int) -> None:
        del self._open[fd]

    def pread(self, fd: int, size: int, offset: int) -> bytes:
        node = self._opened("pread", fd)
        data = bytes(node.data[offset : offset + size])
        if node.unreadable & set(range(offset // SECTOR, (offset + len(data) - 1) // SECTOR + 1)):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self.read_bytes += len(data)
        return data

    def pwritev(self, fd: int, buffers: Sequence[bytes], offset: int) -> None:
        data = b"".join(buffers)
        try:
            node = self._opened("pwritev", fd)
        except (OSError, CrashError):
            self._store(self._file(fd), data[: self.random.randrange(len(data) + 1)], offset)
            raise
        room = len(data)
        if self.space is not None:
            used = sum(len(n.data) for n in dict.fromkeys(self.names.values()))
            room = max(0, self.space - used) + max(0, len(node.data) - offset)  # bytes there need none
        self._store(node, data[:room], offset)
        if room < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def truncate(self, fd: int, size: int) -> None:
        node = self._opened("truncate", fd)
        node.unsynced.append((size, None))
        _resize(node.data, size)

    def fdatasync(self, fd: int) -> None:
        try:
            node = self._opened("fdatasync", fd)
        except OSError:
            self._sync(self._file(fd), lambda: self.random.random() < 0.5)
            raise
        self._sync(node, lambda: True)

    def sync_directory(self, directory: Path) -> None:
        self._call("sync_directory", directory)
        for change in self._unsynced_names:
            self._apply(change)
        self._unsynced_names = []

    def rename(self, source: Path, target: Path) -> None:
        self._call("rename", source)
        if source in self.directories:
            self.directories.remove(source)
            self.directories.add(target)
            return
        node = self._node(source)
        del self.names[source]
        self.names[target] = node
        self._unsynced_names.append({source: None, target: node})

    def link(self, source: Path, target: Path) -> None:
        self._call("link", source)
        if target in self.names:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
        self._name(target, self._node(source))

    def unlink(self, path: Path) -> None:
        self._call("unlink", path)
        self._node(path)
        del self.names[path]
        self._unsynced_names.append({path: None})

    # How it works

    def _call(self, call: str, path: Path) -> None:
        self.calls.append(f"{call} {path.name}")
        self.before_call(call, path.name)

    def _node(self, path: Path) -> Node:
        if path not in self.names:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        return self.names[path]

    def _name(self, path: Path, node: Node) -> Node:
        self.names[path] = node
        self._unsynced_names.append({path: node})
        return node

    def _descriptor(self, path: Path, node: Node | None) -> int:
        self._next_fd += 1
        self._open[self._next_fd] = path, node
        return self._next_fd

    def _file(self, fd: int) -> Node:
        node = self._open[fd][1]
        assert node is not None, "a directory"
        return node

    def _opened(self, call: str, fd: int) -> Node:
        self._call(call, self._open[fd][0])
        return self._file(fd)

    def _store(self, node: Node, data: bytes, offset: int) -> None:
        node.unsynced.append((offset, data))
        if data:
            _resize(node.data, max(len(node.data), offset + len(data)))
            node.data[offset : offset + len(data)] = data

    def _sync(self, node: Node, keep: Callable[[], bool]) -> None:
        for change in node.unsynced:
            node.settle(change, keep)
        node.unsynced = []

    def _apply(self, change: dict[Path, Node | None]) -> None:
        for path, node in change.items():
            if node is None:
                self._disk_names.pop(path, None)
            else:
                self._disk_names[path] = node
