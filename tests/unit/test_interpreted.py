"""The hot path where mypyc could not compile it: its own tests once more, with every module interpreted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import interpreted

TESTS = (
    "unit/http/test_connection.py",
    "unit/test_intake.py",
    "unit/sources/test_router.py",
    "unit/pipeline/test_buffer.py",
    "unit/sources/test_body.py",
    "unit/sources/test_macros.py",
    "unit/sources/test_meaning.py",
    "unit/sources/test_signatures.py",
)
WHICH = "import ingestd.http.connection as c, ingestd.sources.source as s; print(c.__file__, s.__file__)"


def test_interpreted_it_does_the_same(tmp_path: Path) -> None:
    if interpreted.built(interpreted.hot()[0]) is None:
        pytest.skip(
            "nothing is compiled here: the whole suite runs interpreted, and the compiled is NOT tested"
        )
    place = interpreted.copy(tmp_path)
    loaded = run(place, "-c", WHICH)
    assert ".so" not in loaded.stdout
    ran = run(place, "-m", "pytest", "-q", "-p", "no:cacheprovider", *(f"tests/{name}" for name in TESTS))
    assert ran.returncode == 0, ran.stdout[-3000:]


def test_all_of_the_hot_path_is_compiled_or_nothing_of_it() -> None:
    assert len({interpreted.built(module) is None for module in interpreted.hot()}) == 1


def run(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=place, capture_output=True, text=True, check=False
    )
