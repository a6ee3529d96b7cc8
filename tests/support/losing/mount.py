"""The tests' handle on the losing file system: mounted on entering, cut, unmounted on leaving."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from tests.support.daemon import ROOT

START_SECONDS = 30.0


def why_not() -> str:
    """Why no such file system can be mounted here; "" where it can."""
    if os.geteuid() != 0:
        return "not root"
    if not Path("/dev/fuse").exists():
        return "no /dev/fuse"
    try:
        import mfusepy  # noqa: F401
    except (ImportError, OSError) as error:
        return f"mfusepy: {error}; install it with libfuse3 (Debian: libfuse3-3)"
    return ""


class LosingMount:
    """A losing file system on `mountpoint`, a directory that is made; its socket and log stand beside it."""

    def __init__(self, mountpoint: Path) -> None:
        self.mountpoint = mountpoint
        self._socket = mountpoint.with_suffix(".control")
        self._log = mountpoint.with_suffix(".log")
        self._server: subprocess.Popen[bytes] | None = None
        self._lines: IO[str] | None = None

    def __enter__(self) -> Self:
        self.mountpoint.mkdir()
        command = [
            sys.executable,
            "-m",
            "tests.support.losing.server",
            str(self.mountpoint),
            str(self._socket),
        ]
        with self._log.open("wb") as log:
            self._server = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + START_SECONDS
        while not (self._socket.exists() and self.mountpoint.is_mount()):
            if self._server.poll() is not None or time.monotonic() > deadline:
                raise OSError(f"cannot mount: {self._log.read_text()}")
            time.sleep(0.01)
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(self._socket))
        self._lines = connection.makefile("rw")
        connection.close()  # the file keeps it open
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        if self._lines is not None:
            self._lines.close()
        subprocess.run(["umount", "--lazy", str(self.mountpoint)], check=False, capture_output=True)
        try:
            self._server.wait(START_SECONDS)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()

    def _ask(self, command: str) -> str:
        assert self._lines is not None
        self._lines.write(command + "\n")
        self._lines.flush()
        return self._lines.readline().strip()

    def freeze(self) -> None:
        """The power is off: every call fails from now on."""
        assert self._ask("freeze") == "ok"

    def cut(self, variant: str, seed: int) -> None:
        """Lose what a disk of this kind loses, and have power again. Whoever had files open must be gone."""
        answer = self._ask(f"cut {variant} {seed}")
        assert answer == "ok", answer

    def lie(self) -> None:
        """From now on fsync does nothing and says that it did."""
        assert self._ask("lie") == "ok"

    def lost(self) -> int:
        """Changes of names or contents that cuts have lost so far."""
        return int(self._ask("lost"))
