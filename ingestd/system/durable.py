"""Files that survive a crash: full writes, directory fsync, renames that never overwrite, setting aside."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from pathlib import Path

_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC


def write_all(fd: int, data: bytes) -> None:
    """Write every byte of `data`. Raises OSError; how much was written by then is not known."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def fsync_directory(directory: Path) -> None:
    """Make the names in `directory` durable. Raises OSError."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def rename_new(source: Path, target: Path) -> Path:
    """Rename without ever overwriting: where `target` exists, `-1`, `-2`, ... is put before its suffix.

    A hard link then an unlink: link(2) fails where the name exists, rename(2) would replace it. A crash
    between the two leaves both names of one file, which recovery tells by the inode; so does this, when it
    is run again after the unlink failed. Returns the name taken. Raises OSError.
    """
    number = 0
    name = target
    while True:
        try:
            os.link(source, name)
        except FileExistsError:
            if name.samefile(source):
                source.unlink()
                return name
            number += 1
            name = target.with_name(f"{target.stem}-{number}{target.suffix}")
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EMLINK):
                raise
            return _rename_where_links_are_missing(source, name)
        else:
            source.unlink()
            return name


def _rename_where_links_are_missing(source: Path, target: Path) -> Path:
    """Some file systems have no hard links; the check and the rename are then two steps."""
    if target.exists():
        raise FileExistsError(errno.EEXIST, "file exists", str(target))
    return source.rename(target)


def try_lock(fd: int) -> bool:
    """Take the file's exclusive lock if nobody holds it. The kernel drops it when the process ends."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def set_aside(path: Path, data: bytes) -> Path:
    """Keep bytes that cannot be used in `path` + `.bad` (appended, durable). Returns that path."""
    bad = path.with_name(path.name + ".bad")
    fd = os.open(bad, _APPEND, 0o640)
    try:
        write_all(fd, data)
        os.fsync(fd)
    finally:
        os.close(fd)
    fsync_directory(path.parent)
    return bad


def unlink_quietly(path: Path) -> None:
    """Remove a file that may be gone already."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
