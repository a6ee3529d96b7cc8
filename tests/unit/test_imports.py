"""The modules' ranks: imports point down only. And their sizes."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "ingestd"

# rank, group, modules. A module imports from lower ranks, and of its own rank only from its own group: so
# that buffer, protocol, sources and the sinks never import one another.
RANKS: list[tuple[int, str, str]] = [
    (
        0,
        "leaves",
        r"ingestd|_build|errors|event|replies|systemd|descriptors|fsutil|wall|worker|duplicates|murmur2|_murmur2|_tally|native",
    ),
    (
        1,
        "contracts",
        r"config(_\w+)?|profiles|secrets|accounts|metrics|log|http1|manifest|following|masking|spill_log|tracing|surroundings",
    ),
    (1, "contracts", r"sinks|sinks\.base|sources|commands"),
    (2, "buffer", r"buffer"),
    (2, "protocol", r"protocol"),
    (2, "sources", r"sources\.\w+"),
    (2, "files", r"sinks\.(file|ndjson|recovery|retention|manifests)"),
    (2, "spool", r"sinks\.spool(_\w+)?"),
    (3, "kafka", r"sinks\.(_?kafka(_\w+)?|dead_letters|delivery|progress|transactions|trend)"),
    (3, "wrappers", r"sinks\.(both|aside|traced)"),
    (4, "pumps", r"router"),
    (4, "pumps", r"listener"),
    (4, "pumps", r"flusher"),
    (4, "pumps", r"admin"),
    (4, "pumps", r"sinks\.build"),
    (5, "app", r"app|report"),
    (6, "edges", r"cli(\.\w+)?|commands\.\w+|__main__"),
]
SOFT_LINES, HARD_LINES = 300, 450
SOFT_FUNCTION, HARD_FUNCTION = 50, 80


@dataclass(frozen=True)
class Module:
    """A module of the package: its name without `ingestd.`, and what it imports of the package."""

    name: str
    path: Path
    imports: frozenset[str]


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    if parts[-1] == "__init__":
        parts = parts[:-1]
    return ".".join(parts) or "ingestd"


@cache
def modules() -> dict[str, Module]:
    paths = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}
    return {name: Module(name, path, frozenset(imports(path, paths))) for name, path in paths.items()}


def imports(path: Path, known: dict[str, Path]) -> Iterator[str]:
    """The package's modules that a file imports, at its top or in a function; not those for types alone."""
    for node in without_type_checking(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            for alias in node.names:
                full = f"{node.module}.{alias.name}".removeprefix("ingestd.")
                if node.module.split(".")[0] == "ingestd":
                    yield full if full in known else node.module.removeprefix("ingestd.")
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "ingestd":
                    yield alias.name.removeprefix("ingestd.")


def without_type_checking(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            continue
        yield child
        yield from without_type_checking(child)


def rank(name: str) -> tuple[int, str]:
    for number, group, pattern in RANKS:
        if re.fullmatch(pattern, name):
            return number, f"{group}: {pattern}" if group == "pumps" else group
    pytest.fail(f"{name} has no rank; give it one in RANKS")


@pytest.mark.parametrize("name", modules())
def test_imports_point_down_only(name: str) -> None:
    own = rank(name)
    for imported in modules()[name].imports:
        if imported not in modules():  # a compiled module has no source to read, and imports nothing of ours
            continue
        other = rank(imported)
        below = other[0] < own[0] or other == own
        assert below, f"{name} (rank {own[0]}, {own[1]}) imports {imported} (rank {other[0]}, {other[1]})"


def test_no_module_imports_itself_by_way_of_others() -> None:
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, f"a cycle: {' > '.join((*way[way.index(name) :], name))}"
        if name in done:
            return
        for imported in sorted(modules()[name].imports - {name}):
            if imported in modules():
                visit(imported, (*way, name))
        done.add(name)

    for name in modules():
        visit(name, ())


def test_every_row_of_the_table_is_of_use() -> None:
    for number, group, pattern in RANKS:
        assert any(re.fullmatch(pattern, name) for name in modules()), f"nothing has rank {number}, {group}"


@pytest.mark.parametrize("part", ["buffer", "protocol", "http1"])
def test_the_parts_know_nothing_of_sources_and_sinks(part: str) -> None:
    reached: set[str] = set()
    waiting = [part]
    while waiting:
        for imported in modules()[waiting.pop()].imports:
            if imported in modules() and imported not in reached:
                reached.add(imported)
                waiting.append(imported)
    assert not [name for name in reached if name.startswith(("sources.", "sinks."))]


def test_the_parser_does_no_io() -> None:
    text = modules()["http1"].path.read_text("utf-8")
    assert not re.search(r"^(import|from) (asyncio|socket|os|logging)\b", text, re.MULTILINE)


# sizes


def functions(module: Module) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(module.path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield f"{module.name}.{node.name}", node.end_lineno - node.lineno + 1


def report(what: str, sizes: dict[str, int], soft: int, hard: int) -> None:
    """Say in the run's summary what is longer than is good; fail for what is longer than is bearable."""
    long = {name: size for name, size in sizes.items() if size > soft}
    if long:
        listed = ", ".join(f"{name} {size}" for name, size in sorted(long.items(), key=lambda one: -one[1]))
        warnings.warn(f"{what} of more than {soft} lines: {listed}", stacklevel=2)
    assert not [name for name, size in long.items() if size > hard]


def test_modules_are_short_enough_to_be_read() -> None:
    sizes = {
        module.name: len(module.path.read_text("utf-8").splitlines()) for module in modules().values()
    }  # fmt: skip
    report("modules", sizes, SOFT_LINES, HARD_LINES)


def test_functions_are_short_enough_to_be_read() -> None:
    sizes = dict(size for module in modules().values() for size in functions(module))
    report("functions", sizes, SOFT_FUNCTION, HARD_FUNCTION)
