"""Restarts, upgrade, reloads, a kill and a hang under load: nobody is refused, nothing is lost or spilled.

Rounds of all of them, with the shipped time-outs: `python -m tests.commands.changes`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands.changes import REPEATING, SCENARIOS, Changes
from tests.support.checks import MIN_ACKS
from tests.support.needs import need_nginx


@pytest.mark.parametrize("name", SCENARIOS)
def test_under_load_nobody_notices_that_instances_are(place: Path, name: str) -> None:
    need_nginx()
    outcome = Changes(place, acks=300, timeout=1 if name == "hung" else None).run([name])
    assert outcome.problems(repeats=name in REPEATING) == []
    assert outcome.verdict.acked > MIN_ACKS
