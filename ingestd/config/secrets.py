"""Keys and tokens: read from files only, and never shown.

A file holds one secret a line, by custom the newest first. Line ends are not part of a secret; everything
else is, spaces too.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from ingestd.errors import IngestdError


class SecretError(IngestdError):
    """A file of secrets cannot be used; the message names the file and the reason, never the content."""


class Secret:
    """Bytes that are not shown by accident, in a repr, a dump, a log line or a traceback's locals.

    `origin`: the file's name and the line.
    """

    __slots__ = ("_value", "origin")

    def __init__(self, value: bytes, origin: str) -> None:
        self._value = value
        self.origin = origin

    def reveal(self) -> bytes:
        """The bytes of the secret, for a digest or a comparison in constant time."""
        return self._value

    def __repr__(self) -> str:
        return f"<secret of {self.origin}>"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a secret cannot be serialised")


def locate(name: Path, beside: Path, environ: Mapping[str, str] = os.environ) -> Path:
    """The path of a file of secrets: in systemd's credentials directory, in `beside`, or in `beside`/secrets.

    The unit loads the credentials from the last of these, so a command typed by root finds what the daemon is
    given. The path of a missing file is the one in `beside`.
    """
    credentials = environ.get("CREDENTIALS_DIRECTORY")
    places = [beside, beside / "secrets"]
    if credentials and not name.is_absolute():
        places.insert(0, Path(credentials))
    for place in places:
        if os.path.exists(place / name):  # noqa: PTH110 (Path.exists raises PermissionError)
            return place / name
    return beside / name


def read(path: Path) -> list[Secret]:
    """The secrets of a file, one a line. Raises SecretError if it cannot be read or is empty."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise SecretError(f"{path}: {error.strerror or error}") from None
    secrets = [Secret(line, f"{path.name}, line {number}") for number, line in enumerate(lines, 1) if line]
    if not secrets:
        raise SecretError(f"{path}: is empty")
    return secrets
