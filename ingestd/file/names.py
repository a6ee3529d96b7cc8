"""The names in a directory of event files: what each is, and which prefix it belongs to.

clicks-1-20260131T235900.000Z.ndjson.open      being written, and locked by the process that writes it
clicks-1-20260131T235900.000Z.ndjson[.gz|.zst] finished
clicks-1-20260131T235900.000Z.ndjson.manifest  what a finished file holds (manifests)
clicks-1.chain                                 how far the manifests of an instance go
clicks-1-20260131T235900.000Z.ndjson.bad       bytes of a recovered file that are not events
*.tmp                                          half written; of no use to a reader or a backup
.clicks.prefix                                 marks that `clicks` is a prefix here
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from ingestd.system import durable

NDJSON = ".ndjson"
OPEN = ".open"
MANIFEST = ".manifest"
CHAIN = ".chain"
BAD = ".bad"
TEMPORARY = durable.TEMPORARY
# What compression adds to a finished file's name, by the value of `file.compress`.
COMPRESSED = {"gzip": ".gz", "zstd": ".zst"}

_MARK = ".prefix"
_COMPRESSED_ENDINGS = tuple(NDJSON + suffix for suffix in COMPRESSED.values())
_FINISHED_ENDINGS = (NDJSON, *_COMPRESSED_ENDINGS)
_FINISHED = re.compile(r"(?P<stem>.+)-\d{8}T\d{6}\.\d{3}Z(?:-\d+)*\.ndjson")


def file_name(stem: str, start_ms: int, repeat: int = 0) -> str:
    """A finished file's name: `<stem>-<UTC start>.ndjson`; `repeat` tells files of one moment apart.

    `stem`: `<prefix>-<instance>`. `start_ms`: since the epoch.
    """
    moment = time.strftime("%Y%m%dT%H%M%S", time.gmtime(start_ms // 1000)) + f".{start_ms % 1000:03d}Z"
    return f"{stem}-{moment}" + (f"-{repeat}" if repeat else "") + NDJSON


def finished_once(paths: Iterable[Path]) -> list[Path]:
    """The finished files among `paths`, by name; the compressed one where a file is there in both forms."""
    found = {plain_name(path.name): path for path in sorted(paths) if is_finished(path.name)}
    return [found[name] for name in sorted(found)]


def stem_of(plain: str) -> str | None:
    """`<prefix>-<instance>` of a finished file's plain name; None where ingestd did not make the name."""
    found = _FINISHED.fullmatch(plain)
    return found["stem"] if found else None


def is_finished(name: str) -> bool:
    """Whether it is the name of a finished file, of ingestd or another."""
    return name.endswith(_FINISHED_ENDINGS)


def plain_name(name: str) -> str:
    """A finished file's name without what compression adds."""
    return name[: name.rindex(".")] if name.endswith(_COMPRESSED_ENDINGS) else name


def forms(path: Path) -> list[Path]:
    """A finished file's names by its plain one: plain, then compressed."""
    return [path, *(path.with_name(path.name + suffix) for suffix in COMPRESSED.values())]


def finished_path(path: Path) -> Path:
    """`x.ndjson.open` to `x.ndjson`."""
    return path.with_name(path.name.removesuffix(OPEN))


def manifest_path(path: Path) -> Path:
    """Where the manifest of a finished file is, compressed or not."""
    return path.with_name(plain_name(path.name) + MANIFEST)


def claim(directory: Path, prefix: str) -> None:
    """Mark that there are files of this prefix here, see `ours`. Where that fails, the next file tries."""
    mark = directory / f".{prefix}{_MARK}"
    with contextlib.suppress(OSError):
        if not mark.exists():
            mark.touch(0o640)
            durable.fsync_directory(directory)


def ours(directory: Path, prefix: str) -> Callable[[str], bool]:
    """Whether a name is of this prefix, and not of a longer one that is used in the same directory.

    `clicks-ios-1-...` alone does not tell whether `ios-1` is an instance or `clicks-ios` the prefix.
    """
    start = f".{prefix}-"
    with os.scandir(directory) as entries:
        marks = [entry.name for entry in entries if entry.name.startswith(start)]
    longer = tuple(f"{mark[1 : -len(_MARK)]}-" for mark in marks if mark.endswith(_MARK))
    return lambda name: name.startswith(f"{prefix}-") and not name.startswith(longer)
