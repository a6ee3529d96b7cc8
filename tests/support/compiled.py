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
from collections.abc import Callable
from importlib.machinery import ExtensionFileLoader
from pathlib import Path
from types import ModuleType

import pytest

SANITIZED = ("-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")

# Compares what a module makes with what Python does, for so many seconds, and says in a line what was seen.
Fuzz = Callable[[ModuleType, random.Random, float], str]


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


def main(
    name: str, description: str | None, source: Path, flags: dict[str, tuple[str, ...]], fuzz: Fuzz
) -> int:
    """Build each variant of a source and fuzz it in a Python of its own. `name`: of the module that calls."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60, help="for all variants together")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    parser.add_argument("--quick", action="store_true", help="the first and the last variant: all flags once")
    parser.add_argument("--extension", type=Path, help=argparse.SUPPRESS)  # in the Python of its own
    options = parser.parse_args()
    if options.extension:
        print(fuzz(load(options.extension), random.Random(options.seed), options.seconds), flush=True)
        return 0
    worst = 0
    chosen = list(flags.items())
    if options.quick:
        chosen = [chosen[0], chosen[-1]]
    for variant, more in chosen:
        print(f"{variant}, seed {options.seed}: ", end="", flush=True)
        with tempfile.TemporaryDirectory() as directory:
            library = build(source, Path(directory), *SANITIZED, *more)
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
