"""The hot path is built whole or not at all: a part of it alone could not be imported."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

pytest.importorskip("setuptools", reason="no setuptools here, so a build that fails half way is NOT tested")

from setuptools import Distribution, Extension

from ingestd import _build
from ingestd.cli.version import COMPILED
from tests.support import compiled, interpreted
from tests.support.daemon import ROOT

MODULE = """
#include <Python.h>
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "%s"};
PyMODINIT_FUNC PyInit_%s(void) { return PyModule_Create(&definition); }
"""


@pytest.mark.parametrize("broken", [False, True], ids=["all build", "one does not"])
def test_where_one_module_does_not_build_none_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: bool
) -> None:
    sources = {"one": MODULE % ("one", "one"), "two": "#error broken" if broken else MODULE % ("two", "two")}
    for name, text in sources.items():
        (tmp_path / f"{name}.c").write_text(text)
    (tmp_path / "probe").mkdir()
    compiled.built_or_skip(tmp_path / "one.c", tmp_path / "probe")
    found = [Extension(name, [f"{name}.c"], optional=True) for name in sources]
    monkeypatch.setattr(_build, "_translated", lambda: found)
    monkeypatch.chdir(tmp_path)
    command = _build.BuildExt(Distribution({"name": "some", "ext_modules": []}))
    command.build_lib, command.build_temp = "lib", "temp"
    command.ensure_finalized()
    command.run()
    assert len(list(tmp_path.glob("lib/*.so"))) == (0 if broken else 2)


def test_every_c_source_is_an_extension_that_is_built() -> None:
    """One that pyproject.toml does not name is missing without a word: its fast path declines all."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
    modules = settings["ext-modules"]
    there = {str(path.relative_to(ROOT)) for path in (ROOT / "ingestd").rglob("*.c")}
    assert {source for module in modules for source in module["sources"]} == there
    assert {module["name"] for module in modules} | {"ingestd._hot__mypyc"} == set(COMPILED)


# GCC's own spellings of keywords, "Alternate Keywords" in its manual.
KEYWORDS = {
    "alignof", "asm", "attribute", "auto_type", "builtin_va_list", "complex", "const", "extension", "func",
    "imag", "inline", "label", "real", "restrict", "signed", "thread", "typeof", "volatile",
}  # fmt: skip


@pytest.mark.parametrize("module", interpreted.hot(), ids=lambda path: path.stem)
def test_no_attribute_is_a_keyword_of_c_once_it_is_translated(module: Path) -> None:
    """mypyc puts an underscore before it: of `_volatile` it makes `__volatile`, and the build falls back."""
    names = {
        node.attr
        for node in ast.walk(ast.parse(module.read_text("utf-8")))
        if isinstance(node, ast.Attribute)
    }
    assert not names & {f"_{keyword}" for keyword in KEYWORDS}
