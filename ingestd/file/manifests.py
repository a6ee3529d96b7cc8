"""A manifest beside each finished file, in a chain an instance. Blocking; runs in the keeper's thread.

`<file>.manifest` holds the file's rows (`ingestd.tally`), its size and hash as plain bytes, its number in
its instance's chain and the name of the file before it. `<prefix>-<instance>.chain` says how far the chain
goes, so that a file that is gone together with its manifest leaves a hole that can be seen.

A manifest is written in three steps, each durable: `.manifest.tmp`; the chain; the rename. A crash before
the second leaves nothing that counts, one after it is put right by `settle`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import orjson

from ingestd.file import names
from ingestd.file.names import CHAIN, MANIFEST, manifest_path, plain_name, stem_of
from ingestd.file.scan import scan
from ingestd.system import durable
from ingestd.tally import Rows, parse_rows, rows_tree

# How long the manifest of a file is kept that retention has removed, seconds.
KEEP_SECONDS = 400 * 86400
_LOCK_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Manifest:
    """Of one finished file. Times in ms since the epoch; `removed_at`: when retention removed the file."""

    file: str
    instance: str
    number: int
    previous: str | None
    size: int
    xxh3: str
    rows: Rows
    others: int
    removed_at: int | None

    def encode(self) -> bytes:
        """As JSON."""
        tree = {name: getattr(self, name) for name in self.__slots__ if name != "rows"}
        tree["events"] = sum(row.events for row in self.rows.values())
        tree["rows"] = rows_tree(self.rows)
        return orjson.dumps({"v": 1, **tree}, option=orjson.OPT_INDENT_2) + b"\n"

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read what `encode` wrote. Raises ValueError."""
        try:
            tree: Any = orjson.loads(data)
            fields = {name: tree[name] for name in cls.__slots__ if name != "rows"}
            return cls(rows=parse_rows(tree["rows"]), **fields)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"no manifest: {error!r}") from error


@dataclass(frozen=True, slots=True)
class Chain:
    """How far an instance's manifests go: the last one's number and file; those up to `pruned` are gone."""

    number: int = 0
    file: str | None = None
    pruned: int = 0

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises OSError, ValueError."""
        try:
            tree: Any = orjson.loads(path.read_bytes())
            return cls(int(tree["number"]), tree["file"], int(tree["pruned"]))
        except FileNotFoundError:
            return cls()
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path.name}: no chain: {error!r}") from error

    def write(self, path: Path) -> None:
        """Durable when it returns. Raises OSError."""
        tree = {"v": 1, "number": self.number, "file": self.file, "pruned": self.pruned}
        durable.atomic_write(path, orjson.dumps(tree))


def write_manifest(path: Path, prefix: str, pause: Callable[[], None] = lambda: None) -> Manifest | None:
    """Write the manifest of a finished file unless it has one; returns it where this call has written it.

    None as well where another process is at it, or the file has gone. Raises OSError, ValueError.
    """
    target = manifest_path(path)
    stem = stem_of(plain_name(path.name))
    if stem is None or target.exists():
        return None
    try:
        source = path.open("rb")
    except FileNotFoundError:
        return None
    with source:
        if not durable.try_lock(source.fileno()):
            return None
        try:
            found = scan(path, pause)
        except FileNotFoundError:
            return None
        draft = Manifest(
            plain_name(path.name), stem.removeprefix(f"{prefix}-"), 0, None, found.size, found.digest,
            found.tally.rows, found.tally.others, None,
        )  # fmt: skip
        return _link(target, path.with_name(stem + CHAIN), draft)


def _link(target: Path, chain_path: Path, draft: Manifest) -> Manifest | None:
    """Give the manifest its place in the chain and its name."""
    with _locked(target.parent):
        _settle(chain_path)
        if target.exists():
            return None
        chain = Chain.read(chain_path)
        manifest = replace(draft, number=chain.number + 1, previous=chain.file)
        temporary = durable.write_temporary(target, manifest.encode())
        replace(chain, number=manifest.number, file=manifest.file).write(chain_path)
        durable.replace(temporary, target)
    return manifest


def settle(directory: Path, prefix: str) -> None:
    """Finish what a crash left between the steps. Raises OSError, ValueError."""
    with _locked(directory):
        for chain_path in _chains(directory, prefix):
            _settle(chain_path)


def _chains(directory: Path, prefix: str) -> list[Path]:
    ours = names.ours(directory, prefix)
    return [path for path in directory.glob(f"*{CHAIN}") if ours(path.name)]


def _settle(chain_path: Path) -> None:
    chain = Chain.read(chain_path)
    if chain.file is not None:
        target = chain_path.with_name(chain.file + MANIFEST)
        temporary = durable.temporary_name(target)
        if not target.exists() and temporary.exists():
            durable.replace(temporary, target)


def mark_removed(path: Path, now: float) -> None:
    """Say in its manifest that retention removes a file; before it does. Raises OSError, ValueError."""
    target = manifest_path(path)
    if not target.exists():
        return
    with _locked(path.parent):
        manifest = Manifest.decode(target.read_bytes())
        if manifest.removed_at is None:
            durable.atomic_write(target, replace(manifest, removed_at=int(now * 1000)).encode())


def prune(directory: Path, prefix: str, now: float) -> None:
    """Remove the manifests of files removed long ago, the oldest first. Raises OSError, ValueError."""
    limit = (now - KEEP_SECONDS) * 1000
    with _locked(directory):
        for chain_path in _chains(directory, prefix):
            stem = chain_path.name.removesuffix(CHAIN)
            for path in sorted(directory.glob(f"{stem}-*{MANIFEST}")):
                if stem_of(path.name.removesuffix(MANIFEST)) != stem:
                    continue
                manifest = Manifest.decode(path.read_bytes())
                if manifest.removed_at is None or manifest.removed_at >= limit:
                    break
                chain = Chain.read(chain_path)
                replace(chain, pruned=max(chain.pruned, manifest.number)).write(chain_path)
                path.unlink()


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """One process at a time changes chains. Raises OSError where another takes too long."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        deadline = time.monotonic() + _LOCK_SECONDS
        while not durable.try_lock(fd):
            if time.monotonic() > deadline:
                raise OSError("another instance holds the manifests' lock")
            time.sleep(0.01)
        yield
    finally:
        os.close(fd)
