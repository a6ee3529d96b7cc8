"""What takes part: the seed's design in Go, its twin on Hertz, and nginx logging raw lines (the floor)."""

from __future__ import annotations

import abc
import hashlib
import json
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from bench import front
from bench.mix import canonical
from bench.paths import BENCH, cache_dir
from bench.procs import BenchError, Child

ROTATE_BYTES = 64 << 20  # small enough that every run rotates
SAMPLE_EVERY = 499  # one line in so many is compared with what its request says


@dataclass
class Stored:
    """What a contender left behind: events, their bytes, what is wrong with them, and figures besides."""

    events: int
    size: int
    wrong: list[str] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Place:
    """Where one contender runs once: its folder on a real disk, its socket, a free port if it needs one."""

    work: Path
    socket: Path
    port: int

    @property
    def out(self) -> Path:
        """The folder of its files."""
        return self.work / "out"


class Contender(abc.ABC):
    """Something that takes requests behind nginx and keeps them."""

    name: str
    what: str

    def absent(self) -> str | None:
        """Return why it cannot take part here, or None."""
        return None

    @abc.abstractmethod
    def command(self, place: Place) -> list[str]:
        """Write what it needs into the place and return its command line."""

    def start(self, place: Place) -> Child:
        """Start it and wait until it takes connections."""
        child = Child(self.name, self.command(place), place.work / f"{self.name}.log", self.env())
        child.wait_for(str(place.socket))
        return child

    def env(self) -> dict[str, str] | None:
        """Return its environment; None is the suite's own."""
        return None

    def upstream(self, place: Place) -> str:
        """Return what nginx forwards to."""
        return f"unix:{place.socket}"

    def admin(self, place: Place) -> tuple[int, ...]:
        """Return the loopback port of its metrics, where it has ingestd's."""
        return ()

    def front_extra(self) -> str:
        """Return nginx directives that only this contender needs."""
        return ""

    def stored(self, place: Place, known: set[str]) -> Stored:
        """Count what it kept, and compare a sample with the decodings that are right."""
        kept = [file for file in place.out.rglob("*") if file.name.endswith((".ndjson", ".ndjson.open"))]
        return read_events(sorted(kept), known)


def read_events(files: list[Path], known: set[str]) -> Stored:
    """Count the lines of NDJSON files; parse a sample and look its decoding up among those known."""
    kept = Stored(0, 0)
    for file in files:
        with file.open("rb") as lines:
            for line in lines:
                kept.size += len(line)
                kept.events += 1
                if kept.events % SAMPLE_EVERY == 0 and not kept.wrong:
                    kept.wrong.extend(_faults(line, known))
    return kept


def _faults(line: bytes, known: set[str]) -> list[str]:
    try:
        event = json.loads(line)
    except ValueError:
        return [f"not JSON: {line[:80]!r}"]
    if canonical(event.get("params"), event.get("body")) not in known:
        return [f"decoded wrongly: {line[:200]!r}"]
    return [] if event.get("signature") in ("ok", "none") else [f"signature refused: {line[:200]!r}"]


class Go(Contender):
    """One of the Go daemons under bench/contenders, built into the cache."""

    def __init__(self, name: str, what: str) -> None:
        self.name = name
        self.what = what

    def absent(self) -> str | None:
        return None if shutil.which("go") else "go is not on PATH"

    def command(self, place: Place) -> list[str]:
        place.out.mkdir()
        binary = go_build(f"./contenders/{self.name}")
        return [str(binary), f"-socket={place.socket}", f"-dir={place.out}", f"-rotate={ROTATE_BYTES}"]


def go_build(package: str) -> Path:
    """Build a package of bench/go.mod into the cache and return the program (fast when nothing changed)."""
    checkout = hashlib.sha256(str(BENCH).encode()).hexdigest()[:12]  # each has programs of its own
    binary = cache_dir() / f"bin-{checkout}" / Path(package).name
    env = os.environ | {"GOFLAGS": "-mod=mod"}
    command = ["go", "build", "-o", str(binary), package]
    done = subprocess.run(command, cwd=BENCH, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"go build {package} failed:\n{done.stderr}")
    return binary


class NginxFloor(Contender):
    """The least that can be done: C, no decoding, the request line as it came, written by a timer."""

    name = "nginx-floor"
    what = "nginx behind the socket logs the raw request line: no decoding, no rotation, no body"

    def command(self, place: Place) -> list[str]:
        place.out.mkdir()
        http = f"""\
  log_format raw escape=default '$msec $http_x_real_ip $request';
  access_log {place.out}/raw.log raw buffer=64k flush=200ms;
  server {{
    listen unix:{place.socket};
    location / {{ return 200 "ok"; }}
  }}
"""
        conf = place.work / "floor.conf"
        conf.write_text(front.shell(place.work, "floor", http))
        return [front.nginx_binary(), "-p", str(place.work), "-c", str(conf)]

    def stored(self, place: Place, known: set[str]) -> Stored:
        file = place.out / "raw.log"
        with file.open("rb") as lines:
            return Stored(sum(1 for _ in lines), file.stat().st_size)
