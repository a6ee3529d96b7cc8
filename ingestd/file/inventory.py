"""The manifests and chains of a directory, for a reader that changes nothing, and whether they are whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from ingestd.file import names
from ingestd.file.manifest import Chain, Manifest
from ingestd.file.names import CHAIN, MANIFEST
from ingestd.system import durable


class Defect(NamedTuple):
    """Something wrong with a manifest or a chain; `kind` says with which. `where`: a file, or its number."""

    kind: str
    where: str
    what: str


@dataclass
class Inventory:
    """The manifests and chains (by stem) of a directory, and what cannot be read of them."""

    manifests: list[Manifest] = field(default_factory=list)
    chains: dict[str, Chain] = field(default_factory=dict)
    unreadable: list[Defect] = field(default_factory=list)
    begun_since: set[str] = field(default_factory=set)
    """Stems of chains that appeared while the directory was read."""
    unsettled: set[str] = field(default_factory=set)
    """Stems whose last manifest is about to get its name; a running daemon or the next start sees to it."""

    @classmethod
    def read(cls, directory: Path, *, copy: bool = False) -> Inventory:
        """Read a directory in which a daemon may be at work; with `copy` one that is a copy. Raises OSError.

        The chains first: a manifest that is written meanwhile is only newer than its chain.
        """
        found = cls()
        found.read_chains(directory)
        if copy:
            found.chains = {stem: replace(one, copied=True) for stem, one in found.chains.items()}
        # In this order: a manifest that gets its name between the two is unsettled, and found as well.
        found.unsettled = {stem for stem, one in found.chains.items() if _is_unsettled(directory, one)}
        found.read_manifests(directory)
        there = {path.name.removesuffix(CHAIN) for path in directory.glob(f"*{CHAIN}")}
        found.begun_since = there - found.chains.keys()
        return found

    def read_chains(self, directory: Path) -> None:
        """Read every chain. Raises OSError."""
        for path in sorted(directory.glob(f"*{CHAIN}")):
            try:
                self.chains[path.name.removesuffix(CHAIN)] = Chain.read(path)
            except ValueError as error:
                self.unreadable.append(Defect("chain", path.name, f"cannot be read: {error}"))

    def read_manifests(self, directory: Path) -> None:
        """Read every manifest. Raises OSError."""
        for path in sorted(directory.glob(f"*{MANIFEST}")):
            try:
                manifest = Manifest.read(path)
            except FileNotFoundError:  # pruned since it was listed
                continue
            except ValueError as error:
                self.unreadable.append(Defect("manifest", path.name, f"cannot be read: {error}"))
                continue
            if manifest.file + MANIFEST == path.name:
                self.manifests.append(manifest)
            else:
                what = f"is the manifest of {manifest.file}"
                self.unreadable.append(Defect("manifest", path.name, what))

    def defects(self) -> Iterator[Defect]:
        """Unreadable manifests and chains, numbers that two files have, numbers without a manifest."""
        yield from self.unreadable
        for stem, numbers in sorted(self._by_number().items()):
            for number, (first, *others) in sorted(numbers.items()):
                for other in others:
                    yield Defect("chain", other.file, f"has number {number}, as {first.file} has")
            if (chain := self.chains.get(stem)) is not None:
                for number in range(chain.pruned + 1, self._end(stem, chain, max(numbers, default=0)) + 1):
                    if number not in numbers:
                        yield _gap(stem, chain, number, numbers)
            elif numbers and stem not in self.begun_since:
                yield Defect("chain", stem + CHAIN, "is not there, its manifests are")

    def notes(self) -> Iterator[str]:
        """Copies whose chain was read later than the manifests: not a defect, and worth knowing."""
        last = {stem: max(numbers, default=0) for stem, numbers in self._by_number().items()}
        for stem, chain in sorted(self.chains.items()):
            later = chain.number - max(last[stem], chain.pruned)
            if chain.copied and later > 0:
                yield (
                    f"{stem}{CHAIN} is a copy, and {later} newer than the manifests beside it: files up to "
                    f"{chain.file} were finished while it was taken, and are not in this directory"
                )

    def _end(self, stem: str, chain: Chain, last: int) -> int:
        """The number up to which manifests must be there."""
        if chain.copied:
            return min(chain.number, last)
        return chain.number - (stem in self.unsettled)

    def _by_number(self) -> dict[str, dict[int, list[Manifest]]]:
        found: dict[str, dict[int, list[Manifest]]] = {stem: {} for stem in self.chains}
        for manifest in self.manifests:
            stem = names.stem_of(manifest.file) or ""
            found.setdefault(stem, {}).setdefault(manifest.number, []).append(manifest)
        return found


def _is_unsettled(directory: Path, chain: Chain) -> bool:
    if chain.file is None:
        return False
    target = directory / (chain.file + MANIFEST)
    return not target.exists() and durable.temporary_name(target).exists()


def _gap(stem: str, chain: Chain, number: int, numbers: dict[int, list[Manifest]]) -> Defect:
    """Name what a missing number stood for: the manifest after it says the file."""
    after = numbers.get(number + 1)
    name = after[0].previous if after else chain.file if number == chain.number else None
    what = "the manifest is gone, and what it says of the file with it"
    return Defect("chain", name or f"{stem} number {number}", what)
