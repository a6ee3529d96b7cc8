"""Runs the tests that reach a mutant's line, in a process forked from one that has the libraries loaded."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import coverage

from tests.commands.mutation.mutants import Mutant
from tests.support import interpreted

LOADED = (
    "pytest", "hypothesis", "pydantic", "aiokafka", "cramjam", "orjson", "prometheus_client", "uvloop",
    "zstandard", "aiofiles", "click", "asyncio", "uuid_utils", "google_crc32c", "xxhash",
)  # fmt: skip
# A mutant that makes a test take so much longer does not end: it is seen. Seconds, and times as long.
GRACE, TIMES = 10.0, 5.0
# Tests beyond so many seconds are not run for one mutant.
MOST = 40.0


class Bench:
    """A copy of the checkout in `place` whose modules are changed, and what its tests are known to reach."""

    def __init__(self, place: Path, modules: Sequence[Path], tests: Sequence[str]) -> None:
        self.place = place
        self._modules = modules
        self._tests = list(tests)
        self._reach: dict[Path, dict[int, set[str]]] = {}
        self._took: dict[str, float] = {}
        interpreted.copy(place)  # what is compiled would hide the mutants
        for name in LOADED:
            importlib.import_module(name)

    def look(self) -> None:
        """Run the tests unchanged. Raises RuntimeError where they fail already."""
        took = self.place / "took.json"
        data = self.place / "reach"
        command = [sys.executable, "-m", "coverage", "run", f"--data-file={data}", "--source=ingestd"]
        command += ["--rcfile=/dev/null", "-m", "pytest", "-q", "-p", "tests.commands.mutation.noting"]
        done = subprocess.run(
            [*command, "-p", "no:cacheprovider", *self._tests],
            cwd=self.place,
            env=self._environment(MUTATION_TOOK=str(took)),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(
                f"the tests fail without a mutant:\n{done.stdout[-3000:]}{done.stderr[-2000:]}"
            )
        self._took = json.loads(took.read_text())
        reached = coverage.CoverageData(str(data))
        reached.read()
        for module in self._modules:
            lines: dict[int, set[str]] = defaultdict(set)
            for line, tests in reached.contexts_by_lineno(str(self.place / module)).items():
                lines[line] = set(tests)
            self._reach[module] = lines

    def tests_of(self, module: Path, mutant: Mutant) -> list[str]:
        """Those that reach its lines, quick ones first; of what runs at import all that reach the module."""
        lines = self._reach[module]
        found = set().union(*(lines.get(n, set()) for n in range(mutant.line, mutant.last_line + 1)))
        if "" in found:
            found = set().union(*lines.values())
        chosen, total = [], 0.0
        for test in sorted(found - {""}, key=lambda name: self._took[name]):
            total += self._took[test]
            if total > MOST:
                break
            chosen.append(test)
        return chosen

    def survives(self, module: Path, mutant: Mutant, tests: Sequence[str]) -> bool:
        """Whether these tests pass with the mutant in place."""
        target = self.place / module
        original = target.read_bytes()
        self._put(target, mutant.source)
        try:
            return self._passes(tests)
        finally:
            self._put(target, original)

    @staticmethod
    def _put(target: Path, source: bytes) -> None:
        """Compiled code is kept by a file's second and size, which two mutants may share: away with it."""
        target.write_bytes(source)
        for compiled in target.parent.glob(f"__pycache__/{target.stem}.*"):
            compiled.unlink()

    def _passes(self, tests: Sequence[str]) -> bool:
        deadline = time.monotonic() + GRACE + TIMES * sum(self._took[test] for test in tests)
        pid = os.fork()
        if pid == 0:
            self._child(tests)
        while time.monotonic() < deadline:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                self._clear(pid)
                return os.waitstatus_to_exitcode(status) == 0
            time.sleep(0.01)
        self._clear(pid)
        os.waitpid(pid, 0)
        return False

    def _clear(self, pid: int) -> None:
        """Whatever a test has left running or mounted goes with it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        for line in Path("/proc/self/mounts").read_text().splitlines():
            if (point := line.split()[1]).startswith(f"{self.place}/"):
                subprocess.run(["umount", "-l", point], check=False)

    def _child(self, tests: Sequence[str]) -> None:
        try:
            os.setsid()
            quiet = os.open(self.place / "output", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(quiet, 1)
            os.dup2(quiet, 2)
            os.chdir(self.place)
            os.environ.update(self._environment())
            sys.path.insert(0, str(self.place))
            for name in [name for name in sys.modules if name.split(".")[0] in ("tests", "ingestd")]:
                del sys.modules[name]
            import pytest

            hypothesis = importlib.import_module("hypothesis")
            phases = [hypothesis.Phase.explicit, hypothesis.Phase.generate]  # no need for the least example
            checks = [hypothesis.HealthCheck.too_slow]
            hypothesis.settings.register_profile(
                "mutants", phases=phases, database=None, deadline=None, suppress_health_check=checks
            )
            os.environ["HYPOTHESIS_PROFILE"] = "mutants"  # tests/conftest.py loads it
            status = pytest.main(
                ["-x", "-q", "-p", "no:cacheprovider", f"--basetemp={self.place}/tmp", *tests], [self]
            )
            os._exit(int(status))
        finally:
            os._exit(70)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Asked by pytest before each test: the alarm that nobody handles ends the process."""
        signal.setitimer(signal.ITIMER_REAL, GRACE + TIMES * self._took.get(nodeid, 0.0))

    def _environment(self, **more: str) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(self.place), **more}
