"""Small changes to a module, one at a time: each is a bug that the tests should see."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
COMPUTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.LShift: ast.RShift, ast.RShift: ast.LShift, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
# What is only said to a person: a test that holds it fast word by word would be in the way.
SPOKEN = ("logger.", "print", "warnings.")


@dataclass(frozen=True)
class Mutant:
    """`line` is where it is, `text` that line as it was, `change` what became of a part of it."""

    line: int
    last_line: int
    text: str
    change: str
    source: bytes


def mutants(path: Path) -> list[Mutant]:
    """All of a module's, in the order of its lines."""
    source = path.read_bytes()
    tree = ast.parse(source)
    found = []
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    for node, new in _changes(tree):
        start = starts[node.lineno - 1] + node.col_offset
        end = starts[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0)
        was = source[start:end].decode()
        if was == new:
            continue
        text = source.splitlines()[node.lineno - 1].decode().strip()
        changed = source[:start] + new.encode() + source[end:]
        one = " ".join(was.split())
        found.append(Mutant(node.lineno, node.end_lineno or node.lineno, text, f"{one} -> {new}", changed))
    return sorted(found, key=lambda mutant: (mutant.line, mutant.change))


def _changes(tree: ast.AST) -> Iterator[tuple[ast.expr | ast.stmt, str]]:
    """A node of the source, and the text that takes its place."""
    for node in _alive(tree):
        if isinstance(node, ast.Expr | ast.Return | ast.Raise | ast.Continue | ast.Break | ast.AugAssign):
            yield from _statement(node)
        elif isinstance(node, ast.If | ast.While | ast.IfExp):
            if not isinstance(node.test, ast.Compare | ast.BoolOp | ast.UnaryOp | ast.Constant):
                yield node.test, f"(not {ast.unparse(node.test)})"
        elif isinstance(node, ast.expr):
            yield from _expression(node)


def _alive(node: ast.AST) -> Iterator[ast.AST]:
    """All that is run: no annotations, no docstrings, nothing that is only said."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "type_params"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or _spoken(child):
                continue
            yield child
            yield from _alive(child)


def _spoken(node: ast.AST) -> bool:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return True
    if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
        return True
    if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
        return True
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Call)
        and ast.unparse(node.value.func).startswith(SPOKEN)
    )


def _statement(node: ast.AST) -> Iterator[tuple[ast.stmt, str]]:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call | ast.Await):
        yield node, "pass"
    elif isinstance(node, ast.Return) and node.value is not None and ast.unparse(node.value) != "None":
        yield node, "return None"
    elif isinstance(node, ast.Raise):
        yield node, "pass"
    elif isinstance(node, ast.Continue):
        yield node, "break"
    elif isinstance(node, ast.Break):
        yield node, "continue"
    elif isinstance(node, ast.AugAssign) and type(node.op) in COMPUTED:
        other = copy.deepcopy(node)
        other.op = COMPUTED[type(node.op)]()
        yield node, ast.unparse(other)


def _expression(node: ast.expr) -> Iterator[tuple[ast.expr, str]]:
    if isinstance(node, ast.Compare):
        for number, operator in enumerate(node.ops):
            other = copy.deepcopy(node)
            other.ops[number] = COMPARED[type(operator)]()
            yield node, f"({ast.unparse(other)})"
    elif isinstance(node, ast.BoolOp):
        yield node, f"({ast.unparse(ast.BoolOp(_opposite(node.op), node.values))})"
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node, f"({ast.unparse(node.operand)})"
    elif isinstance(node, ast.BinOp) and type(node.op) in COMPUTED:
        yield node, f"({ast.unparse(ast.BinOp(node.left, COMPUTED[type(node.op)](), node.right))})"
    elif isinstance(node, ast.Constant):
        yield from _constant(node)


def _constant(node: ast.Constant) -> Iterator[tuple[ast.expr, str]]:
    value = node.value
    if isinstance(value, bool):
        yield node, str(not value)
    elif isinstance(value, int | float):
        yield node, str(value + 1)
    elif isinstance(value, str):
        yield node, repr(value + "X")
    elif isinstance(value, bytes):
        yield node, repr(value + b"X")


def _opposite(operator: ast.boolop) -> ast.boolop:
    return ast.Or() if isinstance(operator, ast.And) else ast.And()
