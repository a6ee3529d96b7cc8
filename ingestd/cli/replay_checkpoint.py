"""The checkpoint of a replay: a small JSON file that says how far each input has been sent."""

from __future__ import annotations

from pathlib import Path

import orjson

from ingestd.errors import IngestdError
from ingestd.system import durable


class Checkpoints:
    """How many lines of each input have been sent. Raises IngestdError if the file is not a checkpoint."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines: dict[str, int] = {}
        if path.exists():
            try:
                self._lines = orjson.loads(path.read_bytes())
            except orjson.JSONDecodeError as error:
                raise IngestdError(
                    f"{path}: is not a checkpoint ({error}); name another with --checkpoint"
                ) from error

    def done(self, name: str) -> int:
        """The number of lines of an input that have been sent."""
        return self._lines.get(name, 0)

    def save(self, name: str, lines: int) -> None:
        """Record that `lines` lines of an input have been sent, durably. Raises OSError."""
        self._lines[name] = lines
        durable.atomic_write(self._path, orjson.dumps(self._lines, option=orjson.OPT_INDENT_2), 0o644)
