"""Where things are: the checkout, the cache (everything built goes there) and the results."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BENCH = ROOT / "bench"
RESULTS = BENCH / "results"
CALLBACKS = ROOT / "ingestd" / "data" / "callbacks.json"


def cache_dir() -> Path:
    """Return the suite's own folder in the cache, made if absent.

    ``INGESTD_CACHE`` names the cache; without it the user's cache folder is taken.
    """
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = Path(os.environ.get("INGESTD_CACHE") or user / "ingestd") / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
