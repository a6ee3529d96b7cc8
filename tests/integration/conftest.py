"""What the integration tests share: a directory nginx can reach, real parts in it, and the oracle."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.front import SOURCES, Front
from tests.support.daemon import Daemon
from tests.support.nginx import Nginx, binary
from tests.support.strace import why_not


@contextmanager
def open_place() -> Iterator[Path]:
    """A directory with a short path that nginx' worker may enter (pytest's own is closed to it)."""
    path = Path(tempfile.mkdtemp(prefix="ingestd-"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path)


def need_nginx() -> None:
    """Skip, and say so, where there is no nginx."""
    if binary() is None:
        pytest.skip("NO NGINX: install nginx-light, without it nothing is tested as users run it")


def need_root() -> None:
    """Skip, and say so, where no file system can be mounted."""
    if os.geteuid() != 0:
        pytest.skip("NO ROOT: a full or read-only disk needs a mount of its own")


def need_strace() -> None:
    """Skip, and say so, where no fault can be injected."""
    if reason := why_not():
        pytest.skip(f"NO FAULT INJECTION: {reason}")


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory of the test's own for sockets, configuration and files."""
    with open_place() as path:
        yield path


@pytest.fixture
def daemon(place: Path) -> Iterator[Daemon]:
    """A running instance with the default configuration."""
    with Daemon(place) as running:
        yield running


@pytest.fixture
def nginx(daemon: Daemon, place: Path) -> Iterator[Nginx]:
    """The shipped nginx in front of `daemon`."""
    need_nginx()
    with Nginx(place, [daemon.socket]) as running:
        yield running


@pytest.fixture(scope="module")
def front() -> Iterator[Front]:
    """A daemon with every platform's source behind the shipped nginx, for all tests of a file."""
    need_nginx()
    with open_place() as path, Daemon(path, sources=SOURCES) as daemon, Nginx(path, [daemon.socket]) as nginx:
        yield Front(daemon, nginx)
