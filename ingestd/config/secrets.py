"""Keys and tokens: read from files only, and shown by nothing that prints.

A file holds one secret, or several, one a line (of which the first is the newest, by custom). Trailing
newlines are no part of a secret; everything else is, spaces too.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from ingestd.errors import IngestdError


class SecretError(IngestdError):
    """A file of secrets that cannot be used; the message names the file and why, and never its content."""


class Secret:
    """Bytes nobody sees by accident: not in a repr, a dump, a log line or a traceback's locals."""

    __slots__ = ("_value", "origin")

    def __init__(self, value: bytes, origin: str) -> None:
        self._value = value
        self.origin = origin

    def reveal(self) -> bytes:
        """The bytes themselves."""
        return self._value

    def __repr__(self) -> str:
        return f"<secret of {self.origin}>"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a secret is not to be serialised")


def locate(name: Path, beside: Path, environ: Mapping[str, str] = os.environ) -> Path:
    """Where a file of secrets is: among systemd's credentials, under `beside`, or in its `secrets/`.

    The last is where the unit takes the credentials from: a command that root types finds what the daemon is
    given. Where there is none, it is said to be missing under `beside`.
    """
    credentials = environ.get("CREDENTIALS_DIRECTORY")
    places = [beside, beside / "secrets"]
    if credentials and not name.is_absolute():
        places.insert(0, Path(credentials))
    for place in places:
        if os.path.exists(place / name):  # noqa: PTH110 (Path.exists raises where it may not be entered)
            return place / name
    return beside / name


def read(path: Path) -> list[Secret]:
    """The secrets of a file, one a line. Raises SecretError where there is none to be had."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise SecretError(f"{path}: {error.strerror or error}") from None
    secrets = [Secret(line, f"{path.name}, line {number}") for number, line in enumerate(lines, 1) if line]
    if not secrets:
        raise SecretError(f"{path}: is empty")
    return secrets
