"""What the integration tests share: a directory nginx can reach, and real parts in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemon import Daemon
from tests.support.front import SOURCES, Front
from tests.support.needs import need_nginx
from tests.support.nginx import Nginx
from tests.support.place import open_place


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
