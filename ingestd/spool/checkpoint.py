"""The spool's checkpoint: the position before which everything has been delivered."""

from __future__ import annotations

import errno
from pathlib import Path

from ingestd.spool.format import SLOT_SIZE, SLOT_STRIDE, START, Position, decode_slot, encode_slot
from ingestd.spool.fs import FileInfo, Fs

_FILE_SIZE = 2 * SLOT_STRIDE
_SLOTS = (0, SLOT_STRIDE)
_UNREADABLE = b"?"  # a slot that the disk cannot read: neither valid nor empty


class Checkpoint:
    """The checkpoint file, open for writing. Every method raises OSError.

    Written in place into two slots in turn (one fdatasync, no new space) rather than by rename: a quarter of
    the time, and it still works on the full disk that only a checkpoint can make room on.
    """

    def __init__(self, fs: Fs, path: Path) -> None:
        self._fs = fs
        self._path = path
        self._fd: int | None = None
        self._sequence = 0

    def open(self, found: FileInfo | None) -> tuple[Position | None, bool]:
        """The stored position, None if the file is new, and whether one must have been there but is lost.

        `found`: the directory's entry under the checkpoint's name. Anything but a checkpoint is renamed to
        `checkpoint.<first free number>.bad`, and a new one begun.
        """
        if found is not None and found.regular:
            self._fd = self._fs.open_write(self._path)
            slots = _read_slots(self._fs, self._fd)
            newest = _newest(slots)
            if newest is not None:
                sequence, position = newest
                # The slot just read may be in the cache only, and segments are deleted because of it. To sync
                # it now would prove nothing if an earlier sync had failed; to write it again in its place
                # does.
                self._sequence = sequence - 1
                self.write(position)
                return position, False
            self.close()
            found = found if any(map(any, slots)) else None  # only zeros: a crash while it was begun
        if found is not None:
            _quarantine(self._fs, self._path)
        self._begin()
        return None, found is not None

    def write(self, position: Position) -> None:
        """Store `position` durably. On an error the position stored before is still there."""
        assert self._fd is not None  # noqa: S101 - the spool opens it first
        sequence = self._sequence + 1
        self._fs.pwritev(self._fd, [encode_slot(sequence, position)], sequence % 2 * SLOT_STRIDE)
        self._fs.fdatasync(self._fd)
        # Only now: after an error the same slot is written again, never the one that is known to be good.
        self._sequence = sequence

    def close(self) -> None:
        if self._fd is not None:
            self._fs.close(self._fd)
            self._fd = None

    def _begin(self) -> None:
        # Its name becomes durable with the directory, which recovery syncs at its end.
        self._fd = self._fs.create(self._path)
        slot = encode_slot(0, START)
        self._fs.pwritev(self._fd, [slot, bytes(_FILE_SIZE - len(slot))], 0)
        self._fs.fdatasync(self._fd)
        self._sequence = 0


def _quarantine(fs: Fs, path: Path) -> None:
    taken = {info.name for info in fs.entries(path.parent)}
    number = 1
    while (name := f"{path.name}.{number}.bad") in taken:
        number += 1
    fs.rename(path, path.with_name(name))


def _read_slots(fs: Fs, fd: int) -> list[bytes]:
    slots = []
    for start in _SLOTS:
        try:
            slots.append(fs.pread(fd, SLOT_SIZE, start))
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            slots.append(_UNREADABLE)
    return slots


def _newest(slots: list[bytes]) -> tuple[int, Position] | None:
    """The sequence and position of the valid slot with the highest sequence."""
    return max((slot for slot in map(decode_slot, slots) if slot is not None), default=None)


def inspect_checkpoint(fs: Fs, path: Path) -> tuple[Position, list[int]]:
    """For a look from outside: the stored position (START without one), and the offsets of damaged slots.

    Raises OSError.
    """
    fd = fs.open_read(path)
    try:
        # Twice: a slot that the daemon is just writing is whole the second time.
        before, slots = (_read_slots(fs, fd) for _ in range(2))
    finally:
        fs.close(fd)
    newest = _newest(slots)
    damaged = [
        start
        for start, *both in zip(_SLOTS, before, slots, strict=True)
        if all(any(slot) and decode_slot(slot) is None for slot in both)
    ]
    return newest[1] if newest is not None else START, damaged
