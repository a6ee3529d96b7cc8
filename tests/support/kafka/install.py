"""Where a real Apache Kafka comes from: its jars, copied once by Maven into a cache outside the checkout."""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.waiting import FAR

POM = Path(__file__).with_name("pom.xml")
MIN_JAVA = 17
DOWNLOAD_TIMEOUT = 600.0


class KafkaUnavailableError(Exception):
    """A real broker cannot run here; the message is the reason a skipped test shows."""


@dataclass(frozen=True)
class Installation:
    """A Java and the broker's jars."""

    java: str
    java_version: str
    jars: Path
    class_archive: Path
    """Java's class data archive, made by the first broker that stops in order: it halves the start."""

    @property
    def classpath(self) -> str:
        return f"{self.jars}/*"

    @property
    def kafka_version(self) -> str:
        """Version of the broker jar, such as 4.1.1."""
        return next(self.jars.glob("kafka-clients-*.jar")).stem.rpartition("-")[2]


def cache_root() -> Path:
    """The cache directory: INGESTD_CACHE, else XDG_CACHE_HOME/ingestd, else ~/.cache/ingestd."""
    if own := os.environ.get("INGESTD_CACHE"):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "ingestd"


def installation() -> Installation:
    """Find or fetch the broker.

    Raises KafkaUnavailableError where Java or the jars are missing and cannot be had.
    """
    found = _probe()
    if isinstance(found, str):
        raise KafkaUnavailableError(found)
    return found


@functools.cache
def _probe() -> Installation | str:
    """Probe once a run: a failed download is slow, and fails the same way the second time."""
    try:
        java, version = _java()
        jars = _jars()
    except KafkaUnavailableError as error:
        return str(error)
    return Installation(java, version, jars, jars.with_name(f"{jars.name}-java-{version}.jsa"))


def _java() -> tuple[str, str]:
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=f"{home}/bin") if home else shutil.which("java")
    if java is None:
        raise KafkaUnavailableError("no real Kafka: there is no java on PATH or in JAVA_HOME")
    printed = subprocess.run(
        [java, "-version"], capture_output=True, text=True, timeout=FAR, check=True
    ).stderr
    match = re.search(r'version "((\d+)[^"]*)"', printed)
    if match is None or int(match[2]) < MIN_JAVA:
        raise KafkaUnavailableError(
            f"no real Kafka: it needs Java {MIN_JAVA}, {java} says {printed.strip()!r}"
        )
    return java, match[1]


def _jars() -> Path:
    """The directory of jars for exactly this pom.xml, downloaded by whoever comes first."""
    root = cache_root()
    root.mkdir(parents=True, exist_ok=True)
    jars = root / f"kafka-{hashlib.sha256(POM.read_bytes()).hexdigest()[:12]}"
    with _locked(root / "kafka.lock"):
        if not jars.is_dir():
            _download(jars)
    return jars


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _download(jars: Path) -> None:
    mvn = shutil.which("mvn")
    if mvn is None:
        raise KafkaUnavailableError(
            "no real Kafka: its jars are not in the cache and there is no mvn to fetch them"
        )
    with tempfile.TemporaryDirectory(dir=jars.parent, prefix="kafka-download-") as scratch:
        command = [mvn, "-q", "-B", "-f", str(POM), "dependency:copy-dependencies"]
        command += ["-DincludeScope=runtime", f"-DoutputDirectory={scratch}/jars"]
        try:
            done = subprocess.run(
                command, cwd=scratch, capture_output=True, text=True, timeout=DOWNLOAD_TIMEOUT, check=False
            )
        except subprocess.TimeoutExpired:
            raise KafkaUnavailableError(f"no real Kafka: Maven took over {DOWNLOAD_TIMEOUT:.0f} s") from None
        if done.returncode != 0:
            lines = [line for line in done.stdout.splitlines() if "ERROR" in line]
            raise KafkaUnavailableError(f"no real Kafka: Maven failed: {' '.join(lines[:2])[:500]}")
        Path(scratch, "jars").rename(jars)
