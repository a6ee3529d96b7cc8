"""What the disk takes by itself for what a commit asks of it: no answer after fdatasync can be sooner."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path

from bench.stats import Spread

# A commit at 10,000 requests/s has about 30 events.
APPEND = 32 * 1024
SECONDS = 2.0


def probe(folder: Path, seconds: float = SECONDS) -> list[float]:
    """Append and fdatasync one after the other for so long; returns each one's ms, sorted."""
    taken = []
    data = b"\0" * APPEND
    with tempfile.TemporaryFile(dir=folder) as file:
        end = time.monotonic() + seconds
        while (began := time.monotonic()) < end:
            os.write(file.fileno(), data)
            os.fdatasync(file.fileno())
            taken.append((time.monotonic() - began) * 1000)
    return sorted(taken)


def remark(probes: list[list[float]]) -> str:
    """Say what was seen, a probe a round."""
    figures = {"p50": 0.5, "p99": 0.99, "longest": 1.0}
    texts = []
    for name, share in figures.items():
        values = [taken[min(len(taken) - 1, int(len(taken) * share))] for taken in probes]
        spread = Spread(statistics.median(values), min(values), max(values))
        texts.append(f"{name} {spread.text(1)} ms")
    return (
        f"- the disk alone, appending {APPEND // 1024} KiB and fdatasync, {SECONDS:g} s a round with nothing "
        f"else of ours at work: {', '.join(texts)}"
    )
