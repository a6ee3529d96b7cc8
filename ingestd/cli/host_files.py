"""The files a host needs beside the package, filled in: units, user, directories, nginx site, configuration.

The files are those of systemd/, nginx/ and conf/ in the checkout. `ingestd/data/` has links to them, which
become the files themselves in a built package: one source for both.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from ingestd.errors import IngestdError

BINARY, CONFIG, USER, SOCKET_GROUP = (
    "/opt/ingestd/bin/ingestd",
    "/etc/ingestd/ingestd.toml",
    "ingestd",
    "www-data",
)
SPILL_TIMER = "ingestd-spill.timer"
# Hidden from the service by ProtectHome= and PrivateTmp=.
HIDDEN = ("/home/", "/root/", "/run/user/", "/tmp/", "/var/tmp/")  # noqa: S108 - named, not used
# What systemd and nginx read as one word without quotes.
_WORD = re.compile(r"/[A-Za-z0-9._/+-]+")
_NAME = re.compile(r"[a-z_][a-z0-9_-]{0,30}")
_SINGLE = re.compile(r"^ *server unix:/run/ingestd/ingestd\.sock .*\n", re.MULTILINE)
_SEVERAL = re.compile(
    r"^( *)# (server unix:/run/ingestd/ingestd-)1(\.sock .*\n)(?: *# server .*\n)*", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Host:
    """The values to fill in. `instances`: 1 is ingestd.service, more are ingestd@1 to ingestd@N.

    Raises IngestdError for a value that a unit or nginx could not use.
    """

    binary: Path
    config: Path
    user: str = USER
    socket_group: str = SOCKET_GROUP
    instances: int = 1

    def __post_init__(self) -> None:
        for path in (self.binary, self.config):
            if not _WORD.fullmatch(str(path)):
                raise IngestdError(f"{path}: a unit takes a whole path of letters, digits and ._/+- only")
            if str(path).startswith(HIDDEN):
                raise IngestdError(
                    f"{path}: the service cannot see it (ProtectHome=, PrivateTmp=); "
                    "put the environment under /opt and the configuration under /etc"
                )
        for name in (self.user, self.socket_group):
            if not _NAME.fullmatch(name):
                raise IngestdError(f"{name!r} is not the name of a user or group")

    @property
    def names(self) -> list[str]:
        """The units' names, without .service and .socket."""
        return ["ingestd"] if self.instances == 1 else [f"ingestd@{n}" for n in range(1, self.instances + 1)]


@dataclass(frozen=True, slots=True)
class HostFile:
    """One file: its path, its text, and whether it is the user's own (`theirs`) once it exists."""

    path: Path
    text: str
    theirs: bool = False


def files(host: Host) -> list[HostFile]:
    """Every file, in the order in which they are used."""
    found = [
        HostFile(Path("/etc/sysusers.d/ingestd.conf"), _sysusers(host)),
        HostFile(Path("/etc/tmpfiles.d/ingestd.conf"), shipped("systemd/ingestd.tmpfiles")),
        HostFile(host.config, shipped("ingestd.toml"), theirs=True),
    ]
    units: dict[str, Callable[[Host, str], str]] = {"service": _service, "socket": _socket}
    for kind, fill in units.items():
        for name in ("ingestd", "ingestd@"):
            text = fill(host, shipped(f"systemd/{name}.{kind}"))
            found.append(HostFile(Path(f"/etc/systemd/system/{name}.{kind}"), text))
    for name in ("ingestd-spill.service", SPILL_TIMER):
        found.append(HostFile(Path("/etc/systemd/system") / name, shipped(f"systemd/{name}")))
    # The template's port is 940%i.
    for number in range(10, host.instances + 1):
        text = f"INGESTD_ADMIN_LISTEN=tcp:127.0.0.1:{9400 + number}\n"
        found.append(HostFile(Path(f"/etc/ingestd/{number}.env"), text, theirs=True))
    found.append(HostFile(Path("/etc/nginx/conf.d/ingestd.conf"), _site(host)))
    for name in ("http.conf", "server.conf"):  # `ingestd nginx` writes them for the sources
        found.append(
            HostFile(Path("/etc/nginx/ingestd") / name, shipped(f"nginx/ingestd/{name}"), theirs=True)
        )
    return found


def shipped(name: str) -> str:
    """A file of the package's data."""
    return resources.files("ingestd").joinpath("data", *name.split("/")).read_text("utf-8")


def _sysusers(host: Host) -> str:
    return _put(shipped("systemd/ingestd.sysusers"), f"u {USER} -", f"u {host.user} -")


def _service(host: Host, text: str) -> str:
    text = _put(text, f"={BINARY} ", f"={host.binary} ", f"=-{BINARY} ", f"=-{host.binary} ")
    text = _put(text, f" {BINARY} ", f" {host.binary} ", f"-c {CONFIG}", f"-c {host.config}")
    return _put(
        text, f"\nUser={USER}\n", f"\nUser={host.user}\n", f"\nGroup={USER}\n", f"\nGroup={host.user}\n"
    )


def _socket(host: Host, text: str) -> str:
    return _put(text, f"\nSocketGroup={SOCKET_GROUP}\n", f"\nSocketGroup={host.socket_group}\n")


def _site(host: Host) -> str:
    text = _put(shipped("nginx/ingestd.conf"), f"-c {CONFIG} ", f"-c {host.config} ")
    if host.instances == 1:
        return text
    found = _SEVERAL.search(text)
    if found is None:
        raise ValueError("the shipped site does not show how several instances are written")
    lines = "".join(f"{found[1]}{found[2]}{number}{found[3]}" for number in range(1, host.instances + 1))
    return _SINGLE.sub("", text.replace(found[0], lines))


def _put(text: str, *pairs: str) -> str:
    """Replace pairwise. Raises ValueError where one is not there: a bug of ours."""
    for old, new in zip(pairs[::2], pairs[1::2], strict=True):
        if old not in text:
            raise ValueError(f"the shipped file has no {old!r}")
        text = text.replace(old, new)
    return text
