"""Where tests are: in the rooms of the package; helpers in tests/support, long commands in tests/commands."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.support.ranks import PACKAGE

TESTS = PACKAGE.parent / "tests"
FILES = sorted(path.relative_to(TESTS) for path in TESTS.rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Names of the modules that a file imports."""
    found = set()
    for node in ast.walk(ast.parse((TESTS / path).read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{name.name}" for name in node.names)}
    return found


@pytest.mark.parametrize("path", FILES, ids=str)
def test_what_several_tests_need_is_in_support(path: Path) -> None:
    """No module imports a test's or a conftest's: such a helper would be looked for in vain."""
    shared = {name for name in imports(path) if name.startswith("tests.")}
    last = {name: name.rpartition(".")[2] for name in shared}
    assert {name for name in shared if last[name].startswith("test_") or last[name] == "conftest"} == set()


@pytest.mark.parametrize("path", FILES, ids=str)
def test_what_is_not_a_test_is_a_helper_or_a_command(path: Path) -> None:
    """A helper that stands between the tests of a folder is found by nobody else."""
    if path.parts[0] not in ("support", "commands"):
        assert path.name.startswith("test_") or path.name in ("conftest.py", "__init__.py")


def test_unit_tests_are_in_the_rooms_of_the_package() -> None:
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert {path.parts[1] for path in FILES if path.parts[0] == "unit" and len(path.parts) > 2} == {
        *rooms,
        "support",
    }
