"""Compiled parts, built from their source as it is now: as installed, or with the sanitizers to be fuzzed."""

from __future__ import annotations

import argparse
import importlib.util
import os
import random
import shlex
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.machinery import ExtensionFileLoader
from pathlib import Path
from types import ModuleType
from typing import Generic, TypeVar

import pytest

SANITIZED = ("-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")

Case = TypeVar("Case")


@dataclass(frozen=True)
class Fuzzed(Generic[Case]):
    """A compiled part that is held against Python, and how.

    `variants`: the compiler's flags by name. `cases`: inputs without end. `checking`: for a built extension
    the check of one case; it returns whether the extension did the work alone and raises AssertionError where
    the two differ. `seen`: a sentence with `{count}` cases, `{own}` of them done by the extension alone.
    """

    source: Path
    variants: dict[str, tuple[str, ...]]
    cases: Callable[[random.Random], Iterator[Case]]
    checking: Callable[[ModuleType], AbstractContextManager[Callable[[Case], bool]]]
    seen: str


def compare(
    part: Fuzzed[Case], module: ModuleType, rng: random.Random, seconds: float, at_most: int = sys.maxsize
) -> tuple[int, int]:
    """Check so many cases, or for so many seconds. Returns how many, how many the extension did alone."""
    own = count = 0
    with part.checking(module) as check:
        deadline = time.monotonic() + seconds
        for count, case in enumerate(part.cases(rng), 1):
            own += check(case)
            if count >= at_most or (not count & 255 and time.monotonic() >= deadline):
                break
    return count, own


def fuzz_for_a_moment(name: str, seconds: float) -> str:
    """Run the first and the last variant of a command; returns what it printed. Skips without sanitizers."""
    command = [sys.executable, "-m", name, "--seconds", str(seconds), "--seed", "11", "--quick"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if "FileNotFoundError" in ran.stderr or "libasan" in ran.stderr or "cannot find -lasan" in ran.stderr:
        pytest.skip(f"no sanitizers here, so memory safety is NOT tested: {ran.stderr[-300:]}")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def variants(*small_buffers: str) -> dict[str, tuple[str, ...]]:
    """The compiler's flags: with SSE2 and without, memory from the stack or, by small buffers, the heap."""
    bytewise = "-U__SSE2__"
    return {
        "SSE2, stack": (),
        "SSE2, heap": small_buffers,
        "bytewise, stack": (bytewise,),
        "bytewise, heap": (bytewise, *small_buffers),
    }


def build(source: Path, directory: Path, *flags: str) -> Path:
    """Compile an extension. OSError: no compiler. CalledProcessError: it does not build."""
    library = directory / f"{source.stem}.so"
    include = sysconfig.get_path("include")
    subprocess.run(
        [*_compiler(), "-shared", "-fPIC", "-O3", *flags, f"-I{include}", str(source), "-o", str(library)],
        check=True,
    )
    return library


def load(library: Path) -> ModuleType:
    """A built extension, whatever is installed."""
    loader = ExtensionFileLoader(library.stem, str(library))
    spec = importlib.util.spec_from_loader(library.stem, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def built_or_skip(source: Path, directory: Path) -> ModuleType:
    """The extension of the source as it is now: what is installed may be older."""
    try:
        return load(build(source, directory, "-Wall", "-Wextra", "-Wno-unused-function"))
    except OSError as error:
        pytest.skip(f"no C compiler, so {source.name} is NOT tested: {error}")


def main(name: str, description: str | None, part: Fuzzed[Case]) -> int:
    """Build each variant and compare it in a process of its own. `name`: of the module that calls."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60, help="for all variants together")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    parser.add_argument("--quick", action="store_true", help="the first and the last variant: all flags once")
    parser.add_argument("--extension", type=Path, help=argparse.SUPPRESS)  # in the Python of its own
    options = parser.parse_args()
    if options.extension:
        rng = random.Random(options.seed)
        count, own = compare(part, load(options.extension), rng, options.seconds)
        print(part.seen.format(count=count, own=own), flush=True)
        return 0
    worst = 0
    chosen = list(part.variants.items())
    if options.quick:
        chosen = [chosen[0], chosen[-1]] if len(chosen) > 1 else chosen
    for variant, more in chosen:
        print(f"{variant}, seed {options.seed}: ", end="", flush=True)
        with tempfile.TemporaryDirectory() as directory:
            library = build(part.source, Path(directory), *SANITIZED, *more)
            arguments = ["--seconds", str(options.seconds / len(chosen)), "--seed", str(options.seed)]
            command = [sys.executable, "-m", name, *arguments, "--extension", str(library)]
            ran = subprocess.run(command, env=_sanitizer_environment(), check=False)
            worst = max(worst, abs(ran.returncode))
        options.seed += 1
    return 1 if worst else 0


def _sanitizer_environment() -> dict[str, str]:
    """What a plain Python needs to load a sanitized library.

    PYTHONMALLOC: each object from malloc, so that reading or writing past one is seen. Leaks are tested
    elsewhere: the interpreter keeps much until its end.
    """
    found = subprocess.run(
        [*_compiler(), "-print-file-name=libasan.so"], check=True, capture_output=True, text=True
    )
    preload = {"LD_PRELOAD": str(Path(found.stdout.strip()).resolve()), "ASAN_OPTIONS": "detect_leaks=0"}
    return {**os.environ, **preload, "PYTHONMALLOC": "malloc"}


def _compiler() -> list[str]:
    return shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
