"""Line and branch coverage of ingestd/, the daemons and commands that tests start included.

    python -m tests.commands.covered                         # the whole suite
    python -m tests.commands.covered tests/unit

Arguments go to pytest. At its end each file is listed with what is not covered. The exit status is 1 where a
test fails or a line of the code that keeps or reads events (DURABLE) is run by none.
"""

from __future__ import annotations

import fnmatch
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import coverage

from tests.support import interpreted

# Code that loses or garbles events where it is wrong.
DURABLE = (
    "ingestd/pipeline/*.py", "ingestd/http/fd_limit.py", "ingestd/event.py",
    "ingestd/system/durable.py", "ingestd/http/parser.py", "ingestd/http/raw_target.py", "ingestd/tally.py",
    "ingestd/http/connection.py", "ingestd/sources/router.py",
    "ingestd/intake.py", "ingestd/cli/spill_log.py", "ingestd/system/io_thread.py", "ingestd/file/*.py",
    "ingestd/kafka/*.py", "ingestd/spool/*.py",
    "ingestd/sources/body.py", "ingestd/sources/encoder.py", "ingestd/sources/macros.py",
    "ingestd/sources/privacy.py", "ingestd/sources/query.py",
    "ingestd/sources/signatures.py", "ingestd/sources/tokens.py", "ingestd/sources/source.py",
    "ingestd/sources/event_time.py",
    "ingestd/sources/null_values.py", "ingestd/cli/audit*.py", "ingestd/cli/replay*.py",
    "ingestd/cli/spill*.py", "ingestd/cli/spool.py",
)  # fmt: skip


def main() -> int:
    """The command."""
    with tempfile.TemporaryDirectory(prefix="coverage-") as folder:
        place = interpreted.copy(Path(folder) / "checkout")  # of what is compiled nothing is seen
        data = Path(folder) / "data"
        environment = {**os.environ, "COVERAGE_FILE": str(data)}
        pytest = ["-m", "pytest", "-q", *sys.argv[1:]]
        status = subprocess.call(
            [sys.executable, "-m", "coverage", "run", *pytest], cwd=place, env=environment
        )
        found = coverage.Coverage(data_file=str(data), config_file=str(place / "pyproject.toml"))
        found.combine([folder])
        found.report(show_missing=True, skip_covered=True)
        bare = list(missing(found, place))
    for name, lines in bare:
        print(f"NOT COVERED and durable: {name}: {lines}")
    return 1 if status or bare else 0


def missing(found: coverage.Coverage, place: Path) -> list[tuple[str, str]]:
    """Each durable file that has lines no test has run, and which."""
    bare = []
    for path in sorted((place / "ingestd").rglob("*.py")):
        name = str(path.relative_to(place))
        if any(fnmatch.fnmatch(name, pattern) for pattern in DURABLE):
            _, _, _, _, lines = found.analysis2(str(path))
            if lines:
                bare.append((name, lines))
    return bare


if __name__ == "__main__":
    sys.exit(main())
