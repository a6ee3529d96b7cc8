"""Start and stop processes, and read from /proc what they cost."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

TICKS = os.sysconf("SC_CLK_TCK")
START_SECONDS = 20.0


class BenchError(Exception):
    """The benchmark cannot go on: a tool is missing, or a process failed to start, serve or stop."""


@dataclass(frozen=True)
class Usage:
    """What a process and its descendants have used so far; times in seconds."""

    user: float
    system: float
    written: int  # bytes sent to the disk, counted by the kernel in whole pages
    voluntary: int  # context switches: it waited for something
    involuntary: int  # context switches: something else wanted the core

    @property
    def cpu(self) -> float:
        """User and system time together."""
        return self.user + self.system

    def __sub__(self, earlier: Usage) -> Usage:
        return Usage(
            self.user - earlier.user,
            self.system - earlier.system,
            self.written - earlier.written,
            self.voluntary - earlier.voluntary,
            self.involuntary - earlier.involuntary,
        )


def tree(pid: int) -> list[int]:
    """Return pid and all its descendants that live."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").iterdir():
            found.extend(int(child) for child in (task / "children").read_text().split())
    return found


def usage(pids: Iterable[int]) -> Usage:
    """Read what the process trees of pids have used; exited children count once they were waited for."""
    user = system = 0.0
    written = voluntary = involuntary = 0
    for member in (member for pid in pids for member in tree(pid)):
        fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
        user += (int(fields[11]) + int(fields[13])) / TICKS
        system += (int(fields[12]) + int(fields[14])) / TICKS
        written += _field(Path(f"/proc/{member}/io"), "write_bytes")
        for task in Path(f"/proc/{member}/task").iterdir():
            voluntary += _field(task / "status", "voluntary_ctxt_switches")
            involuntary += _field(task / "status", "nonvoluntary_ctxt_switches")
    return Usage(user, system, written, voluntary, involuntary)


def peak_rss(pid: int) -> int:
    """Return the most memory the process tree has had resident, in bytes (pages shared count each time)."""
    return sum(_field(Path(f"/proc/{member}/status"), "VmHWM") * 1024 for member in tree(pid))


def machine_busy() -> float:
    """Return the seconds all cores have been busy since boot, whoever used them."""
    fields = [int(text) for text in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    user, nice, system, _idle, _iowait, irq, softirq, steal = fields
    return (user + nice + system + irq + softirq + steal) / TICKS


def _field(file: Path, name: str) -> int:
    for line in file.read_text().splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0])
    raise BenchError(f"{file} has no {name}")


class Child:
    """A daemon in the foreground with its output in a log file; leaving the with block stops it."""

    def __init__(self, name: str, command: list[str], log: Path, env: dict[str, str] | None = None) -> None:
        self.name = name
        self.log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=env
            )
        self.pid = self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        """End it at once, unless it has ended."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def wait_for(self, address: str | tuple[str, int], seconds: float = START_SECONDS) -> None:
        """Wait until a connection is accepted at a Unix path or a TCP address; where none is, it is ended."""
        try:
            self._wait_for(address, time.monotonic() + seconds)
        except BaseException:
            self.kill()
            raise

    def _wait_for(self, address: str | tuple[str, int], deadline: float) -> None:
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        while True:
            with socket.socket(family) as probe:
                try:
                    probe.connect(address)
                except OSError as error:
                    if self._process.poll() is not None:
                        raise BenchError(f"{self.name} ended at start:\n{self.tail()}") from error
                    if time.monotonic() > deadline:
                        raise BenchError(
                            f"{self.name} does not listen on {address}:\n{self.tail()}"
                        ) from error
                else:
                    return
            time.sleep(0.02)

    def stop(self, seconds: float = 30.0) -> None:
        """Ask it to end (SIGTERM) and wait, so that what it holds is on disk.

        Raises BenchError where it does not end by itself or ends with an error.
        """
        self._process.send_signal(signal.SIGTERM)
        try:
            status = self._process.wait(seconds)
        except subprocess.TimeoutExpired as error:
            raise BenchError(f"{self.name} did not stop in {seconds:.0f} s:\n{self.tail()}") from error
        if status not in (0, -signal.SIGTERM):
            raise BenchError(f"{self.name} ended with status {status}:\n{self.tail()}")

    def tail(self) -> str:
        """Return the end of its log."""
        return self.log.read_text(errors="replace")[-2000:]


def free_port() -> int:
    """Return a loopback TCP port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
