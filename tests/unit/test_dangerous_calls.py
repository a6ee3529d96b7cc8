"""Nothing in the package turns data into code, or hands it to a shell."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "ingestd"
MODULES = sorted(PACKAGE.rglob("*.py"))

# What reads code or objects out of bytes, starts programs, or loads what a name from outside says.
MODULES_NOT_WANTED = {
    "pickle", "cPickle", "dill", "shelve", "marshal", "subprocess", "pty", "commands", "code", "codeop",
    "yaml", "ctypes", "runpy", "imp", "xmlrpc", "telnetlib", "ftplib",
}  # fmt: skip
CALLS_NOT_WANTED = {"eval", "exec", "compile", "__import__", "input", "breakpoint"}
ATTRIBUTES_NOT_WANTED = {
    ("os", "system"), ("os", "popen"), ("os", "execv"), ("os", "execve"), ("os", "execvp"), ("os", "spawnv"),
    ("os", "posix_spawn"), ("importlib", "import_module"), ("tempfile", "mktemp"),
    ("asyncio", "create_subprocess_shell"), ("asyncio", "create_subprocess_exec"),
}  # fmt: skip
# A command's module is loaded by its name in the table of commands, never by a name from outside.
# `check --unit` and `doctor` run a few fixed commands, such as systemctl, without a shell.
KNOWN = {
    "cli/__init__.py": ["import_module"],
    "cli/check_unit.py": ["subprocess"],
    "cli/doctor_report.py": ["subprocess"],
}


def found(tree: ast.AST) -> Iterator[str]:
    """What stands in a module and should not."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.split(".")[0] in MODULES_NOT_WANTED)
        elif isinstance(node, ast.ImportFrom):
            if (node.module or "").split(".")[0] in MODULES_NOT_WANTED:
                yield f"from {node.module}"
            yield from (n.name for n in node.names if (node.module, n.name) in ATTRIBUTES_NOT_WANTED)
        elif isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id in CALLS_NOT_WANTED:
                yield f"{node.func.id}()"
            yield from ("shell=" for keyword in node.keywords if keyword.arg == "shell")
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            pair = (node.value.id, node.attr)
            yield from (".".join(pair) for _ in range(pair in ATTRIBUTES_NOT_WANTED))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_runs_no_code_from_outside_and_no_program(path: Path) -> None:
    known = KNOWN.get(str(path.relative_to(PACKAGE)), [])
    assert list(found(ast.parse(path.read_text("utf-8")))) == known


@pytest.mark.parametrize(
    "code",
    [
        "import pickle", "from pickle import loads", "eval(x)", "exec(x)", "import subprocess",
        "os.system(x)",
        "run(x, shell=True)", "from os import system", "import ctypes.util",
        "importlib.import_module(x)",
    ],
)  # fmt: skip
def test_what_is_not_wanted_is_found(code: str) -> None:
    assert list(found(ast.parse(code))) != []
