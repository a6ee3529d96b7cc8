"""How ingestd is built: beside what is written in C, the modules of the hot path, compiled by mypyc.

Named in pyproject.toml, used by setuptools alone. Nothing needs it to run: where there is no compiler, or
mypyc fails, the same modules run interpreted, and `ingestd version` says so. All of them or none: they call
each other as C.
"""

from __future__ import annotations

import logging
import os
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Any

from setuptools.command.build_ext import build_ext

logger = logging.getLogger(__name__)

# Set to `no` they stay interpreted: to be traced, mutated, or changed and tried at once.
SWITCH = "INGESTD_MYPYC"


class BuildExt(build_ext):
    """setuptools' own step, with the modules of the hot path among its extensions."""

    def finalize_options(self) -> None:
        """Translate the modules to C, which takes mypy a moment."""
        self._hot = _translated()
        self.distribution.ext_modules = [*(self.distribution.ext_modules or []), *self._hot]
        super().finalize_options()

    def run(self) -> None:
        """Build everything. In a checkout what an earlier build left goes first: Python would prefer it."""
        if self.inplace:
            for module in ("_hot__mypyc", *_modules()):
                for old in Path("ingestd").glob(f"{module}.*.so"):
                    old.unlink()
        super().run()

    def build_extensions(self) -> None:
        """Build all; where one module of the hot path fails take all of them away again."""
        super().build_extensions()
        built = [Path(self.get_ext_fullpath(one.name)) for one in self._hot]
        if not all(path.exists() for path in built):
            for path in built:
                path.unlink(missing_ok=True)


def _modules() -> list[str]:
    settings = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))
    modules: list[str] = settings["tool"]["ingestd"]["mypyc"]
    return modules


def _translated() -> list[Any]:
    if os.environ.get(SWITCH) == "no":
        return []
    try:
        from mypyc.build import mypycify
    except ImportError:
        logger.warning("no mypyc: the hot path stays interpreted")
        return []
    # Of the dependencies only some are there while a package is built, and none is needed.
    options = ["--config-file=", "--ignore-missing-imports", "--follow-imports=silent"]
    extensions = []
    with suppress(SystemExit):  # its way to say that it failed, after it has said why
        extensions = mypycify(
            [*options, *(f"ingestd/{module}.py" for module in _modules())], group_name="ingestd._hot"
        )
    for extension in extensions:
        extension.optional = True
    return extensions
