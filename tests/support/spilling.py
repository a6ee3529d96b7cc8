"""nginx with the spill before instances that may be down, and the replay of what it wrote."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.support.daemon import Daemon, environment, ingestd
from tests.support.nginx import Nginx
from tests.support.waiting import FAR, at_most
from tests.support.wire import Answer, ask

DEMO: list[dict[str, object]] = [{"name": "demo", "path": "/c/demo"}]
SHIPPED_TIMEOUT = "proxy_read_timeout 10s"


class Net:
    """Instances (not started) behind nginx with the spill, all in `place`.

    `rate`, `requests`: nginx' limits for a source. `timeout`: seconds nginx waits for an instance, more on a
    busy machine, in place of the shipped ones, since a test waits for it; None leaves them.
    """

    def __init__(
        self,
        place: Path,
        *,
        instances: int = 1,
        sources: Sequence[dict[str, object]] = DEMO,
        rate: int = 20000,
        requests: int = 256,
        timeout: int | None = 1,
        make: Callable[..., Daemon] = Daemon,
    ) -> None:
        self.place = place
        self._rate = rate
        self._files = place / "nginx.d"
        self.daemons = [make(place, name=str(n), sources=sources) for n in range(instances)]
        self.spill = place / "ingestd.spill"
        self.switch = place / "no-spill"
        self.nginx = Nginx(place, [daemon.socket for daemon in self.daemons])
        self._files.mkdir()
        self._write(requests)
        edits = [("/etc/nginx/ingestd/", f"{self._files}/")]
        if timeout is not None:
            edits.append((SHIPPED_TIMEOUT, f"proxy_read_timeout {round(at_most(timeout))}s"))
        self._edit(place / "site.conf", *edits)

    def _write(self, requests: int) -> None:
        limits = ("--rate", str(self._rate), "--requests", str(requests))
        self.run("nginx", "-o", str(self._files), "--spill", str(self.spill), *limits)
        self._edit(self._files / "server.conf", ("/run/ingestd/no-spill", str(self.switch)))

    def limit(self, requests: int) -> None:
        """Another limit for the requests of a source, while nginx runs."""
        self._write(requests)
        self.nginx.reload()

    @staticmethod
    def _edit(path: Path, *pairs: tuple[str, str]) -> None:
        text = path.read_text()
        for old, new in pairs:
            assert old in text, old
            text = text.replace(old, new)
        path.write_text(text)

    def __enter__(self) -> Net:
        self.nginx.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        self.nginx.__exit__(*exception)
        for daemon in self.daemons:
            if daemon._process is not None:
                daemon.close()

    def run(self, command: str, *arguments: str, status: int = 0) -> str:
        """An ingestd command with the first instance's configuration."""
        line = ingestd(command, "-c", str(self.daemons[0].config), *arguments)
        done = subprocess.run(line, cwd=self.place, env=environment(), capture_output=True, text=True)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout

    def replay(self, *files: Path, status: int = 0) -> str:
        return self.run("replay", "--from", "nginx-spill", *map(str, files or [self.spill]), status=status)

    def ask(self, data: bytes) -> Answer:
        return ask(self.nginx.address, data)

    def spilled(self) -> int:
        """Lines in the spill log; nginx writes one just after its reply."""
        return self.spill.read_bytes().count(b"\n")

    def wait_for_lines(self, count: int) -> None:
        deadline = time.monotonic() + FAR
        while self.spilled() < count:
            assert time.monotonic() < deadline, f"{self.spilled()} lines, not {count}"
            os.sched_yield()

    def rotate(self) -> Path:
        """As logrotate does. Returns the old log."""
        old = self.spill.rename(self.spill.with_name("ingestd.spill.1"))
        os.kill(int((self.place / "nginx.pid").read_text()), signal.SIGUSR1)
        deadline = time.monotonic() + FAR
        while not self.spill.exists():
            assert time.monotonic() < deadline, "nginx has not opened its log anew"
            os.sched_yield()
        return old
