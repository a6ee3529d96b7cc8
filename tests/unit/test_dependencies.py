"""What is installed fits what is declared. All offline: for known vulnerabilities run `pip-audit`, which asks
a service on the network and so is no part of these tests.
"""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PROJECT = PYPROJECT["project"]
DEPENDENCIES = [Requirement(text) for text in PROJECT["dependencies"]]
# What aiokafka loads by itself where it is there.
BY_OTHERS = {"cramjam"}
# What only building takes.
BUILDING = {Requirement(text).name for text in PYPROJECT["build-system"]["requires"]}
# A name many packages share: which of them the extra `otel` wants cannot be told from an import.
SHARED = {"opentelemetry"}
EXTRA = [Requirement(text) for text in PROJECT["optional-dependencies"]["signatures"]]
TESTING = [Requirement(text) for text in PROJECT["optional-dependencies"]["test"]]


def imported() -> set[str]:
    """The top-level names that the package's modules import."""
    names = set()
    for path in (ROOT / "ingestd").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                names |= {name.name.split(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.split(".")[0])
    return names - set(sys.stdlib_module_names) - {"ingestd", "__future__"} - SHARED


def normal(name: str) -> str:
    return name.lower().replace("_", "-")


def test_what_is_installed_agrees_with_itself() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "pip", "check"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("wanted", [*DEPENDENCIES, *EXTRA], ids=lambda wanted: wanted.name)
def test_a_dependency_is_installed_in_the_declared_range(wanted: Requirement) -> None:
    assert version(wanted.name) in wanted.specifier


@pytest.mark.parametrize("wanted", [*DEPENDENCIES, *EXTRA], ids=lambda wanted: wanted.name)
def test_a_dependency_has_a_lower_bound_and_comes_from_an_index(wanted: Requirement) -> None:
    assert any(one.operator in (">=", "~=", "==") for one in wanted.specifier)
    assert wanted.url is None


def test_the_package_imports_what_it_declares_and_declares_what_it_imports() -> None:
    owners = packages_distributions()
    used = {normal(owner) for name in imported() for owner in owners[name]}
    declared = {normal(wanted.name) for wanted in DEPENDENCIES}
    extra = {normal(wanted.name) for wanted in EXTRA}
    assert extra <= used, "an extra that nothing imports"
    assert used - BUILDING - extra == declared - BY_OTHERS


def test_tests_and_package_want_the_same_of_what_both_name() -> None:
    both = {normal(one.name) for one in TESTING} & {normal(one.name) for one in DEPENDENCIES}
    assert both == set()
