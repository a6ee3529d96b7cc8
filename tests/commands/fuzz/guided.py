"""The child in which atheris runs one target.

    python -m tests.commands.fuzz.guided TARGET <libFuzzer's arguments>

libFuzzer takes the process over and ends it, so it has one of its own.
"""

from __future__ import annotations

import logging
import sys

import atheris

with atheris.instrument_imports(include=["ingestd"]):
    from tests.commands.fuzz import engine

    TARGET = engine.load(sys.argv[1])


def main() -> None:
    """Hand the target over."""
    logging.disable()
    atheris.Setup([sys.argv[0], *sys.argv[2:]], TARGET.once)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
