"""A manifest and a chain as files: their JSON, and how they come onto the disk. Blocking.

`<file>.manifest` says what a finished file holds: its rows (`ingestd.tally`), its size and hash as plain
bytes, its number in its instance's chain and the name of the file before it. `<prefix>-<instance>.chain`
says how far the chain goes, so that a file that is gone together with its manifest leaves a gap.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import orjson

from ingestd.file import names
from ingestd.system import durable
from ingestd.tally import Rows, parse_rows, rows_tree

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Manifest:
    """One finished file's. Times in ms since the epoch; `removed_at`: when retention removed the file.

    `size` and `xxh3` are of the plain bytes; `others` counts the lines that are not events.
    """

    file: str
    instance: str
    number: int
    previous: str | None
    size: int
    xxh3: str
    rows: Rows
    others: int
    removed_at: int | None

    @property
    def events(self) -> int:
        """The sum over `rows`."""
        return sum(row.events for row in self.rows.values())

    def encode(self) -> bytes:
        """The manifest as JSON, with its schema's version as `v`."""
        tree = {name: getattr(self, name) for name in self.__slots__ if name != "rows"}
        tree |= {"events": self.events, "rows": rows_tree(self.rows)}
        return orjson.dumps({"v": 1, **tree}, option=orjson.OPT_INDENT_2) + b"\n"

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read what `encode` wrote. Raises ValueError."""
        try:
            tree: Any = orjson.loads(data)
            fields = {name: tree[name] for name in cls.__slots__ if name != "rows"}
            made = cls(rows=parse_rows(tree["rows"]), **fields)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"not a manifest: {error!r}") from error
        if not (isinstance(made.file, str) and isinstance(made.number, int) and isinstance(made.size, int)):
            raise ValueError("not a manifest: file, number or size is of another type")  # noqa: TRY004
        return made

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises OSError, and ValueError that names the file."""
        try:
            return cls.decode(path.read_bytes())
        except ValueError as error:
            raise ValueError(f"{path.name}: {error}") from error


@dataclass(frozen=True, slots=True)
class Chain:
    """How far an instance's manifests go: the last one's number and file; those up to `pruned` are gone.

    `copied`: whether it was read from a copy, which may have been taken later than the manifests beside it.
    The file holds the inode number of its directory, which a copy's directory does not have.
    """

    number: int = 0
    file: str | None = None
    pruned: int = 0
    copied: bool = False

    @classmethod
    def read(cls, path: Path) -> Self:
        """An empty chain where there is no file. Raises OSError, and ValueError that names the file."""
        try:
            tree: Any = orjson.loads(path.read_bytes())
            inode = path.parent.stat().st_ino
            copied = tree.get("inode", inode) != inode
            made = cls(int(tree["number"]), tree["file"], int(tree["pruned"]), copied)
        except FileNotFoundError:
            return cls()
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path.name}: not a chain: {error!r}") from error
        if not isinstance(made.file, str | None):
            raise ValueError(f"{path.name}: not a chain: file is not a name")  # noqa: TRY004
        return made

    def write(self, path: Path) -> None:
        """Durable when it returns. Raises OSError."""
        tree = {"v": 1, "number": self.number, "file": self.file, "pruned": self.pruned}
        durable.atomic_write(path, orjson.dumps({**tree, "inode": path.parent.stat().st_ino}))


def is_readable(path: Path) -> bool:
    try:
        Manifest.read(path)
    except (FileNotFoundError, ValueError):
        return False
    return True


def read_or_quarantine(path: Path) -> Manifest | None:
    try:
        return Manifest.read(path)
    except FileNotFoundError:
        return None
    except ValueError as error:
        quarantine(path, error)
        return None


def quarantine(path: Path, error: ValueError) -> None:
    bad = durable.rename_new(path, path.with_name(path.name + names.BAD))
    fields = {"file": path.name, "quarantine": bad.name, "error": str(error)}
    logger.error("damaged, and made again from what is there", extra=fields)
