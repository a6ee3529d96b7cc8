"""A pytest plugin for the run without a mutant: which test runs which line, and how long it takes."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Generator

import coverage
import pytest

_took: dict[str, float] = {}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    running = coverage.Coverage.current()
    began = time.monotonic()
    if running is not None:
        running.switch_context(item.nodeid)
    try:
        return (yield)
    finally:
        _took[item.nodeid] = time.monotonic() - began
        if running is not None:
            running.switch_context("")


def pytest_sessionfinish() -> None:
    with open(os.environ["MUTATION_TOOK"], "w", encoding="utf-8") as file:
        json.dump(_took, file)
