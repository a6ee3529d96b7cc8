"""The ledger of the tests' load: who waits for successes is not kept waiting by refusals."""

from __future__ import annotations

import threading
import time

import pytest

from tests.support.oracle import Ledger


def answer(ledger: Ledger, status: int, times: int) -> threading.Thread:
    """Answer requests every 20 ms from another thread, as a load does."""

    def run() -> None:
        for _ in range(times):
            time.sleep(0.02)
            ledger.answered(ledger.next(), status, b"")

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_nothing_but_refusals_is_a_time_out() -> None:
    ledger = Ledger()
    thread = answer(ledger, 503, 50)
    began = time.monotonic()
    with pytest.raises(TimeoutError, match="no 1 more acks"):
        ledger.wait_for_acks(1, timeout=0.3)
    assert time.monotonic() - began < 0.9  # the refusals go on for a second
    thread.join()


def test_successes_that_keep_coming_are_waited_for() -> None:
    ledger = Ledger()
    thread = answer(ledger, 200, 40)
    ledger.wait_for_acks(40, timeout=0.6)
    thread.join()
    assert ledger.acks == 40
