"""The modules' ranks: imports point down only. And their sizes."""

from __future__ import annotations

import ast
import re
import warnings
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.support.ranks import PACKAGE, RANKS

# Of rank 0 these build on others of rank 0.
LEAVES = {"tally": {"event"}}
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


def room(name: str) -> str:
    """The folder a module is in; a module of the package's root is a room of its own."""
    return name.partition(".")[0]


@pytest.mark.parametrize("name", modules())
def test_imports_point_down_only(name: str) -> None:
    own = room(name)
    assert own in RANKS, f"{own} has no rank; give it one in RANKS"
    for imported in modules()[name].imports:
        if imported not in modules():  # a compiled module has no source to read, and imports nothing of ours
            continue
        other = room(imported)
        below = RANKS[other] < RANKS[own] or other == own or other in LEAVES.get(own, ())
        assert below, f"{name} (rank {RANKS[own]}) imports {imported} (rank {RANKS[other]})"


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


def test_every_rank_has_a_room() -> None:
    assert set(RANKS) == {room(name) for name in modules()}


# What a sink is, and what it says became of a batch, stands in `pipeline`.
@pytest.mark.parametrize(
    ("part", "others"), [("http", set()), ("pipeline", set()), ("spool", set()), ("file", {"pipeline"})]
)
def test_a_room_on_the_way_knows_no_other(part: str, others: set[str]) -> None:
    way = {"http", "sources", "pipeline", "file", "spool", "kafka"}
    reached: set[str] = set()
    waiting = [name for name in modules() if room(name) == part]
    while waiting:
        name = waiting.pop()
        for imported in modules()[name].imports:
            if imported in modules() and imported not in reached:
                reached.add(imported)
                waiting.append(imported)
    assert {room(name) for name in reached} & way - {part} == others


def test_no_class_name_is_there_twice() -> None:
    places = defaultdict(set)
    for module in modules().values():
        for node in ast.walk(ast.parse(module.path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef):
                places[node.name].add(module.name)
    assert not {name: where for name, where in places.items() if len(where) > 1}


def test_every_model_of_the_configuration_is_named_as_one() -> None:
    for name in ("config.sections", "config.source", "config.kafka"):
        for node in ast.parse(modules()[name].path.read_text("utf-8")).body:
            if isinstance(node, ast.ClassDef):
                assert node.name.endswith("Config"), f"{name}.{node.name}"


def test_the_root_of_the_package_is_small() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= 10


@pytest.mark.parametrize("name", ["http.parser", "http.raw_target", "http.request"])
def test_the_parser_does_no_io(name: str) -> None:
    text = modules()[name].path.read_text("utf-8")
    assert not re.search(r"^(import|from) (asyncio|socket|os|logging)\b", text, re.MULTILINE)


def test_every_error_is_one_of_the_family() -> None:
    """Or the command line would show it as a bug, with a traceback."""
    family = {"IngestdError"}
    found: dict[str, set[str]] = {}
    for module in modules().values():
        for node in ast.walk(ast.parse(module.path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef) and (bases := {ast.unparse(base) for base in node.bases}):
                found[node.name] = bases
    while more := {name for name, bases in found.items() if bases & family} - family:
        family |= more
    errors = {
        name for name, bases in found.items() if any(base.endswith(("Error", "Exception")) for base in bases)
    }
    assert len(errors) > 5
    assert errors <= family


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
