"""Completion in a real bash; for zsh and fish, what their scripts ask the program and what it answers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

QUICKSTART = "conf/quickstart.toml"


@pytest.fixture
def program(tmp_path: Path) -> dict[str, str]:
    """An environment in which `ingestd` is a program."""
    path = tmp_path / "bin" / "ingestd"
    path.parent.mkdir()
    path.write_text(f'#!/bin/sh\nexec {sys.executable} -m ingestd "$@"\n')
    path.chmod(0o755)
    return {**os.environ, "PATH": f"{path.parent}:{os.environ['PATH']}"}


def in_bash(program: dict[str, str], *words: str) -> list[str]:
    """The answers to Tab behind these words."""
    line = " ".join(f"'{word}'" for word in words)
    script = (
        "source <(ingestd completion bash); "
        f"COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _ingestd_completion ingestd 2>/dev/null; "
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "--norc", "-c", script], env=program, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "answers"),
    [
        (("ingestd", "s"), {"serve", "sources", "send", "spool", "schema"}),
        (("ingestd", "spool", ""), {"ls", "verify", "export"}),
        (("ingestd", "audit", "--t"), {"--topic"}),
        (("ingestd", "replay", "--from", ""), {"files", "nginx-spill"}),
        (("ingestd", "tail", "-c", QUICKSTART, "--source", "d"), {"demo"}),
        (("ingestd", "tail", "-c", "/nowhere", "--source", "d"), set()),
    ],
)
def test_bash_completes(program: dict[str, str], words: tuple[str, ...], answers: set[str]) -> None:
    assert set(in_bash(program, *words)) == answers


def test_a_source_is_completed_from_the_configuration_that_the_environment_names(
    program: dict[str, str],
) -> None:
    assert in_bash(program | {"INGESTD_CONFIG": QUICKSTART}, "ingestd", "send", "--source", "") == ["demo"]


@pytest.mark.parametrize(
    ("shell", "asked", "answer"),
    [
        ("zsh", {"COMP_WORDS": "ingestd spool ve", "COMP_CWORD": "2"}, "verify"),
        ("fish", {"COMP_WORDS": "ingestd spool ve", "COMP_CWORD": "ve"}, "verify"),
    ],
)
def test_the_other_shells_are_answered(
    program: dict[str, str], shell: str, asked: dict[str, str], answer: str
) -> None:
    script = subprocess.run(["ingestd", "completion", shell], env=program, capture_output=True, text=True)
    variable, value = "_INGESTD_COMPLETE", f"{shell}_complete"
    assert f"{variable}={value} " in script.stdout
    asking = program | asked | {variable: value}
    done = subprocess.run(["ingestd"], env=asking, capture_output=True, text=True)
    assert answer in done.stdout
