"""The nginx file that is shipped, run as it is: only its paths and its port are put in place."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.daemon import ROOT
from tests.support.waiting import FAR

SHIPPED = ROOT / "nginx" / "ingestd.conf"
SHIPPED_SOCKET = "unix:/run/ingestd/ingestd.sock"
SHIPPED_LISTEN = "listen 80 default_server backlog=4096;"
SHIPPED_ERRORS = "error_log /var/log/nginx/error.log alert;"
SHIPPED_UNANSWERED = "access_log /var/log/nginx/ingestd-unanswered.log "
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


class NginxError(Exception):
    """nginx did not start; the message holds its error log."""


def binary() -> str | None:
    """nginx' path, or None; Debian keeps it outside an ordinary user's PATH."""
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


class Nginx:
    """nginx in front of the daemons that listen on `sockets`, with its files in `place`.

    As root its worker is www-data, so that the socket's mode and group are put to the test.
    """

    def __init__(self, place: Path, sockets: Sequence[Path]) -> None:
        self.place = place
        self.port = free_port()
        self.log_file = place / "nginx-error.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._config = place / "nginx.conf"
        self.unanswered = place / "ingestd-unanswered.log"
        shipped = SHIPPED.read_text().replace(SHIPPED_UNANSWERED, f"access_log {self.unanswered} ")
        shipped = shipped.replace(SHIPPED_ERRORS, f"error_log {self.log_file} warn;")  # for whoever debugs
        (place / "site.conf").write_text(site(shipped, sockets, self.port))
        self._config.write_text(_around(place))

    @property
    def address(self) -> tuple[str, int]:
        return ("127.0.0.1", self.port)

    def __enter__(self) -> Self:
        found = binary()
        if found is None:
            raise NginxError("there is no nginx: apt-get install nginx-light")
        files = ["-p", str(self.place), "-c", str(self._config), "-e", str(self.log_file)]
        command = ["setpriv", "--pdeathsig", "TERM", found, *files]
        with (self.place / "nginx.out").open("ab") as out:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        self._wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(FAR)
        print(
            "--- nginx' error log, its end", *(line[:300] for line in self.log().splitlines()[-8:]), sep="\n"
        )

    @property
    def pid(self) -> int:
        """The master process."""
        assert self._process is not None
        return self._process.pid

    def reload(self) -> None:
        """HUP, and wait until none of the old workers takes connections. Raises TimeoutError."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        deadline = time.monotonic() + FAR
        while not (old := set(children.read_text().split())):  # until it has workers HUP would end it
            time.sleep(0.01)
        os.kill(self.pid, signal.SIGHUP)
        while old & set(children.read_text().split()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"nginx' old worker is still there:\n{self.log()}")
            time.sleep(0.01)

    def _wait(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + FAR
        while time.monotonic() < deadline and self._process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(self.address) == 0:
                    return
            time.sleep(0.01)
        raise NginxError(self.log() + (self.place / "nginx.out").read_text())

    def log(self) -> str:
        """What its error log holds."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""


def site(shipped: str, sockets: Sequence[Path], port: int) -> str:
    """The shipped file with the tests' sockets and port. Raises ValueError where it is not as expected.

    Of several sockets each gets a line as the file shows it, commented out, for several.
    """
    line = re.compile(rf"^(\s*)server {re.escape(SHIPPED_SOCKET)}([^;]*);$", re.MULTILINE)
    several = re.search(r"^\s*# server unix:/run/ingestd/ingestd-1\.sock([^;]*);$", shipped, re.MULTILINE)
    if not line.search(shipped) or several is None or shipped.count(SHIPPED_LISTEN) != 1:
        raise ValueError(f"{SHIPPED} has other socket or listen lines than the tests know")

    def lines(found: re.Match[str]) -> str:
        parameters = found[2] if len(sockets) == 1 else several[1]
        return "\n".join(f"{found[1]}server unix:{path}{parameters};" for path in sockets)

    named = line.sub(lines, shipped)
    return named.replace(SHIPPED_LISTEN, f"listen 127.0.0.1:{port} default_server backlog=4096;")


def _around(place: Path) -> str:
    user = "user www-data;\n" if os.geteuid() == 0 else ""
    paths = "".join(f"  {kind}_temp_path {place}/nginx-{kind};\n" for kind in TEMPORARY)
    return f"""\
{user}worker_processes 1;
daemon off;
pid {place}/nginx.pid;
error_log {place}/nginx-error.log warn;
events {{ worker_connections 16384; }}
http {{
{paths}  include {place}/site.conf;
}}
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
