"""What the package says to people, taken from its source: log lines, errors, help, output, docstrings."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "ingestd"
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
# Where errors, problems and metrics get their words.
RAISED = {"Problem", "AuditFinding", "SpoolFinding"}
METRICS = {"CounterMetricFamily", "GaugeMetricFamily", "HistogramMetricFamily", "family"}


class Text(NamedTuple):
    """One text. `kind`: log, error, help, output, metric or docstring. `path`: from the repository's root."""

    kind: str
    path: str
    line: int
    text: str


@cache
def texts() -> tuple[Text, ...]:
    """All of them."""
    return tuple(
        text for path in sorted(PACKAGE.rglob("*.py")) for text in of_module(path.read_text("utf-8"), path)
    )


def of_module(source: str, path: Path) -> Iterator[Text]:
    """Those of one module."""
    tree = ast.parse(source)
    where = str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else path.name
    click_room = where.startswith("ingestd/cli/")
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            for kind, part in _said_by_call(node, click_room):
                yield from _pieces(kind, where, part)
        elif isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            for argument in (*node.exc.args, *(one.value for one in node.exc.keywords)):
                yield from _pieces("error", where, argument)
        elif isinstance(node, ast.Dict) and where == "ingestd/admin/metrics.py":
            for value in node.values:
                yield from _pieces("metric", where, value)
        elif isinstance(node, ast.Return) and node.value and where == "ingestd/config/messages.py":
            yield from _pieces("error", where, node.value)
    yield from _docstrings(tree, where, click_room)


def _said_by_call(node: ast.Call, click_room: bool) -> Iterator[tuple[str, ast.expr]]:
    owner, name = _called(node.func)
    if "log" in owner and name in LEVELS and node.args:
        yield "log", node.args[0]
    elif name in RAISED:
        yield from (("error", argument) for argument in node.args)
        yield from (("error", one.value) for one in node.keywords)
    elif name in METRICS and len(node.args) > 1:
        yield "metric", node.args[1]
    elif (owner, name) == ("click", "echo") and node.args:
        yield "output", node.args[0]
    elif click_room:
        shown = (one.value for one in node.keywords if one.arg in ("help", "short_help", "epilog"))
        yield from (("help", one) for one in shown)


def _called(function: ast.expr) -> tuple[str, str]:
    """What is called, as `owner.name`; no owner where it is a plain name."""
    if isinstance(function, ast.Attribute):
        owner = function.value
        return owner.id if isinstance(owner, ast.Name) else "", function.attr
    return "", function.id if isinstance(function, ast.Name) else ""


def _pieces(kind: str, where: str, node: ast.expr) -> Iterator[Text]:
    """The literal pieces of a text: of an f-string those between the values."""
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str) and part.value.strip():
            yield Text(kind, where, part.lineno, part.value)


def _docstrings(tree: ast.Module, where: str, click_room: bool) -> Iterator[Text]:
    """Of public modules, classes and functions; of a command it is the help."""

    def visit(node: ast.AST, public: bool) -> Iterator[Text]:
        for child in ast.iter_child_nodes(node):
            if not isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            shown = public and not child.name.startswith("_")
            if shown and (text := ast.get_docstring(child)):
                kind = "help" if click_room and child.decorator_list else "docstring"
                yield Text(kind, where, child.lineno, text)
            if isinstance(child, ast.ClassDef):
                yield from visit(child, shown)

    if text := ast.get_docstring(tree):
        yield Text("docstring", where, 1, text)
    yield from visit(tree, public=True)
