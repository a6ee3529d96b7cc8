"""The hot path is built whole or not at all: a part of it alone could not be imported."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("setuptools", reason="no setuptools here, so a build that fails half way is NOT tested")

from setuptools import Distribution, Extension

from ingestd import _build
from tests.support import compiled

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
