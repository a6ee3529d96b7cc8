"""The manifests on disk and the verdict of the last audit, for the page. Blocking: runs in a thread."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from ingestd.file.inventory import Inventory
from ingestd.file.manifest import Manifest
from ingestd.file.names import MANIFEST, manifest_path
from ingestd.system import durable

# The newest manifests that are shown; and so many are read to see whether their chains are whole.
SHOWN, CHECKED = 8, 500
FINISHED = (".ndjson", ".ndjson.gz", ".ndjson.zst")


def look(directory: Path, prefix: str) -> dict[str, Any]:
    """The directory of the files: finished ones, manifests, defects of their chains, the last audit.

    `checked`: whether the chains were looked at; of very many manifests only the newest are read. Raises
    OSError where the directory cannot be read.
    """
    entries = sorted(directory.iterdir())
    finished = [path for path in entries if path.name.endswith(FINISHED)]
    manifests = [path for path in entries if path.name.endswith(MANIFEST)]
    named = {path.name for path in manifests}
    checked = len(manifests) <= CHECKED
    defects = list(Inventory.read(directory).defects()) if checked else []
    return {
        "directory": str(directory),
        "files": len(finished),
        "bytes": sum(_size(path) for path in finished),
        "manifests": len(manifests),
        "without_manifest": sum(manifest_path(path).name not in named for path in finished),
        "checked": checked,
        "defects": [f"{one.where}: {one.what}" for one in defects[:SHOWN]],
        "newest": [_manifest(path) for path in sorted(manifests, key=_made, reverse=True)[:SHOWN]],
        "audit": last_audit(directory, prefix),
    }


def audit_note(directory: Path, prefix: str) -> Path:
    """Where `ingestd audit` leaves its verdict."""
    return directory / f".{prefix}.audit"


def note_audit(
    directory: Path, prefix: str, *, status: int, files: int, events: int, findings: Sequence[str], hours: str
) -> None:
    """Leave a verdict. `hours`: those that were asked for, "" for all. Raises OSError."""
    note = {
        "at": time.time(), "status": status, "files": files, "events": events, "hours": hours,
        "findings": findings[:SHOWN],
    }  # fmt: skip
    durable.atomic_write(audit_note(directory, prefix), orjson.dumps(note), 0o644)


def last_audit(directory: Path, prefix: str) -> dict[str, Any] | None:
    """The verdict of the last audit of this directory; None where there was none, or it cannot be read."""
    try:
        note = orjson.loads(audit_note(directory, prefix).read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None
    return note if isinstance(note, dict) else None


def _made(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # removed meanwhile
        return 0.0


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = Manifest.read(path)
    except (OSError, ValueError) as error:
        return {"file": path.name.removesuffix(MANIFEST), "error": str(error)}
    return {
        "file": manifest.file,
        "instance": manifest.instance,
        "number": manifest.number,
        "bytes": manifest.size,
        "events": manifest.events,
        "sources": len({source for source, _ in manifest.rows}),
        "removed": manifest.removed_at is not None,
        "made_at": _made(path),
    }
