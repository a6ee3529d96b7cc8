"""The manifests of a directory, numbered in a chain for each instance: written, marked and pruned. Blocking.

A manifest is written in three steps, each durable before the next: `.manifest.tmp` with its name; the chain;
the rename. A crash before the second leaves nothing that counts, one after it is put right by `settle`.

A manifest or a chain that cannot be read goes into quarantine (`.bad`), is named in the log, and is made
again: a manifest from its file, under the number it had, a chain from the manifests.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from ingestd.file import names
from ingestd.file.manifest import Chain, Manifest, is_readable, quarantine, read_or_quarantine
from ingestd.file.names import CHAIN, MANIFEST, manifest_path
from ingestd.file.scan import Scan, scan
from ingestd.system import durable

logger = logging.getLogger(__name__)

# Seconds to keep the manifest of a file that retention has removed.
KEEP_SECONDS = 400 * 86400
# Seconds to wait for another instance that changes the same chains.
_LOCK_SECONDS = 5.0


class Manifests:
    """The manifests and chains of a prefix in a directory: who writes, numbers, marks and prunes them.

    Several processes may share the directory. Every method raises OSError, and ValueError for a file that
    cannot be read and cannot be made again.
    """

    def __init__(self, directory: Path, prefix: str) -> None:
        self._directory = directory
        self._prefix = prefix

    def write(
        self, path: Path, pause: Callable[[], None] = lambda: None, found: Scan | None = None
    ) -> Manifest | None:
        """Write the manifest of a finished file unless it has one; returns it where this call has written it.

        None as well where another process is at it, or the file has gone. `found`: what is known of the
        file, else it is read, with `pause` between slices. Raises what is UNREADABLE, too.
        """
        plain = names.plain_name(path.name)
        stem = names.stem_of(plain)
        if stem is None or is_readable(manifest_path(path)):
            return None
        try:
            source = path.open("rb")
        except FileNotFoundError:
            return None
        with source:
            if not durable.try_lock(source.fileno()):
                return None
            try:
                found = found or scan(path, pause)
            except FileNotFoundError:
                return None
            draft = Manifest(
                plain, stem.removeprefix(f"{self._prefix}-"), 0, None, found.size, found.digest,
                found.tally.rows, found.tally.others, None,
            )  # fmt: skip
            with self._locked():
                return self._link(stem, draft)

    def settle(self) -> None:
        """Finish what a crash left between the steps."""
        with self._locked():
            for stem in self._stems():
                self._settle(stem)

    def mark_removed(self, path: Path, now: float) -> None:
        """Say in its manifest that retention removes a file; to be called before it does.

        `now`: seconds since the epoch. A manifest that cannot be read is made again from the file first.
        """
        target = manifest_path(path)
        if not target.exists():
            return
        if not is_readable(target):
            self.write(path)
        with self._locked():
            manifest = Manifest.read(target)
            if manifest.removed_at is None:
                durable.atomic_write(target, replace(manifest, removed_at=int(now * 1000)).encode())

    def prune(self, now: float) -> None:
        """Remove the manifests of files that were removed KEEP_SECONDS ago, the oldest first."""
        with self._locked():
            for stem in self._stems():
                self._prune(stem, now - KEEP_SECONDS)

    # under the lock

    def _link(self, stem: str, draft: Manifest) -> Manifest | None:
        """Give the manifest its place in the chain, and its name."""
        target = self._directory / (draft.file + MANIFEST)
        self._settle(stem)
        if read_or_quarantine(target) is not None:
            return None
        chain = self._chain(stem)
        number, previous = self._place(stem, chain, draft.file)
        manifest = replace(draft, number=number, previous=previous)
        temporary = durable.write_temporary(target, manifest.encode())
        durable.fsync_directory(self._directory)
        if number > chain.number:
            replace(chain, number=number, file=manifest.file).write(self._directory / (stem + CHAIN))
        durable.replace(temporary, target)
        return manifest

    def _place(self, stem: str, chain: Chain, file: str) -> tuple[int, str | None]:
        """The number of a file and the file before it: the next, or the one it had when it lost its manifest.

        Only a file that is not younger than the chain's last can have had one; then the manifests are read.
        """
        if chain.file is None or file > chain.file:
            return chain.number + 1, chain.file
        known = self._of_stem(stem)
        by_number = {one.number: one.file for one in known}
        after = next((one.number for one in known if one.previous == file), None)
        number = chain.number if file == chain.file else after - 1 if after is not None else 0
        if number <= 0 or number in by_number:
            return chain.number + 1, chain.file
        return number, by_number.get(number - 1)

    def _settle(self, stem: str) -> None:
        chain = self._chain(stem)
        if chain.file is not None:
            target = self._directory / (chain.file + MANIFEST)
            temporary = durable.temporary_name(target)
            if not target.exists() and temporary.exists():
                durable.replace(temporary, target)

    def _chain(self, stem: str) -> Chain:
        """The chain; where it cannot be read, one that goes as far as the manifests do."""
        path = self._directory / (stem + CHAIN)
        try:
            return Chain.read(path)
        except ValueError as error:
            quarantine(path, error)
        known = sorted(self._of_stem(stem), key=lambda one: one.number)
        made = Chain(known[-1].number, known[-1].file, known[0].number - 1) if known else Chain()
        made.write(path)
        return made

    def _prune(self, stem: str, limit: float) -> None:
        path = self._directory / (stem + CHAIN)
        for target in self._paths(stem):
            try:
                manifest = Manifest.read(target)
            except ValueError as error:
                logger.error("cannot read a manifest", extra={"file": target.name, "error": str(error)})
                continue
            if manifest.removed_at is None or manifest.removed_at >= limit * 1000:
                break
            chain = self._chain(stem)
            replace(chain, pruned=max(chain.pruned, manifest.number)).write(path)
            target.unlink()

    def _of_stem(self, stem: str) -> list[Manifest]:
        """The readable manifests of an instance."""
        found = []
        for path in self._paths(stem):
            with contextlib.suppress(ValueError, FileNotFoundError):
                found.append(Manifest.read(path))
        return found

    def _paths(self, stem: str) -> list[Path]:
        """The manifests of an instance, oldest first."""
        found = sorted(self._directory.glob(f"{stem}-*{MANIFEST}"))
        return [path for path in found if names.stem_of(path.name.removesuffix(MANIFEST)) == stem]

    def _stems(self) -> list[str]:
        ours = names.ours(self._directory, self._prefix)
        found = [path.name.removesuffix(CHAIN) for path in self._directory.glob(f"*{CHAIN}")]
        return [stem for stem in found if ours(stem)]

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One process at a time changes chains. Raises OSError where another takes too long."""
        fd = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            deadline = time.monotonic() + _LOCK_SECONDS
            while not durable.try_lock(fd):
                if time.monotonic() > deadline:
                    raise OSError("another instance holds the manifests' lock")
                time.sleep(0.01)
            yield
        finally:
            os.close(fd)
