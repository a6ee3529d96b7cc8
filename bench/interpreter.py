"""ingestd as a user gets it: installed by pip into a venv of its own in the cache, with what is compiled."""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from dataclasses import dataclass
from pathlib import Path

from bench.paths import BENCH, ROOT, cache_dir
from bench.procs import BenchError

_SOURCES = ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE")
_DESCRIBE = """
import platform, sys, sysconfig
optimised = "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or "")
built = "optimised" if optimised else "the distribution's" if sys.base_prefix == "/usr" else "a plain"
print(platform.python_version(), f"({built} build)")
"""


@dataclass(frozen=True)
class Installed:
    """A venv with one checkout's ingestd."""

    home: Path

    @property
    def python(self) -> str:
        """The venv's interpreter."""
        return str(self.home / "bin" / "python")

    @property
    def ingestd(self) -> str:
        """The installed command."""
        return str(self.home / "bin" / "ingestd")

    def env(self) -> dict[str, str]:
        """An environment with no setting of ingestd's, in which `bench` but no checkout can be imported."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("INGESTD_")}
        return kept | {"PYTHONPATH": str(self.home / "bench-only"), "PYTHONSAFEPATH": "1"}


@functools.cache
def installed(checkout: Path) -> Installed:
    """Install a checkout as it is now, unless that was done before. Raises BenchError."""
    how = f"{sys.executable} {sys.version} {checkout} {os.environ.get('INGESTD_MYPYC', '')}"
    place = hashlib.sha256(how.encode()).hexdigest()[:12]
    found = Installed(cache_dir() / f"venv-{place}")
    stamp = found.home / "content"
    content = _digest(checkout)
    if stamp.exists() and stamp.read_text() == content:
        return found
    print(f"installing {checkout} into {found.home}", file=sys.stderr, flush=True)
    if not stamp.exists():
        venv.create(found.home, with_pip=True, clear=True)
        (found.home / "bench-only").mkdir()
        (found.home / "bench-only" / "bench").symlink_to(BENCH)
    stamp.unlink(missing_ok=True)
    _install(found.python, checkout)
    stamp.write_text(content)
    return found


def _files(checkout: Path) -> list[Path]:
    package = [file for file in (checkout / "ingestd").rglob("*") if file.is_file()]
    kept = [file for file in package if "__pycache__" not in file.parts and file.suffix != ".so"]
    return sorted(kept) + [checkout / name for name in _SOURCES if (checkout / name).exists()]


def _digest(checkout: Path) -> str:
    digest = hashlib.sha256()
    for file in _files(checkout):
        digest.update(f"{file.relative_to(checkout)}\0".encode() + file.read_bytes())
    return digest.hexdigest()


def _install(python: str, checkout: Path) -> None:
    """Build from a copy, so that nothing is left in the checkout."""
    with tempfile.TemporaryDirectory(dir=cache_dir()) as folder:
        for file in _files(checkout):
            copy = Path(folder) / file.relative_to(checkout)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, copy)
        wheels = Path(folder) / "wheels"
        _pip(python, "wheel", "--no-deps", "--wheel-dir", str(wheels), folder)
        wheel = str(next(wheels.iterdir()))
        _pip(python, "install", wheel)
        _pip(python, "install", "--no-deps", "--force-reinstall", wheel)  # the same version, other code


def _pip(python: str, command: str, *arguments: str) -> None:
    done = subprocess.run(
        [python, "-m", "pip", command, "-q", *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BenchError(f"pip {command} {arguments[-1]}: {done.stderr.strip()}")


def measured() -> str:
    """Return a sentence for a command's help: which Python is measured, and how to choose another."""
    return (
        f"Measured is ingestd on Python {describe()}, {sys.executable}: the one this runs on, which PYTHON "
        "chooses (PYTHON=/usr/bin/python3)."
    )


def describe() -> str:
    """Return the version and kind of build of the interpreter: a plain build is up to 25 % slower."""
    done = subprocess.run([sys.executable, "-c", _DESCRIBE], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def main() -> None:
    """Run a module of the suite where ingestd is installed: ``python -m bench.interpreter MODULE ARGS``."""
    try:
        here = installed(ROOT)
    except BenchError as error:
        sys.exit(f"bench: {error}")
    os.execve(here.python, [here.python, "-m", *sys.argv[1:]], here.env())


if __name__ == "__main__":
    main()
