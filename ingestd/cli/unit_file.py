"""A systemd unit as systemd puts it together: the unit's file, its drop-ins, specifiers (systemd.unit(5))."""

from __future__ import annotations

import re
import shlex
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ingestd.errors import IngestdError

# The first has the highest priority.
DIRECTORIES = ("etc/systemd/system", "run/systemd/system", "usr/local/lib/systemd/system",
               "usr/lib/systemd/system", "lib/systemd/system")  # fmt: skip
_SPECIFIER = re.compile(r"%([%inNplH])")
_UNITS = {"": 1, "s": 1, "sec": 1, "min": 60, "m": 60, "h": 3600, "hr": 3600, "ms": 0.001, "d": 86400}


@dataclass
class Unit:
    """A service. `files`: those it was read from, in the order in which they count."""

    name: str
    files: list[Path] = field(default_factory=list)
    settings: dict[str, list[str]] = field(default_factory=dict)

    def all(self, key: str) -> list[str]:
        """Every value of a setting of [Service], since the last empty one."""
        return self.settings.get(key, [])

    def last(self, key: str, default: str = "") -> str:
        """The value of a setting of which the last counts."""
        return next(reversed(self.all(key)), default)

    def yes(self, key: str) -> bool:
        """Whether a setting is on."""
        return self.last(key).lower() in ("yes", "true", "on", "1")

    def words(self, key: str) -> list[str]:
        """The words of a setting that is a list, such as paths."""
        return [word for value in self.all(key) for word in shlex.split(value)]

    def environment(self) -> dict[str, str]:
        """Environment=, and then the files of EnvironmentFile=. Raises IngestdError if one is missing."""
        found = dict(_assignment(word) for word in self.words("Environment") if "=" in word)
        for name in self.words("EnvironmentFile"):
            path = Path(name.removeprefix("-"))
            try:
                text = path.read_text("utf-8")
            except OSError as error:
                if name.startswith("-"):
                    continue
                raise IngestdError(f"{self.name}: EnvironmentFile={name}: {error.strerror}") from error
            words = (shlex.split(line, comments=True) for line in text.splitlines())
            found |= dict(_assignment(line[0]) for line in words if line and "=" in line[0])
        return found

    def command(self) -> list[str]:
        """The words of ExecStart=, without the characters that precede the program."""
        words = shlex.split(self.last("ExecStart"))
        return [words[0].lstrip("@-:+!"), *words[1:]] if words else []


def read(name: str, root: Path = Path("/")) -> Unit:
    """A service by its name, `.service` or not. `root`: of the directories of units.

    Raises IngestdError if there is no such unit.
    """
    name = name if name.endswith(".service") else f"{name}.service"
    prefix, at, instance = name.removesuffix(".service").partition("@")
    template = f"{prefix}@.service" if at else name
    unit = Unit(name)
    own = _first(root, name) or _first(root, template)
    if own is None:
        raise IngestdError(f"there is no unit {name}; `ingestd install-units` installs ingestd.service")
    folders = list(dict.fromkeys([f"{name}.d", f"{template}.d", "service.d"]))
    for path in [own, *_drop_ins(root, folders)]:
        unit.files.append(path)
        for key, value in _lines(path):
            values = unit.settings.setdefault(key, [])
            if value:
                values.append(_expanded(value, name, prefix, instance))
            else:
                values.clear()
    return unit


def seconds(text: str) -> float | None:
    """A time span (systemd.time(7)) in seconds; None for `infinity`, and for one that is not understood."""
    parts = re.findall(r"(\d+(?:\.\d+)?)\s*([a-z]*)", text.lower())
    if not parts or text.lower() == "infinity" or any(unit not in _UNITS for _, unit in parts):
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def _first(root: Path, name: str) -> Path | None:
    return next((path for one in DIRECTORIES if (path := root / one / name).is_file()), None)


def _drop_ins(root: Path, folders: list[str]) -> list[Path]:
    """By file name; one of a directory of higher priority hides those of the same name."""
    found: dict[str, Path] = {}
    for directory in DIRECTORIES:
        for folder in folders:
            for path in (root / directory / folder).glob("*.conf"):
                found.setdefault(path.name, path)
    return [path for _, path in sorted(found.items()) if path.is_file()]  # /dev/null hides, and is none


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """The settings of [Service] in a file."""
    section = ""
    for line in path.read_text("utf-8").replace("\\\n", " ").splitlines():
        line = line.strip()
        if line.startswith("["):
            section = line
        elif section == "[Service]" and "=" in line and not line.startswith(("#", ";")):
            key, _, value = line.partition("=")
            yield key.strip(), value.strip()


def _expanded(value: str, name: str, prefix: str, instance: str) -> str:
    host = socket.gethostname()
    values = {"%": "%", "i": instance, "n": name, "N": name.removesuffix(".service"), "p": prefix,
              "l": host.partition(".")[0], "H": host}  # fmt: skip
    return _SPECIFIER.sub(lambda found: values[found[1]], value)


def _assignment(word: str) -> tuple[str, str]:
    name, _, value = word.partition("=")
    return name, value
