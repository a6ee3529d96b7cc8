"""Judges a configuration as a systemd unit would run it: its user, paths, credentials, sandbox and ports.

`ingestd check` typed by root may read and write everything; the service may not.
"""

from __future__ import annotations

import contextlib
import errno
import grp
import os
import pwd
import shlex
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ingestd.cli.check_unit_paths import Question, User, access, hidden, judge_directories, nearest
from ingestd.cli.unit_file import Unit, seconds
from ingestd.config.sections import Config
from ingestd.errors import IngestdError, Problem

SPARE_DESCRIPTORS = 256
NOBODY = 65534


def user_of(unit: Unit) -> User:
    """The unit's user. Raises IngestdError if it does not exist."""
    name = unit.last("User", "root")
    if unit.yes("DynamicUser"):
        return User(f"{name} (DynamicUser=)", NOBODY, (NOBODY,))
    try:
        entry = pwd.getpwnam(name)
        group = grp.getgrnam(unit.last("Group")).gr_gid if unit.last("Group") else entry.pw_gid
        more = [grp.getgrnam(one).gr_gid for one in unit.words("SupplementaryGroups")]
    except KeyError as error:
        raise IngestdError(f"{unit.name}: {error.args[0]}; run `systemd-sysusers ingestd.conf`") from error
    return User(name, entry.pw_uid, (group, *os.getgrouplist(name, group), *more))


def credentials(unit: Unit) -> dict[str, Path]:
    """The files that LoadCredential= gives to the service, by the names it sees them under."""
    found = {}
    for value in unit.all("LoadCredential"):
        name, _, path = value.partition(":")
        if path.startswith("/"):
            found[name] = Path(path)
    return found


def config_of(unit: Unit) -> Path | None:
    """The configuration that the unit's command names."""
    words = unit.command()
    for option in ("-c", "--config"):
        if option in words[:-1]:
            return Path(words[words.index(option) + 1])
    named = unit.environment().get("INGESTD_CONFIG")
    return Path(named) if named else None


@contextlib.contextmanager
def environment(unit: Unit) -> Iterator[dict[str, str]]:
    """The service's environment, with a directory of its credentials, as links to their files."""
    with tempfile.TemporaryDirectory(prefix="ingestd-check-") as directory:
        for name, path in credentials(unit).items():
            Path(directory, name).symlink_to(path)
        yield unit.environment() | {"CREDENTIALS_DIRECTORY": directory}


def judge(unit: Unit, path: Path, settings: Config, credentials_directory: Path) -> list[Problem]:
    """The problems the service will have. `path`: the configuration's; `settings`: loaded with `environment`.

    Raises IngestdError if the unit's user does not exist, or if only root can tell.
    """
    user, given = user_of(unit), credentials(unit)
    wanted = [*_program(unit), (path, os.R_OK)]
    secrets = {key: one for key, one in _secrets(settings) if one.parent != credentials_directory}
    places = directories(settings)
    wanted += [(one, os.R_OK) for one in secrets.values()]
    wanted += [(nearest(one), os.W_OK | os.X_OK) for one in places.values()]
    may = dict(zip(wanted, access(user, wanted), strict=True))
    return [
        *_judge_program(unit, user, may),
        *_judge_config(unit, user, path, may),
        *_judge_credentials(unit, given),
        *_judge_secrets(unit, user, secrets, may),
        *judge_directories(unit, user, places, may),
        *_judge_ports(unit, settings),
        *_judge_limits(unit, settings),
    ]


# the program


def _program(unit: Unit) -> list[Question]:
    """The program, the links to it, and its interpreter with the links to that."""
    words = unit.command()
    if not words:
        return []
    program = Path(words[0])
    chain = [*_links(program)]
    try:
        first = chain[-1].open("rb").readline(256)
    except OSError:
        first = b""
    if first.startswith(b"#!"):
        chain += _links(Path(shlex.split(os.fsdecode(first[2:]))[0]))
    return [(path, os.X_OK) for path in dict.fromkeys(chain)]


def _links(path: Path) -> Iterator[Path]:
    """A path, what it links to, and so on to the file itself; each with its directories resolved, too."""
    for _ in range(40):
        yield path
        path = path.parent.resolve() / path.name
        yield path
        if not path.is_symlink():
            return
        path = path.parent / os.readlink(path)  # noqa: PTH115 (readlink of Path is relative, too)


def _judge_program(unit: Unit, user: User, may: dict[Question, bool]) -> Iterator[Problem]:
    key = f"{unit.name}: ExecStart"
    chain = _program(unit)
    if not chain:
        yield Problem(key, "is missing", "`ingestd install-units` writes the units")
    for question in chain:
        path, _ = question
        if why := hidden(unit, path):
            hint = "install the environment under /opt, with an interpreter outside of it"
            yield Problem(key, f"{path} is hidden from the service ({why}): it fails with 203/EXEC", hint)
        elif not path.exists():
            yield Problem(key, f"{path} does not exist: the service fails with 203/EXEC", "--binary names it")
        elif not may[question]:
            yield Problem(key, f"user {user.name} may not run {path}", "chmod a+rx, on its directories too")


# files


def _judge_config(unit: Unit, user: User, path: Path, may: dict[Question, bool]) -> Iterator[Problem]:
    used = config_of(unit)
    if used is not None and used != path:
        yield Problem(f"{unit.name}: ExecStart", f"the service reads {used}, not {path}", f"check -c {used}")
    if why := hidden(unit, path):
        yield Problem("file", f"{path} is hidden from the service ({why})", "put it under /etc/ingestd")
    elif not may[path, os.R_OK]:
        yield Problem("file", f"user {user.name} may not read {path}", f"chmod 0644 {path}")


def _judge_credentials(unit: Unit, given: dict[str, Path]) -> Iterator[Problem]:
    for name, path in given.items():
        if not path.exists():
            what = f"{path} does not exist: the service fails with 243/CREDENTIALS"
            yield Problem(f"{unit.name}: LoadCredential", f"{name}: {what}", "create it, mode 0600")


def _secrets(settings: Config) -> Iterator[tuple[str, Path]]:
    for source in settings.source:
        for path in source.signature.key_file:
            yield f"source {source.name}: signature.key_file", path
        if source.privacy_key_file is not None:
            yield f"source {source.name}: privacy_key_file", source.privacy_key_file
    if settings.kafka is not None:
        security = settings.kafka.security
        for name in ("username_file", "password_file", "ca_file", "cert_file", "key_file"):
            if (path := getattr(security, name)) is not None:
                yield f"kafka.security.{name}", path


def _judge_secrets(
    unit: Unit, user: User, secrets: dict[str, Path], may: dict[Question, bool]
) -> Iterator[Problem]:
    for key, path in secrets.items():
        if path.exists() and (not may[path, os.R_OK] or hidden(unit, path)):
            hint = f"systemctl edit {unit.name}: [Service] LoadCredential={path.name}:{path}"
            yield Problem(key, f"user {user.name} may not read {path}", hint)


def directories(settings: Config) -> dict[str, Path]:
    """The directories that the daemon writes to, by the keys that name them."""
    found = {"file.directory": settings.file.directory} if settings.file is not None else {}
    if settings.kafka is not None:
        found["kafka.dead_letter_directory"] = settings.kafka.dead_letter_directory
        if settings.spool.enabled:
            found["spool.directory"] = settings.spool.directory
    return found


# ports and limits


def _judge_ports(unit: Unit, settings: Config) -> Iterator[Problem]:
    """A port that another process has; the service's own, while it runs, is not one."""
    addresses = {"admin.listen": [settings.admin.listen], "ingest.listen": list(settings.ingest.listen)}
    for key, listed in addresses.items():
        for address in listed:
            kind, _, rest = address.partition(":")
            if kind == "tcp" and _in_use(rest) and not _runs(unit):
                hint = f"`ss -ltnp` names the process; another port: {key} = ..."
                yield Problem(key, f"{address} is in use by another process", hint)


def _in_use(address: str) -> bool:
    host, _, port = address.rpartition(":")
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), int(port)))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False


def _runs(unit: Unit) -> bool:
    """Whether the service runs now; False where systemd does not."""
    try:
        asked = ["systemctl", "is-active", "--quiet", unit.name]
        return subprocess.run(asked, capture_output=True, timeout=10, check=False).returncode == 0  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return False


def _judge_limits(unit: Unit, settings: Config) -> Iterator[Problem]:
    stop = seconds(unit.last("TimeoutStopSec", "90s"))
    drain = settings.ingest.drain_timeout
    if stop is not None and stop <= drain:
        what = f"{stop:g} s is not more than ingest.drain_timeout, {drain:g} s: the shutdown is cut short"
        yield Problem(f"{unit.name}: TimeoutStopSec", what, f"write more than {drain:g}s")
    files = unit.last("LimitNOFILE").partition(":")[0]
    most = settings.ingest.max_connections
    if files.isdigit() and int(files) < most + SPARE_DESCRIPTORS:
        what = f"{files} is too few for ingest.max_connections = {most}"
        yield Problem(f"{unit.name}: LimitNOFILE", what, f"write at least {most + SPARE_DESCRIPTORS}")
