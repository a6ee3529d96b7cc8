"""The ledger of the tests' load: who waits for successes is not kept waiting by refusals."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.oracle import Ledger
from tests.support.waiting import FAR


@contextmanager
def answers(ledger: Ledger, status: int) -> Iterator[None]:
    """Answer requests every 20 ms from another thread, as a load does, until the end of the block."""
    enough = threading.Event()

    def run() -> None:
        while not enough.wait(0.02):
            ledger.answered(ledger.next(), status, b"")

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        enough.set()
        thread.join(FAR)


def test_nothing_but_refusals_is_a_time_out() -> None:
    ledger = Ledger()
    with answers(ledger, 503), pytest.raises(TimeoutError, match="no 1 more acks"):
        ledger.wait_for_acks(1, timeout=0.1)


def test_successes_that_keep_coming_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long all of them take: here 20 s by the clock from each to the next."""
    ledger = Ledger()
    monkeypatch.setattr("tests.support.oracle.time.monotonic", lambda: 20.0 * ledger.acks)
    with answers(ledger, 200):
        ledger.wait_for_acks(20, timeout=30)
    assert ledger.acks >= 20
