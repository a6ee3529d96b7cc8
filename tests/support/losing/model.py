"""What is on a disk after a power cut, in memory: files, names, and which of their changes were synced.

Two kinds of promise about names are kept side by side, since file systems differ in them:

- ordered: any fsync makes all earlier changes of names durable, in their order (ext4, XFS, btrfs in practice)
- strict: only an fsync of the directory makes its names durable, each for itself (what POSIX promises)

Data that was not synced survives a cut in part, as the variant says: see `VARIANTS`.
"""

from __future__ import annotations

import itertools
import random
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

PAGE, SECTOR = 4096, 512
FILE, DIRECTORY = stat.S_IFREG, stat.S_IFDIR

# A change of a file that is not synced: bytes at an offset, or (None) a new size.
Change = tuple[int, bytes | None]


@dataclass(eq=False)
class Node:
    """A file or a directory. `synced`: the content that survives any cut; `changes`: all since."""

    number: int
    mode: int
    links: int = 1
    mtime_ns: int = field(default_factory=time.time_ns)
    data: bytearray = field(default_factory=bytearray)
    synced: bytearray = field(default_factory=bytearray)
    changes: list[Change] = field(default_factory=list)
    entries: dict[str, Node] = field(default_factory=dict)
    durable: dict[str, Node] = field(default_factory=dict)  # the entries at the last cut

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.mode)

    def change(self, offset: int, data: bytes | None) -> None:
        """Write, or (None) truncate or extend to `offset` bytes."""
        apply(self.data, offset, data)
        self.changes.append((offset, data))
        self.mtime_ns = time.time_ns()

    def sync(self) -> None:
        """Make the content durable."""
        for change in self.changes:
            apply(self.synced, *change)
        self.changes.clear()


def apply(content: bytearray, offset: int, data: bytes | None) -> None:
    """Do to a content what a change says."""
    end = offset + len(data or b"")
    if data is None and offset < len(content):
        del content[offset:]
    elif end > len(content):
        content.extend(bytes(end - len(content)))
    if data is not None:
        content[offset:end] = data


@dataclass
class Renaming:
    """A change of names, done or undone as a whole: each name of a directory set to a node, or removed."""

    steps: list[tuple[Node, str, Node | None]]
    ordered: bool = False  # durable where names are kept in order
    strict: bool = False  # durable by the letter of POSIX


class Disk:
    """A tree of nodes with its history since the last cut. `lying`: fsync does nothing (the control)."""

    def __init__(self) -> None:
        self._numbers = itertools.count(2)
        self.root = Node(1, DIRECTORY | 0o755, 2)
        self.history: list[Renaming] = []
        self.lying = False
        self.lost = 0  # changes of data or names that cuts have lost so far

    def node(self, mode: int) -> Node:
        """A new node that has no name yet."""
        return Node(next(self._numbers), mode, 2 if stat.S_ISDIR(mode) else 1)

    def rename(self, *steps: tuple[Node, str, Node | None]) -> None:
        """Change names, as one step that is not torn apart."""
        for directory, name, node in steps:
            if node is None:
                directory.entries.pop(name, None)
            else:
                directory.entries[name] = node
            directory.mtime_ns = time.time_ns()
        self.history.append(Renaming(list(steps)))

    def sync(self, node: Node) -> None:
        """fsync or fdatasync of a file or a directory."""
        if self.lying:
            return
        node.sync()
        for one in self.history:
            one.ordered = True
            one.strict = one.strict or any(directory is node for directory, _, _ in one.steps)

    def cut(self, variant: str, seed: int) -> None:
        """Lose power: the tree becomes what a disk of this kind may hold then."""
        dice = random.Random(f"{variant}/{seed}")
        survivors = VARIANTS[variant](dice)
        kept = self._names(dice, strict=variant == "names")
        self.lost += len(self.history) - len(kept)
        for one in kept:
            for directory, name, node in one.steps:
                if node is None:
                    directory.durable.pop(name, None)
                else:
                    directory.durable[name] = node
        self.history.clear()
        seen: dict[int, int] = {}
        for node in self._walk(self.root):
            seen[node.number] = seen.get(node.number, 0) + 1
            if seen[node.number] == 1 and not node.is_directory:
                before = len(node.changes)
                for change in survivors(node.changes):
                    apply(node.synced, *change)
                self.lost += before and int(node.synced != node.data)
                node.data, node.changes = bytearray(node.synced), []
            if not node.is_directory:
                node.links = seen[node.number]

    def _names(self, dice: random.Random, *, strict: bool) -> list[Renaming]:
        if strict:
            return [one for one in self.history if one.strict or dice.random() < 0.5]
        synced = sum(one.ordered for one in self.history)
        return self.history[: dice.randint(synced, len(self.history))]

    def _walk(self, directory: Node) -> Iterator[Node]:
        directory.entries = dict(directory.durable)
        yield directory
        for node in directory.entries.values():
            if node.is_directory:
                yield from self._walk(node)
            else:
                yield node


Survivors = Callable[[list[Change]], list[Change]]


def _drop(dice: random.Random) -> Survivors:
    return lambda changes: []


def _pages(changes: list[Change]) -> Iterator[Change]:
    """The same changes cut at the borders of pages, which reach the disk one by one."""
    for offset, data in changes:
        if data is None:
            yield offset, None
            continue
        start = 0
        while start < len(data):
            size = min(PAGE - (offset + start) % PAGE, len(data) - start)
            yield offset + start, data[start : start + size]
            start += size


def _subset(dice: random.Random) -> Survivors:
    return lambda changes: [one for one in _pages(changes) if dice.random() < 0.5]


def _torn(dice: random.Random) -> Survivors:
    def survivors(changes: list[Change]) -> list[Change]:
        kept = changes[: dice.randint(0, len(changes))]
        offset, data = kept[-1] if kept else (0, None)
        if data:
            whole = dice.randrange(len(data) // SECTOR + 1) * SECTOR
            kept[-1] = (offset, data[: max(0, whole - offset % SECTOR)])
        return kept

    return survivors


def _reorder(dice: random.Random) -> Survivors:
    """The later pages are there, and of the earlier ones only what their size says: zeros."""

    def survivors(changes: list[Change]) -> list[Change]:
        pages = list(_pages(changes))
        return pages[dice.randint(0, len(pages)) :]

    return survivors


def _either(dice: random.Random) -> Survivors:
    return lambda changes: list(changes) if dice.random() < 0.5 else []


# What becomes of data that was not synced. All keep names in order but `names`, which keeps each by chance.
VARIANTS: dict[str, Callable[[random.Random], Survivors]] = {
    "drop": _drop,
    "subset": _subset,
    "torn": _torn,
    "reorder": _reorder,
    "names": _either,
}
