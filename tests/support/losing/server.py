"""The model served by FUSE, and a control socket that freezes it and cuts its power.

    python -m tests.support.losing.server MOUNTPOINT CONTROL_SOCKET

Commands, one a line, answered by `ok`: `freeze` (every call fails with EIO from now on), `cut VARIANT SEED`
(and go on), `lie` (fsync does nothing from now on), `lost` (answered by how many changes cuts have lost).
"""

from __future__ import annotations

import errno
import os
import socket
import stat
import sys
import threading
import time
from functools import wraps
from pathlib import PurePosixPath
from typing import Any, TypeVar, cast

import mfusepy

from tests.support.losing.model import DIRECTORY, FILE, Disk, Node

F = TypeVar("F")
# How long a sync takes.
SYNC_SECONDS = 0.004


def locked(method: F) -> F:
    """A call at a time; none gets through to a frozen disk."""
    call = cast("Any", method)

    @wraps(call)
    def wrapper(self: Losing, *arguments: Any, **named: Any) -> Any:
        with self.mutex:
            if self.frozen:
                raise OSError(errno.EIO, "the power is off")
            return call(self, *arguments, **named)

    return cast("F", wrapper)


class Losing(mfusepy.Operations):  # type: ignore[misc]
    """FUSE's calls on the model."""

    use_ns = True

    def __init__(self) -> None:
        self.disk = Disk()
        self.mutex = threading.Lock()
        self.frozen = False
        self._open: dict[int, Node] = {}
        self._next = 1

    # names

    def _node(self, path: str, fh: int | None = None) -> Node:
        if fh:
            return self._open[fh]
        node = self.disk.root
        for name in PurePosixPath(path).parts[1:]:
            if name not in node.entries:
                raise OSError(errno.ENOENT, path)
            node = node.entries[name]
        return node

    def _parent(self, path: str) -> tuple[Node, str]:
        pure = PurePosixPath(path)
        return self._node(str(pure.parent)), pure.name

    def _opened(self, node: Node) -> int:
        self._next += 1
        self._open[self._next] = node
        return self._next

    @locked
    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        node = self._node(path, fh)
        return {
            "st_mode": node.mode, "st_ino": node.number, "st_nlink": node.links, "st_size": len(node.data),
            "st_blocks": -(-len(node.data) // 512), "st_mtime": node.mtime_ns, "st_ctime": node.mtime_ns,
            "st_atime": node.mtime_ns, "st_uid": os.geteuid(), "st_gid": os.getegid(),
        }  # fmt: skip

    @locked
    def readdir(self, path: str, fh: int) -> list[tuple[str, dict[str, int], int]]:
        node = self._node(path)
        entries = {".": node, "..": node, **node.entries}
        # Whoever reads a directory passes over an entry of inode 0, which is what a name alone would get.
        return [(name, {"st_ino": one.number, "st_mode": one.mode}, 0) for name, one in entries.items()]

    @locked
    def create(self, path: str, mode: int, fi: Any = None) -> int:
        directory, name = self._parent(path)
        node = self.disk.node(FILE | stat.S_IMODE(mode))
        self.disk.rename((directory, name, node))
        return self._opened(node)

    @locked
    def open(self, path: str, flags: int) -> int:
        node = self._node(path)
        if flags & os.O_TRUNC and node.data:
            node.change(0, None)
        return self._opened(node)

    @locked
    def opendir(self, path: str) -> int:
        return self._opened(self._node(path))

    @locked
    def mkdir(self, path: str, mode: int) -> int:
        directory, name = self._parent(path)
        self.disk.rename((directory, name, self.disk.node(DIRECTORY | stat.S_IMODE(mode))))
        return 0

    @locked
    def link(self, target: str, source: str) -> int:
        node = self._node(source)
        directory, name = self._parent(target)
        node.links += 1
        self.disk.rename((directory, name, node))
        return 0

    @locked
    def unlink(self, path: str) -> int:
        directory, name = self._parent(path)
        directory.entries[name].links -= 1
        self.disk.rename((directory, name, None))
        return 0

    @locked
    def rmdir(self, path: str) -> int:
        directory, name = self._parent(path)
        if directory.entries[name].entries:
            raise OSError(errno.ENOTEMPTY, path)
        self.disk.rename((directory, name, None))
        return 0

    @locked
    def rename(self, old: str, new: str) -> int:
        (from_directory, old_name), (to_directory, new_name) = self._parent(old), self._parent(new)
        node = from_directory.entries[old_name]
        replaced = to_directory.entries.get(new_name)
        if replaced is not None:
            replaced.links -= 1
        self.disk.rename((from_directory, old_name, None), (to_directory, new_name, node))
        return 0

    @locked
    def chmod(self, path: str, mode: int) -> int:
        node = self._node(path)
        node.mode = stat.S_IFMT(node.mode) | stat.S_IMODE(mode)
        return 0

    @locked
    def chown(self, path: str, uid: int, gid: int) -> int:
        return 0

    @locked
    def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
        self._node(path).mtime_ns = times[1] if times else time.time_ns()
        return 0

    @locked
    def statfs(self, path: str) -> dict[str, int]:
        room = {"f_blocks": 1 << 24, "f_bfree": 1 << 23, "f_bavail": 1 << 23}
        names = {"f_files": 1 << 20, "f_ffree": 1 << 19, "f_favail": 1 << 19, "f_namemax": 255}
        return {"f_bsize": 4096, "f_frsize": 4096, **room, **names}

    # content

    @locked
    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        return bytes(self._open[fh].data[offset : offset + size])

    @locked
    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        self._open[fh].change(offset, bytes(data))
        return len(data)

    @locked
    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        self._node(path, fh).change(length, None)
        return 0

    @locked
    def fallocate(self, path: str, mode: int, offset: int, size: int, fh: int) -> int:
        node = self._open[fh]
        if mode == 0 and offset + size > len(node.data):
            node.change(offset + size, None)
        return 0

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        time.sleep(SYNC_SECONDS)  # most cuts fall between a write and the end of its sync
        return self._sync(path, fh)

    def fsyncdir(self, path: str, datasync: int, fh: int) -> int:
        return self.fsync(path, datasync, fh)

    @locked
    def _sync(self, path: str, fh: int) -> int:
        self.disk.sync(self._node(path, fh))
        return 0

    def release(self, path: str, fh: int) -> int:
        with self.mutex:
            self._open.pop(fh, None)
        return 0

    def releasedir(self, path: str, fh: int) -> int:
        return self.release(path, fh)

    # control

    def obey(self, command: str) -> str:
        """Do what a line of the control socket says, and answer it."""
        word, *rest = command.split()
        with self.mutex:
            if word == "freeze":
                self.frozen = True
            elif word == "cut":
                self.disk.cut(rest[0], int(rest[1]))
                self.frozen = False
            elif word == "lie":
                self.disk.lying = True
            elif word == "lost":
                return str(self.disk.lost)
            else:
                return f"unknown command {word}"
        return "ok"


def control(losing: Losing, address: str) -> None:
    """Answer commands for ever."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen()
        while True:
            connection, _ = listening.accept()
            with connection, connection.makefile("rw") as lines:
                for line in lines:
                    lines.write(losing.obey(line) + "\n")
                    lines.flush()


def main() -> None:
    """Mount and serve until unmounted."""
    mountpoint, address = sys.argv[1:]
    losing = Losing()
    threading.Thread(target=control, args=(losing, address), daemon=True).start()
    # Nothing is kept by the kernel: after a cut it would still show what is gone.
    mfusepy.FUSE(
        losing, mountpoint, foreground=True, nothreads=True, direct_io=True, hard_remove=True, use_ino=True,
        attr_timeout=0, entry_timeout=0, negative_timeout=0, fsname="losing", allow_other=True,
    )  # fmt: skip


if __name__ == "__main__":
    main()
