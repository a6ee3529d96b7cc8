"""What many tests ask at their end."""

from __future__ import annotations

from pathlib import Path

from tests.support.daemon import Daemon, lines
from tests.support.oracle import Ledger, Oracle, Verdict, build
from tests.support.wire import Address, ask

MIN_ACKS = 100


def verdict(ledger: Ledger, *instances: Daemon) -> Verdict:
    """Hold the files against the ledger; fails where anything is missing, altered or invented.

    The instances must have stopped in order: then there is no unfinished file.
    """
    oracle = Oracle(ledger)
    for path in _files(*instances):
        oracle.read(lines(path))
    result = oracle.verdict()
    assert result.problems() == []
    assert result.acked > MIN_ACKS, f"too few acks for the test to mean anything: {result}"
    return result


def _files(*instances: Daemon) -> list[Path]:
    unfinished = sorted({path for one in instances for path in one.directory.glob("*.open")})
    assert unfinished == []
    return sorted({path for one in instances for path in one.files()})


def assert_books_balance(daemon: Daemon) -> dict[str, float]:
    """received == rejected + unstored + stored, per source, in /status and in /metrics. Returns the latter.

    Nothing may be under way.
    """
    for name, source in daemon.status()["sources"].items():
        balance = sum(source["rejected"].values()) + source["unstored"] + source["stored"]
        assert source["received"] == balance, (name, source)
    metrics = daemon.metrics()
    sources = {key.partition("source=")[2] for key in metrics if key.startswith("events_received_total{")}
    for label in sources:
        source = label.rstrip("}")
        rejected = sum(
            value
            for key, value in metrics.items()
            if key.startswith("events_rejected_total{") and f"source={source}" in key
        )
        parts = [f"source_unstored_events{{source={source}}}", f"events_stored_total{{source={source}}}"]
        balance = rejected + sum(metrics[part] for part in parts)
        assert metrics[f"events_received_total{{source={source}}}"] == balance, (source, metrics)
    assert metrics["unstored_events"] == 0
    return metrics


def assert_fresh_event_passes(address: Address, ledger: Ledger) -> None:
    """After the fault a new event is taken and answered with success."""
    number = ledger.next()
    answer = ask(address, build(number))
    ledger.answered(number, answer.status, b"")
    assert answer.status == 200, answer
