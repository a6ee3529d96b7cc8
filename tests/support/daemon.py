"""The real `ingestd serve`: started, watched, signalled, killed and looked into."""

from __future__ import annotations

import gzip
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson
import zstandard

from tests.support.waiting import FAR
from tests.support.wire import Answer, ask, request

ROOT = Path(__file__).resolve().parents[2]
# The keys that name a file of secrets. Shorter ones are words that may stand anywhere.
SECRET_KEYS = {"key_file", "privacy_key_file", "password_file", "username_file"}
SECRET_LENGTH = 8

Settings = Mapping[str, Mapping[str, object]]


class DaemonEndedError(Exception):
    """The daemon ended where it should not have; the message holds the end of its log."""


class Daemon:
    """One instance in `place`, a directory whose path is short (Unix sockets) and open to nginx' worker.

    `sections`: what the configuration has besides what every test needs. The admin listener is a Unix
    socket, so that no port can be taken.
    """

    def __init__(
        self,
        place: Path,
        *,
        name: str = "0",
        sources: Sequence[Mapping[str, object]] = ({"name": "demo", "path": "/c/demo"},),
        **sections: Mapping[str, object],
    ) -> None:
        self.place = place
        self.name = name
        self.socket = place / f"{name}.sock"
        self.admin = place / f"{name}.admin"
        self.config = place / f"{name}.toml"
        self.log_file = place / f"{name}.log"
        self.directory = Path(str(sections.get("file", {}).get("directory", place / "clicks")))
        self._sections = sections
        self._sources = sources
        self._process: subprocess.Popen[bytes] | None = None
        self.code = ROOT  # the directory the package is taken from
        self._notify: socket.socket | None = None
        self._said: list[str] = []
        self.heard: list[str] = []  # all that it ever said to its supervisor
        self.configure(sources=sources)

    def __enter__(self) -> Self:
        return self if self._process is not None else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # its life

    def configure(
        self, *, sources: Sequence[Mapping[str, object]] | None = None, **sections: Mapping[str, object]
    ) -> None:
        """Write the configuration file anew; a running daemon sees it at HUP or at its next start."""
        self._sources = self._sources if sources is None else sources
        group = "www-data" if os.geteuid() == 0 else ""
        base: dict[str, dict[str, object]] = {
            "ingest": {"listen": f"unix:{self.socket}", "socket_group": group, "instance": self.name},
            "file": {"directory": str(self.directory)},
            "admin": {"listen": f"unix:{self.admin}"},
        }
        for source in (self._sections, sections):
            for section, keys in source.items():
                base.setdefault(section, {}).update(keys)
        self.config.write_text(toml(base, self._sources))

    def spawn(self, before: Sequence[str] = (), pass_fds: Sequence[int] = ()) -> Self:
        """Start the process and do not wait. `before`: a command that ends in executing the daemon."""
        path = self.place / f"{self.name}.notify"
        path.unlink(missing_ok=True)
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(str(path))
        self._notify.setblocking(False)
        self._said.clear()
        # Should the test run be killed, the daemon goes with it.
        command = ["setpriv", "--pdeathsig", "KILL", *before, *ingestd("serve", "-c", str(self.config))]
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.place,
                env=environment(NOTIFY_SOCKET=str(path), PYTHONPATH=str(self.code)),
                pass_fds=pass_fds,
            )
        return self

    def start(self, before: Sequence[str] = (), pass_fds: Sequence[int] = ()) -> Self:
        """Start and wait until it says that it is ready. Raises DaemonEndedError."""
        self.spawn(before, pass_fds)
        self.wait_for("READY=1")
        return self

    def wait_for(self, word: str, timeout: float = FAR) -> None:
        """Wait for a line on the supervisor's socket (sd_notify). Raises DaemonEndedError, TimeoutError."""
        assert self._notify is not None
        pidfd = os.pidfd_open(self.pid)
        watched: list[Any] = [self._notify, pidfd]
        try:
            while word not in self._said:
                ready, _, _ = select.select(watched, [], [], timeout)
                if not ready:
                    raise TimeoutError(f"no {word} within {timeout} s:\n{self.log()[-2000:]}")
                if self._notify in ready:
                    said = self._notify.recv(4096).decode().split("\n")
                    self._said += said
                    self.heard += said
                else:
                    raise DaemonEndedError(self.log()[-2000:])
        finally:
            os.close(pidfd)
        del self._said[: self._said.index(word) + 1]

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def wait(self, timeout: float = FAR) -> int:
        """Wait for its end and return the exit status. Raises subprocess.TimeoutExpired."""
        assert self._process is not None
        status = self._process.wait(timeout)
        if self._notify is not None:
            self._notify.close()
        return status

    def stop(self, timeout: float = FAR) -> int:
        """TERM, and the exit status."""
        self.signal(signal.SIGTERM)
        return self.wait(timeout)

    def kill(self) -> None:
        """SIGKILL at once."""
        assert self._process is not None
        self._process.kill()
        self.wait()

    def close(self) -> None:
        """End it however it is, and show its log to whoever reads the test's output.

        No test's daemon may have said a secret it was given, whatever the test is about.
        """
        if self.running() and "COVERAGE_FILE" in os.environ:  # killed it would not say which lines it ran
            with suppress(subprocess.TimeoutExpired):
                self.stop(timeout=5)
        if self.running():
            self.kill()
        said = self.log() if self.log_file.exists() else ""
        for name, secret in secrets_of(self.config):
            assert secret not in said, f"{name} is in the log"
        if self.log_file.exists():
            print(f"--- log of instance {self.name}, its end\n{self.log()[-4000:]}")

    # what it shows

    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def look(self, path: str) -> Answer:
        """One reply of the admin listener."""
        return ask(self.admin, request(path))

    def status(self) -> dict[str, Any]:
        """/status"""
        status: dict[str, Any] = orjson.loads(self.look("/status").body)
        return status

    def metrics(self) -> dict[str, float]:
        """/metrics: `name{labels}` without the prefix `ingestd_` to its value."""
        text = self.look("/metrics").text
        pairs = re.findall(r"^ingestd_(\S+) (\S+)$", text, re.MULTILINE)
        return {name: float(value) for name, value in pairs}

    def resident(self) -> int:
        """Bytes of memory it has resident now."""
        text = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(r"^VmRSS:\s+(\d+) kB$", text, re.MULTILINE)
        assert found is not None
        return int(found[1]) * 1024

    def files(self, *, unfinished: bool = False) -> list[Path]:
        """Finished files, oldest name first; of one both plain and compressed only the latter."""
        paths = sorted(self.directory.glob("*.ndjson"))
        packed = sorted([*self.directory.glob("*.ndjson.gz"), *self.directory.glob("*.ndjson.zst")])
        both = {path.with_suffix("") for path in packed}
        paths = [path for path in paths if path not in both] + packed
        return paths + sorted(self.directory.glob("*.open")) if unfinished else paths

    def events(self, *, unfinished: bool = True) -> list[dict[str, Any]]:
        """Every event in the files."""
        return [orjson.loads(line) for path in self.files(unfinished=unfinished) for line in lines(path)]


def secrets_of(config: Path) -> list[tuple[str, str]]:
    """What the files hold that a configuration names as secrets, with the files' names."""
    try:
        tree = tomllib.loads(config.read_text())
    except (OSError, ValueError):  # some tests write what is none
        return []
    found: list[tuple[str, str]] = []
    waiting: list[object] = [tree]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting += one
        elif isinstance(one, dict):
            waiting += one.values()
            for name in (
                value for key, value in one.items() if key in SECRET_KEYS and isinstance(value, str)
            ):
                path = config.parent / name
                secrets = path.read_text(errors="replace").splitlines() if path.is_file() else []
                found += [(name, secret) for secret in secrets if len(secret) >= SECRET_LENGTH]
    return found


def lines(path: Path) -> Iterator[bytes]:
    """The lines of one file, which may be compressed; a last one without its newline is left out."""
    data = path.read_bytes()
    if path.suffix == ".gz":
        data = gzip.decompress(data)
    elif path.suffix == ".zst":
        data = zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True).read()
    return iter(data.split(b"\n")[:-1])


def ingestd(*arguments: str) -> list[str]:
    """The command line of the checkout under test."""
    return [sys.executable, "-m", "ingestd", *arguments]


def environment(**extra: str) -> dict[str, str]:
    """The environment without what would configure the daemon or tell it of another supervisor."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("INGESTD_", "LISTEN_", "WATCHDOG_"))}
    return {**kept, "PYTHONPATH": str(ROOT), **extra}


def toml(sections: Settings, sources: Sequence[Mapping[str, object]]) -> str:
    """A configuration as TOML. Values are text, numbers, booleans, lists or flat tables of these."""
    parts = [f"[{name}]\n{_keys(keys)}" for name, keys in sections.items()]
    parts += [f"[[source]]\n{_keys(keys)}" for keys in sources]
    return "\n".join(parts)


def _keys(keys: Mapping[str, object]) -> str:
    return "".join(f"{key} = {_value(value)}\n" for key, value in keys.items())


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_value(one)}" for key, one in value.items()) + " }"
    return json.dumps(value)  # a TOML string, number, boolean or list is written as JSON writes it
