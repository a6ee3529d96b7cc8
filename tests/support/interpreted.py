"""The checkout without what mypyc has compiled: its modules as Python runs them where it could not."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

from tests.support.daemon import ROOT

COPIED = (
    "ingestd", "tests", "conf", "nginx", "systemd", "bench", "findings", "README.md", "CHANGELOG.md",
    "LICENSE", "pyproject.toml",
)  # fmt: skip


def hot() -> list[Path]:
    """The modules that are compiled where that can be had."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    return [ROOT / "ingestd" / f"{name}.py" for name in settings["tool"]["ingestd"]["mypyc"]]


def built(module: Path) -> Path | None:
    """A module's compiled form, which Python prefers."""
    return next(module.parent.glob(f"{module.stem}.*.so"), None)


def copy(place: Path) -> Path:
    """Copy the checkout to `place`; there every module of the hot path is interpreted."""
    ignored = shutil.ignore_patterns(
        "__pycache__", ".hypothesis", "_hot__mypyc.*", *(f"{path.stem}.*.so" for path in hot())
    )
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, place / name, ignore=ignored, symlinks=True)
        else:
            shutil.copy(ROOT / name, place / name)
    return place
