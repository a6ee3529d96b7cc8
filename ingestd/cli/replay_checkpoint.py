"""How far a replay got, in a file."""

from __future__ import annotations

from pathlib import Path

import orjson

from ingestd.errors import IngestdError
from ingestd.system import durable


class Checkpoints:
    """How many lines of each file have been sent, in a small JSON file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines: dict[str, int] = {}
        if path.exists():
            try:
                self._lines = orjson.loads(path.read_bytes())
            except orjson.JSONDecodeError as error:
                raise IngestdError(
                    f"{path}: no checkpoint file ({error}); name another with --checkpoint"
                ) from error

    def done(self, name: str) -> int:
        """Lines sent of a file."""
        return self._lines.get(name, 0)

    def save(self, name: str, lines: int) -> None:
        """Durable when it returns. Raises OSError."""
        self._lines[name] = lines
        durable.atomic_write(self._path, orjson.dumps(self._lines, option=orjson.OPT_INDENT_2), 0o644)
