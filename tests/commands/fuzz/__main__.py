"""Runs a fuzz target for long, and prints how many inputs were tried.

    nice python -m tests.commands.fuzz protocol --seconds 3600
    nice python -m tests.commands.fuzz query --inputs 10000000

With atheris (pip install atheris, where there is a wheel for this Python) the inputs follow the coverage of
ingestd's Python code; without it, or with --plain, they are made by chance from --seed. Exit status 1: an
input fails, and is printed; put it into tests/commands/fuzz/corpus/<target> with the repair. --keep N takes
the N shortest inputs by which a guided run reached something new into that file.
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.commands.fuzz import engine
from tests.support import interpreted

MANY = 1 << 62


def main() -> int:
    """Run the target as the command line says."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.commands.fuzz",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("target", choices=engine.TARGETS)
    parser.add_argument("--seconds", type=float, help="how long (60 where --inputs is not given either)")
    parser.add_argument("--inputs", type=int, help="how many")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(31))
    parser.add_argument("--plain", action="store_true", help="by chance, not by coverage")
    parser.add_argument("--keep", type=int, default=0, metavar="N", help="add to the repository's corpus")
    options = parser.parse_args()
    logging.disable()  # of damage the parts under test say much
    if options.seconds is None and options.inputs is None:
        options.seconds = 60.0
    guided = not options.plain and importlib.util.find_spec("atheris") is not None
    if not guided and not options.plain:
        print("NOT GUIDED BY COVERAGE: there is no atheris here; inputs are made by chance", flush=True)
    began = time.monotonic()
    try:
        count = _guided(options) if guided else _plain(options)
    except engine.FailedError as error:
        print(f"{options.target}: {error}, seed {options.seed}", flush=True)
        return 1
    took = time.monotonic() - began
    how = "by coverage" if guided else "by chance"
    print(f"{options.target}: {count} inputs {how} in {took:.0f} s, seed {options.seed}: none fails")
    return 0


def _plain(options: argparse.Namespace) -> int:
    return engine.run(
        options.target,
        seed=options.seed,
        inputs=options.inputs or MANY,
        seconds=options.seconds or float("inf"),
    )


def _guided(options: argparse.Namespace) -> int:
    """Run atheris in a child, and count by its own last word. Raises FailedError."""
    target = engine.load(options.target)
    with tempfile.TemporaryDirectory(prefix="ingestd-fuzz-") as name:
        place = Path(name)
        corpus, found = place / "corpus", place / "found-"
        corpus.mkdir()
        for number, data in enumerate(engine.seeds(options.target)):
            (corpus / f"seed-{number}").write_bytes(data)
        words = ("".join(f"\\x{byte:02x}" for byte in token) for token in target.TOKENS if len(token) <= 60)
        (place / "words").write_text("".join(f'"{word}"\n' for word in words))
        arguments = [
            f"-seed={options.seed or 1}", f"-max_len={target.MAX_BYTES}", f"-dict={place / 'words'}",
            f"-artifact_prefix={found}", "-timeout=20", "-rss_limit_mb=2048", "-print_final_stats=1",
            "-verbosity=1", "-reload=0",
        ]  # fmt: skip
        if options.inputs:
            arguments.append(f"-runs={options.inputs}")
        if options.seconds:
            arguments.append(f"-max_total_time={max(1, int(options.seconds))}")
        said = place / "said"
        with said.open("wb") as out:
            command = [sys.executable, "-m", "tests.commands.fuzz.guided", options.target]
            command += [*arguments, str(corpus)]
            environment = {**os.environ, "TMPDIR": name}
            checkout = interpreted.copy(place / "checkout")  # what is compiled has no coverage to follow
            status = subprocess.run(
                command, cwd=checkout, stdout=out, stderr=out, env=environment, check=False
            ).returncode
        text = said.read_text(errors="replace")
        failing = sorted(place.glob("found-*"))
        done = re.search(r"stat::number_of_executed_units:\s*(\d+)", text)
        if status or failing or done is None:
            print(text[-4000:], flush=True)
            raise engine.FailedError(failing[0].read_bytes() if failing else b"(no input was left behind)")
        if options.keep:
            _keep(options.target, corpus, options.keep)
        return int(done[1])


def _keep(name: str, corpus: Path, most: int) -> None:
    """Take the shortest of the inputs that reached what none before them had."""
    known = set(engine.seeds(name))
    fresh = {path.read_bytes() for path in corpus.iterdir()} - known
    engine.keep(name, [*engine.kept(name), *sorted(fresh, key=lambda data: (len(data), data))[:most]])


if __name__ == "__main__":
    sys.exit(main())
