"""What the tests of sources share with those through nginx."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import open_place


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory of the test's own that nginx' worker may enter."""
    with open_place() as path:
        yield path
