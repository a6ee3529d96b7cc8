"""What the tests of the dashboard need: a broker and a directory of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.kafka.fixtures import kafka, kafka_session, topic, topic_name
from tests.support.place import open_place

__all__ = ["kafka", "kafka_session", "topic", "topic_name"]


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory of the test's own for sockets, configuration and files."""
    with open_place() as path:
        yield path
