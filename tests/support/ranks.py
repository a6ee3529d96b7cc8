"""The package's rooms and their ranks."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "ingestd"


# A folder is a rank. A room imports from lower ranks and from itself; rooms of one rank never import one
# another.
RANKS: dict[str, int] = {
    "ingestd": 0, "_build": 0, "errors": 0, "event": 0, "tally": 0,
    "system": 1, "config": 1, "http": 1,
    "pipeline": 2, "spool": 2,
    "sources": 3, "file": 3, "kafka": 3,
    "intake": 4, "sinks": 4,
    "admin": 5,
    "app": 6,
    "cli": 7, "__main__": 8,
}  # fmt: skip
