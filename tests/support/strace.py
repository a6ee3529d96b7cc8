"""Faults in the system calls of a running process, by strace; they end when strace lets go of it."""

from __future__ import annotations

import functools
import re
import select
import shutil
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from tests.support.waiting import FAR

DETACH_SECONDS = 2.0


@functools.cache
def why_not() -> str:
    """Why no fault can be injected here; "" where it can."""
    strace = shutil.which("strace")
    if strace is None:
        return "there is no strace"
    with subprocess.Popen(["sleep", "60"]) as victim:
        attach = [strace, "-qq", "-o", "/dev/null", "-e", "inject=fdatasync:error=EIO", "-p", str(victim.pid)]
        with subprocess.Popen(attach, stderr=subprocess.PIPE) as tracer:
            deadline = time.monotonic() + FAR
            while tracer.poll() is None and not _traced(victim.pid) and time.monotonic() < deadline:
                time.sleep(0.01)
            traced = _traced(victim.pid)
            tracer.terminate()
            said = b"" if traced or tracer.stderr is None else tracer.stderr.read()
        victim.kill()
    return "" if traced else f"strace may not attach: {said.decode(errors='replace').strip()}"


def _traced(pid: int) -> bool:
    return (
        re.search(r"^TracerPid:\s+[1-9]", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE) is not None
    )


class Strace:
    """`inject`: one strace injection such as `fdatasync:error=EIO`. `also`: calls only written to `log`."""

    def __init__(self, pid: int, inject: str, log: Path, *, also: str = "") -> None:
        calls = ",".join(filter(None, [inject.partition(":")[0], also]))
        self.log = log
        self._pid = pid
        self._command = ["strace", "-f", "-y", "-s", "0", "-o", str(log), "-e", f"trace={calls}"]
        self._command += ["-e", f"inject={inject}", "-p", str(pid)]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stderr=subprocess.PIPE)
        assert self._process.stderr is not None
        self._wait(self._process.stderr)
        return self

    def _wait(self, said: IO[bytes]) -> None:
        """It holds every thread once it says so."""
        ready, _, _ = select.select([said], [], [], FAR)
        line = said.readline() if ready else b"nothing"
        if b"attached" not in line:
            raise RuntimeError(f"strace said {line!r}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.communicate(timeout=DETACH_SECONDS)
        except subprocess.TimeoutExpired:  # it waits out a delay; killed it lets go all the same
            self._process.kill()
            self._process.communicate()

    def calls(self) -> list[tuple[str, str, bool]]:
        """What was seen, in order: the call, the file it was about, whether it succeeded."""
        found = []
        for line in self.log.read_text(errors="replace").splitlines():
            match = re.match(r"\d+\s+(\w+)\(\d+<([^>]*)>.*\)\s+= (-?\d+)", line)
            if match is not None:
                found.append((match[1], match[2], int(match[3]) >= 0))
        return found
