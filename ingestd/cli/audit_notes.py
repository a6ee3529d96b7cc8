"""The files of a directory that `ingestd audit` does not look at, and why."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from ingestd.file import names
from ingestd.file.names import BAD, CHAIN, MANIFEST, NDJSON, OPEN, TEMPORARY


def not_looked_at(directory: Path, covered: Collection[str]) -> Iterator[str]:
    """A sentence for each kind of file that is left out. `covered`: plain names with a readable manifest.

    Raises OSError.
    """
    paths = list(directory.iterdir())
    there = {path.name for path in paths if not path.is_dir()}
    plain = set(map(names.plain_name, there))
    described = {name.removesuffix(MANIFEST) for name in there if name.endswith(MANIFEST)}
    finished = {name for name in plain if names.stem_of(name)}
    opened = {name for name in there if name.endswith(NDJSON + OPEN)}
    left = {name for name in opened if name.removesuffix(OPEN) in plain | described}
    elsewhere = {path.name for path in paths if path.is_dir() and any(path.glob(f"*{MANIFEST}"))}
    kinds: dict[str, set[str]] = {
        "finished, without a manifest yet": finished - set(covered) - described,
        "still being written, or when this copy was made": opened - left,
        "left over by a copy: still .open, and here as finished": left,
        "not named as ingestd names files": {name for name in there if not _is_known(name)},
        "in quarantine: damaged, and made again since": {name for name in there if _is_damaged(name)},
        "a directory with manifests in it": elsewhere,
    }
    for what, found in kinds.items():
        if found:
            few = ", ".join(sorted(found)[:3]) + (", ..." if len(found) > 3 else "")
            yield f"{len(found)} not looked at, {what}: {few}"


def _is_damaged(name: str) -> bool:
    """Whether it is a manifest or a chain in quarantine."""
    return name.endswith(BAD) and (MANIFEST in name or CHAIN in name)


def _is_known(name: str) -> bool:
    """Whether the name is one of those that `ingestd.file.names` lists."""
    if name.startswith(".") or name.endswith((MANIFEST, CHAIN, TEMPORARY, OPEN, BAD)):
        return True
    return names.stem_of(names.plain_name(name)) is not None
