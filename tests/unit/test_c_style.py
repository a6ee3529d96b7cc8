"""One style for all that is written in C: PEP 7, as ingestd/.clang-format has it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "ingestd"
FILES = sorted(str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.[ch]"))
LONGEST = 119


@pytest.mark.parametrize("name", FILES)
def test_a_file_keeps_to_the_style(name: str) -> None:
    text = (PACKAGE / name).read_text("utf-8")
    assert "\t" not in text
    assert "//" not in re.sub(r'"[^"\n]*"|/\*.*?\*/', "", text, flags=re.DOTALL), (
        "a comment that is not /* */"
    )
    for number, line in enumerate(text.splitlines(), 1):
        assert len(line) <= LONGEST, number
        assert "} else" not in line, f"{number}: else is on a line of its own"
        typed = re.match(r"(?:static|PyMODINIT_FUNC|int|void)\b[^=;]*\w\([^;]*$", line)
        assert not typed, f"{number}: the return type is on a line of its own"
