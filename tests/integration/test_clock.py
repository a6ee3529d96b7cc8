"""A machine that boots in 1970: no click of that year is taken, and all is well once the clock is right."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.checks import assert_books_balance
from tests.support.clock import WallClock
from tests.support.daemon import Daemon
from tests.support.waiting import until
from tests.support.wire import ask, request

ONE_HOUR = 3600


@pytest.mark.parametrize("sinks", ["file", "both"])
def test_a_clock_that_says_1970_is_told_and_clicks_are_refused_until_it_is_right(
    place: Path, sinks: str
) -> None:
    if reason := WallClock.why_not():
        pytest.skip(f"NO CLOCK: {reason}")
    clock = WallClock(place)
    clock.step(ONE_HOUR - time.time())
    sections: dict[str, Any] = {}
    if sinks == "both":  # Kafka is away: clicks wait in the spool, too
        sections["kafka"] = {"bootstrap": ["127.0.0.1:1"], "topic": "clicks"}
        sections["spool"] = {"directory": str(place / "spool")}
    with Daemon(place, **sections).start(clock.before) as daemon:
        for starts in (1, 2):
            until(lambda n=starts: daemon.log().count("the clock is wrong") == n, "a word about the clock")  # type: ignore[misc]
            ready = ask(daemon.admin, request("/readyz"))
            assert ready.status == 503
            assert ready.body.startswith(b"not ready: the clock says 1970-01-01T01:00:")
            refused = ask(daemon.socket, request("/c/demo?n=1"))
            assert (refused.status, refused.headers["retry-after"]) == (503, "1")
            if starts == 1:
                daemon.kill()
                daemon.start(clock.before)  # what was killed in 1970 starts in 1970
        clock.step(time.time() - ONE_HOUR)
        until(lambda: "the clock is right" in daemon.log(), "a word that it is right")
        assert ask(daemon.admin, request("/readyz")).status == 200
        assert ask(daemon.socket, request("/c/demo?n=2")).status == 200
        clock.step(ONE_HOUR - time.time())  # set back while it runs
        assert ask(daemon.socket, request("/c/demo?n=3")).status == 503
        clock.step(time.time() - ONE_HOUR)
        assert_books_balance(daemon)
        assert daemon.metrics()['events_rejected_total{reason="clock",source="demo"}'] == 2
        daemon.kill()
        daemon.start(clock.before)
        assert ask(daemon.socket, request("/c/demo?n=4")).status == 200
        assert [event["params"]["n"] for event in daemon.events()] == ["2", "4"]
        assert "Traceback" not in daemon.log()
