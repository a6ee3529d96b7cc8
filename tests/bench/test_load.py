"""What is made of the load generator's report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.load import Load, Schedule, offer
from bench.procs import BenchError

REPORT = {
    "sent": 9, "unsent": 1, "ok": 6, "not_2xx": 2, "no_reply": 1, "seconds": 1.0, "received": 80, "closed": 0,
    "p50_ms": 1.0, "p99_ms": 2.0, "p999_ms": 3.0, "max_ms": 4.0, "lag_p99_ms": 0.5,
}  # fmt: skip


def offered(place: Path, **said: int) -> Load:
    """What a generator that says this would have offered."""
    program = place / "generator"
    program.write_text(f"#!/bin/sh\ncat <<.\n{json.dumps(REPORT | said)}\n.\n")
    program.chmod(0o755)
    return offer(Schedule(program, "127.0.0.1:1", place / "mix.json", 10, 1, 1))


def test_what_never_left_and_what_never_came_back_was_not_taken(tmp_path: Path) -> None:
    load = offered(tmp_path)
    assert (load.requests, load.ok, load.bad, load.uncounted, load.received) == (10, 6, 4, 1, 80)


def test_a_server_that_closes_keep_alive_connections_is_not_measured(tmp_path: Path) -> None:
    """The generator goes on, on new ones, which others did not have to pay for."""
    with pytest.raises(BenchError, match="closed 3 keep-alive connections"):
        offered(tmp_path, closed=3)
