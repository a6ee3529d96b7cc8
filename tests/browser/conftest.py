"""One browser for the tests of a file; without one they are skipped, and say so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.support import chromium
from tests.support.needs import need_nginx

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser. Tests that are coroutines cannot run beside it: it has an event loop of its own."""
    if reason := chromium.why_not():
        pytest.skip(reason)
    need_nginx()
    with chromium.chromium() as found:
        yield found
