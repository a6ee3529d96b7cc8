"""Files that survive a crash: atomic and complete writes, directory fsync, renames that never overwrite."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from pathlib import Path

# What the name of a file that is not whole yet ends with.
TEMPORARY = ".tmp"

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC


def write_all(fd: int, data: bytes) -> None:
    """Write every byte of `data`. Raises OSError; how much has been written then is unknown."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def fsync_directory(directory: Path) -> None:
    """Make the names in a directory durable. Raises OSError."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_directory(directory: Path, mode: int = 0o750) -> None:
    """Make a directory and what is missing above it, with durable names. Raises OSError.

    The name of one that is there already is synced as well: whoever made it may have been killed before that.
    """
    if not directory.is_dir():
        make_directory(directory.parent, mode)
        directory.mkdir(mode, exist_ok=True)
        fsync_directory(directory.parent)
        return
    with contextlib.suppress(PermissionError):  # not ours to read, so nothing in it was made by us
        fsync_directory(directory.parent)


def temporary_name(path: Path) -> Path:
    """Where the next content of `path` is written before it gets its name."""
    return path.with_name(path.name + TEMPORARY)


def write_temporary(
    path: Path, data: bytes, mode: int = 0o640, *, owner: tuple[int, int] | None = None, sync: bool = True
) -> Path:
    """Write the next content of `path`, durable, under its temporary name, which it returns. Raises OSError.

    The file is a new one with exactly this mode, and this owner (user and group id) if one is given. A file
    or symbolic link that has the name already is removed first. A failure leaves nothing.
    """
    temporary = temporary_name(path)
    try:
        fd = os.open(temporary, _NEW, 0o600)
    except FileExistsError:
        temporary.unlink()
        fd = os.open(temporary, _NEW, 0o600)
    try:
        write_all(fd, data)
        if owner is not None:
            os.fchown(fd, *owner)
        os.fchmod(fd, mode)
        if sync:
            os.fsync(fd)
    except OSError:
        unlink_quietly(temporary)
        raise
    finally:
        os.close(fd)
    return temporary


def replace(source: Path, target: Path) -> None:
    """Rename a file that is durable over another, and make the name durable. Raises OSError."""
    source.replace(target)
    fsync_directory(target.parent)


def atomic_write(path: Path, data: bytes, mode: int = 0o640, *, sync: bool = True) -> None:
    """Give `path` this content and mode. Raises OSError.

    Whenever a crash comes the old content or the new is there, whole. `sync=False`: after a power cut it
    may be neither; for what is only a hint and written often.
    """
    temporary = write_temporary(path, data, mode, sync=sync)
    if sync:
        replace(temporary, path)
    else:
        temporary.replace(path)


def rename_new(source: Path, target: Path) -> Path:
    """Rename without ever overwriting: if `target` exists, `-1`, `-2`, ... is put before its suffix.

    A hard link, then an unlink: link(2) fails if the name exists, rename(2) would replace it. The new name is
    durable before the old one goes, or a power cut could take both. A crash between the two leaves both names
    of one file, which recovery recognises by the inode; so does this function when it is called again.
    Returns the name taken, which is durable. Raises OSError.
    """
    number = 0
    name = target
    while True:
        try:
            os.link(source, name)
        except FileExistsError:
            if not name.samefile(source):
                number += 1
                name = target.with_name(f"{target.stem}-{number}{target.suffix}")
                continue
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EMLINK):
                raise
            _rename_where_links_are_missing(source, name)
            break
        fsync_directory(name.parent)
        source.unlink()
        break
    fsync_directory(name.parent)
    return name


def _rename_where_links_are_missing(source: Path, target: Path) -> None:
    """For file systems without hard links: the check and the rename are two steps."""
    if target.exists():
        raise FileExistsError(errno.EEXIST, "file exists", str(target))
    source.rename(target)


def try_lock(fd: int) -> bool:
    """Take the exclusive lock of a file (flock(2)); False if another process holds it."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def quarantine(path: Path, data: bytes) -> Path:
    """Append bytes that cannot be used to `path` + `.bad`, durable. Returns that path. Raises OSError."""
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
    """Remove a file, if it is there. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
