"""The checkout installed into a virtual environment that can stand at /opt/ingestd in the guest."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[3]
INSTALLED_AT = "/opt/ingestd"
# The interpreter must stay visible to a service without home directories: the system's, or this one.
SYSTEM_PYTHON = Path("/usr/bin/python3")


def cache_directory() -> Path:
    """Where what takes long to fetch is kept, outside the checkout."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("INGESTD_CACHE") or Path(cache) / "ingestd")


def why_no_interpreter() -> str | None:
    """Why the daemon cannot be installed for the guest, or None."""
    test = "import sys; raise SystemExit(sys.version_info < (3, 11))"
    if SYSTEM_PYTHON.exists() and subprocess.run([SYSTEM_PYTHON, "-c", test], check=False).returncode == 0:
        return None
    return f"{SYSTEM_PYTHON} is no Python 3.11 or newer"


def install(directory: Path) -> Path:
    """A new environment under `directory` with the checkout's present state in it.

    Its libraries come from the cache. Raises CalledProcessError, with pip's words on stderr, when they are
    not there yet and the package index is out of reach.
    """
    place = directory / "venv"
    # Hard links where they can be: the libraries take 100 MB.
    linked = subprocess.run(["cp", "-al", _libraries(), place], stderr=subprocess.DEVNULL, check=False)
    if linked.returncode:
        shutil.rmtree(place, ignore_errors=True)
        subprocess.run(["cp", "-a", _libraries(), place], check=True)
    source = directory / "source"  # a copy: the build writes beside the sources
    for name in ("ingestd", "systemd", "nginx", "conf"):  # the package's data are links to the other three
        shutil.copytree(
            ROOT / name, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", "*.so")
        )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, source)
    _pip(place, "--no-deps", "--no-build-isolation", str(source))
    script = place / "bin" / "ingestd"
    script.write_text(script.read_text().replace(str(place), INSTALLED_AT, 1))
    return place


def _libraries() -> Path:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [*project["project"]["dependencies"], *project["build-system"]["requires"], "wheel"]
    version = subprocess.run([SYSTEM_PYTHON, "-V"], capture_output=True, check=True).stdout
    key = hashlib.sha256(repr((version, sorted(wanted))).encode()).hexdigest()[:12]
    place = cache_directory() / f"systemd-venv-{key}"
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test runs at once
        if not (place / "complete").exists():
            shutil.rmtree(place, ignore_errors=True)
            # Without a pip of its own: Debian's python3 makes such an environment without python3-venv.
            subprocess.run([SYSTEM_PYTHON, "-m", "venv", "--without-pip", place], check=True)
            _pip(place, *wanted)
            (place / "complete").touch()
    return place


def _pip(place: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--python", str(place / "bin" / "python")]
    command += ["install", "--quiet", "--no-input", "--disable-pip-version-check"]
    # To systemd it is the same whether the hot path is compiled, and this would take a minute.
    environment = os.environ | {"INGESTD_MYPYC": "no"}
    subprocess.run([*command, *arguments], check=True, stdout=subprocess.DEVNULL, env=environment)
