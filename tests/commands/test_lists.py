"""The files that the commands of coverage and mutation name exist, and none that keeps events is left out."""

from __future__ import annotations

import pytest

from tests.commands.covered import DURABLE
from tests.commands.mutation.targets import TARGETS, explanations, unit_tests
from tests.support.daemon import ROOT


@pytest.mark.parametrize("module", TARGETS)
def test_a_module_to_put_bugs_into_exists_and_so_do_its_tests(module: str) -> None:
    assert [name for name in (module, *unit_tests(module)) if not (ROOT / name).is_file()] == []


@pytest.mark.parametrize("room", ["file", "spool"])
def test_bugs_are_put_into_every_module_that_keeps_events(room: str) -> None:
    there = {str(path.relative_to(ROOT)) for path in (ROOT / "ingestd" / room).glob("[!_]*.py")}
    assert there
    assert there - TARGETS.keys() == set()


def test_bugs_that_no_test_can_see_are_of_modules_that_are_tried() -> None:
    assert {module for module, _, _ in explanations()} - TARGETS.keys() == set()


@pytest.mark.parametrize("pattern", DURABLE)
def test_a_file_that_must_be_covered_exists(pattern: str) -> None:
    assert list(ROOT.glob(pattern)) != []
