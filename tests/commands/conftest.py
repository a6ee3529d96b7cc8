"""What the commands' short runs share: a directory nginx can reach, and a broker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.kafka.fixtures import kafka, kafka_session
from tests.support.place import open_place

__all__ = ["kafka", "kafka_session"]


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory of the test's own for sockets, configuration and files."""
    with open_place() as path:
        yield path
