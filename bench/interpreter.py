"""The Python that runs ingestd: this one where it has what ingestd needs, else a venv in the cache."""

from __future__ import annotations

import functools
import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

from bench.paths import ROOT, cache_dir
from bench.procs import BenchError

_NEEDS = "import click, falcon, httptools, orjson, pydantic, uvloop, aiokafka, xxhash, uuid_utils"


@functools.cache
def python() -> str:
    """Return the interpreter's path. Raises BenchError where its packages cannot be installed."""
    if subprocess.run([sys.executable, "-c", _NEEDS], capture_output=True, check=False).returncode == 0:
        return sys.executable
    wanted = hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()[:12]
    home = cache_dir() / f"venv-{wanted}"
    binary = home / "bin" / "python"
    if not (home / "complete").exists():
        print(f"installing what ingestd needs into {home}", file=sys.stderr, flush=True)
        venv.create(home, with_pip=True, clear=True)
        _install(binary)
        (home / "complete").touch()
    return str(binary)


def _install(binary: Path) -> None:
    done = subprocess.run(
        [str(binary), "-m", "pip", "install", "-q", str(ROOT)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BenchError(f"pip could not install ingestd: {done.stderr.strip()}")


_DESCRIBE = """
import platform, sys, sysconfig
optimised = "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or "")
built = "optimised" if optimised else "the distribution's" if sys.base_prefix == "/usr" else "a plain"
print(platform.python_version(), f"({built} build)")
"""


def describe() -> str:
    """Return the version and kind of build of the interpreter: a plain build is up to 25 % slower."""
    done = subprocess.run([python(), "-c", _DESCRIBE], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def env(checkout: Path) -> dict[str, str]:
    """Return an environment in which ingestd is the checkout's, with no setting from outside."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("INGESTD_")}
    return kept | {"PYTHONPATH": str(checkout)}
