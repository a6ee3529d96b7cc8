"""A spool directory damaged anyhow: it opens, what is sound is there in its order, nothing is invented.

The first byte picks what is done to which file, the rest says how.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from ingestd.spool.inspect import entries, ls, verify
from ingestd.spool.spool import SpoolError
from tests.support.fakefs import FakeFs, Node
from tests.support.spool import DIRECTORY, FIRST, SENT, SIZE, made, payloads, recovered

_HOW = (b"", b"\0\0\0", b"\1\x00\xff\2\x10\0", b"\xffISF" * 3)
SEEDS = [bytes((way,)) + how for way in range(8) for how in _HOW]
TOKENS = [
    b"\xffISF", b"INGSPOOL", b"INGCHKPT", b"\0" * 8, b"\xff" * 8, b"\1\0\0\0", b"\0\0\0\4", b"a" * 100,
    b"\0\x38", b"\0\xc0",
]  # fmt: skip
MAX_BYTES = 400
_SUFFIXES = (".spool", ".bad", "", ".tmp")


def once(data: bytes) -> None:
    """Damage a spool of six frames, look at it from outside, open it twice."""
    kind, how = (data + b"\0")[0], data[1:]
    fs = FakeFs()
    path = made(fs, segment_bytes=(300, 1 << 20)[kind // 8 % 2])
    untouched = _damage(fs, path, kind % 8, how)
    with contextlib.suppress(SpoolError):
        verify(DIRECTORY, fs)
        ls(DIRECTORY, fs)
        outside = [entry.payload for entry in entries(DIRECTORY, fs)]
        assert _in_order(outside), "from outside"
    try:
        spool, _ = recovered(fs)
    except SpoolError:
        return
    first = payloads(spool)
    assert _in_order(first), first
    if untouched is not None:
        assert set(untouched) <= set(first), "a sound frame is gone"
    spool.append([b"fresh"])
    spool.close()
    again = recovered(fs)[0]
    assert payloads(again) == [*first, b"fresh"], "the second opening differs from the first"
    again.close()


def _damage(fs: FakeFs, path: Path, way: int, how: bytes) -> list[bytes] | None:
    """What is done to the files; the payloads that must have survived, None where that is not told."""
    node = fs.names[path]
    checkpoint = fs.names[DIRECTORY / "checkpoint"]
    if way == 0:  # single bytes of the first segment: places and values by turns
        touched = _patch(node, how)
        if any(place < FIRST for place in touched) or len(node.data) < FIRST + 6 * SIZE:
            return None
        return [payload for number, payload in enumerate(SENT) if not _hits(touched, number)]
    if way == 1:
        _patch(checkpoint, how)
    elif way == 2:  # cut
        _set(node, bytes(node.data[: int.from_bytes(how[:2], "big") % (len(node.data) + 1)]))
    elif way == 3:  # something behind the end
        _set(node, bytes(node.data) + how)
        return SENT
    elif way == 4:  # something in place of it
        _set(node, bytes(node.data[: FIRST * (len(how) & 1)]) + how)
    elif way == 5:
        _set(checkpoint, how)
    elif way == 6:  # a file that is none of ours, or looks like one
        name = "".join(chr(97 + byte % 26) for byte in how[:8]) or "x"
        _set(fs.names.setdefault(DIRECTORY / (name + _SUFFIXES[len(how) % 4]), Node()), how)
        return SENT if len(how) % 4 else None
    else:  # another segment, of a later number
        later = path.with_name(f"{int(path.stem) + 1 + len(how) % 3:016d}.spool")
        _set(fs.names.setdefault(later, Node()), how)
    return None


def _patch(node: Node, how: bytes) -> set[int]:
    touched = set()
    for at in range(0, len(how) - 2, 3):
        place = int.from_bytes(how[at : at + 2], "big") % len(node.data)
        if node.data[place] != how[at + 2]:
            node.data[place] = how[at + 2]
            touched.add(place)
    node.disk = bytearray(node.data)
    return touched


def _set(node: Node, data: bytes) -> None:
    node.data, node.disk = bytearray(data), bytearray(data)


def _hits(touched: set[int], number: int) -> bool:
    return any(FIRST + number * SIZE <= place < FIRST + (number + 1) * SIZE for place in touched)


def _in_order(found: list[bytes]) -> bool:
    """Only what was sent, each at most once, in its order."""
    places = [SENT.index(payload) for payload in found if payload in SENT]
    return len(places) == len(found) and places == sorted(set(places))
