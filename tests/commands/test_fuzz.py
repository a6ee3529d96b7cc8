"""Each fuzz target for a fixed number of inputs; `python -m tests.commands.fuzz` runs them for longer."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

from tests.commands.fuzz import engine
from tests.support.daemon import ROOT, environment

# A second or two each; spools are slow, each input is a whole disk.
INPUTS = {"spool": 400, "configuration": 3000, "signatures": 3000, "public_keys": 3000}
SEED = 20260101


def ran(target: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.commands.fuzz", target, *options]
    return subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False)


@pytest.fixture(autouse=True)
def has_what_it_needs(request: pytest.FixtureRequest) -> None:
    if "public_keys" in request.node.name:
        pytest.importorskip("cryptography", reason="the extra `signatures` is not installed: NOT fuzzed")


@pytest.mark.parametrize("target", engine.TARGETS)
def test_no_input_of_the_corpus_fails(target: str) -> None:
    once = engine.load(target).once
    for data in engine.seeds(target):
        once(data)


@pytest.mark.parametrize("target", engine.TARGETS)
def test_no_input_made_by_chance_fails(target: str) -> None:
    inputs = INPUTS.get(target, 8000)
    assert engine.run(target, seed=SEED, inputs=inputs) == inputs


def test_the_corpus_is_of_targets_only_and_small() -> None:
    sizes = {path.name: path.stat().st_size for path in engine.CORPUS.iterdir()}
    assert set(sizes) <= set(engine.TARGETS)
    assert sum(sizes.values()) < 200_000


def test_a_failing_input_is_printed_and_the_run_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    class Buggy:
        SEEDS = (b"sound",)
        TOKENS = (b"bug",)
        MAX_BYTES = 50

        def once(self, data: bytes) -> None:
            assert b"bug" not in data

    monkeypatch.setattr(engine, "load", lambda name: Buggy())
    with pytest.raises(engine.FailedError) as failed:
        engine.run("buggy", seed=1, inputs=1000)
    assert b"bug" in failed.value.data


def test_the_long_run_says_how_many_inputs_it_tried() -> None:
    result = ran("query", "--inputs", "500", "--plain", "--seed", "7")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("query: 500 inputs by chance in ")


def test_the_run_that_follows_the_coverage_counts_its_inputs_too() -> None:
    if importlib.util.find_spec("atheris") is None:
        pytest.skip("NO ATHERIS: no wheel for this Python, so inputs that follow the coverage are NOT tested")
    result = ran("query", "--inputs", "3000", "--seed", "7")
    assert result.returncode == 0, result.stdout
    assert result.stdout.startswith("query: 3000 inputs by coverage in ")
