"""The files of a host as a unit's service sees them: what its user may, and what its sandbox hides."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ingestd.cli.unit_file import Unit
from ingestd.errors import IngestdError, Problem

HOMES, TEMPORARY = ("/home", "/root", "/run/user"), ("/tmp", "/var/tmp")  # noqa: S108 - named, not used
# Directories that systemd creates for the service, by the setting that names them.
OWN = {"StateDirectory": "/var/lib", "CacheDirectory": "/var/cache", "LogsDirectory": "/var/log",
       "RuntimeDirectory": "/run"}  # fmt: skip
# A path, and how it is to be accessed: as os.access takes them.
Question = tuple[Path, int]


class User(NamedTuple):
    """Whom the service runs as."""

    name: str
    uid: int
    groups: tuple[int, ...]


def access(user: User, questions: Sequence[Question]) -> list[bool]:
    """Whether the user may, as the kernel sees it: asked by a process that has become the user.

    Raises IngestdError if only root can tell.
    """
    if os.geteuid() == user.uid:
        return [os.access(path, mode) for path, mode in questions]
    if os.geteuid() != 0:
        raise IngestdError(f"only root can tell what user {user.name} may read and write: run it as root")
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setgroups(user.groups)
            os.setresgid(user.groups[0], user.groups[0], user.groups[0])
            os.setresuid(user.uid, user.uid, user.uid)
            os.write(writer, json.dumps([os.access(path, mode) for path, mode in questions]).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader, "rb") as answers:
        text = answers.read()
    _, status = os.waitpid(child, 0)
    if status:
        raise IngestdError(f"cannot become user {user.name}")
    found: list[bool] = json.loads(text)
    return found


def hidden(unit: Unit, path: Path) -> str:
    """The setting that hides a path from the service; "" if none does."""
    text = f"{path}/"
    if (unit.yes("ProtectHome") or unit.last("ProtectHome") == "tmpfs") and text.startswith(_below(HOMES)):
        return f"ProtectHome={unit.last('ProtectHome')}"
    if unit.yes("PrivateTmp") and text.startswith(_below(TEMPORARY)):
        return "PrivateTmp=yes"
    if text.startswith(_below([one.lstrip("-+") for one in unit.words("InaccessiblePaths")])):
        return "InaccessiblePaths="
    return ""


def _below(paths: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{path.rstrip('/')}/" for path in paths)


def nearest(directory: Path) -> Path:
    """A directory, or its nearest parent that exists."""
    directory = directory.absolute()
    while not directory.exists():
        directory = directory.parent
    return directory


def judge_directories(
    unit: Unit, user: User, directories: dict[str, Path], may: dict[Question, bool]
) -> Iterator[Problem]:
    """The directories, by the key that names them, that the service could not write to."""
    own = _below([f"{base}/{name}" for key, base in OWN.items() for name in unit.words(key)])
    listed = unit.words("ReadWritePaths")
    for path in listed:
        if not path.startswith("-") and not Path(path.lstrip("+")).exists():
            what = f"{path} does not exist: the service fails with 226/NAMESPACE"
            yield Problem(f"{unit.name}: ReadWritePaths", what, "create it, owned by the unit's user")
    writable = (*own, *_below([path.lstrip("-+") for path in listed]))
    for key, directory in directories.items():
        text, existing = f"{directory.absolute()}/", nearest(directory)
        if why := hidden(unit, directory):
            yield Problem(key, f"{directory} is hidden from the service ({why})", "use /var/lib/ingestd")
        elif _read_only(unit, text) and not text.startswith(writable):
            hint = f"systemctl edit {unit.name}: [Service] ReadWritePaths={directory}"
            what = f"{directory} is read-only for the service (ProtectSystem={unit.last('ProtectSystem')})"
            yield Problem(key, what, hint)
        elif text.startswith(own) and not _is_below(existing, own):
            continue  # systemd creates it at the start, or gives it to the user
        elif not existing.is_dir():
            yield Problem(key, f"{existing} is not a directory", "name another")
        elif not may[existing, os.W_OK | os.X_OK]:
            name = user.name.partition(" ")[0]
            hint = f"install -d -o {name} -g {name} -m 0750 {directory}"
            yield Problem(key, f"user {user.name} may not write to {existing}", hint)


def _is_below(path: Path, directories: Sequence[str]) -> bool:
    return any(f"{path}/".startswith(one) and f"{path}/" != one for one in directories)


def _read_only(unit: Unit, directory: str) -> bool:
    protect = unit.last("ProtectSystem").lower()
    if protect == "strict":
        return not directory.startswith(_below(["/dev", "/proc", "/sys"]))
    full = ("/usr", "/boot", "/efi", "/etc") if protect == "full" else ("/usr", "/boot", "/efi")
    return protect not in ("", "no", "false", "off", "0") and directory.startswith(_below(full))
