"""Counters by source: what a commit says of its events is counted once, and by its source."""

from __future__ import annotations

from ingestd.event import Share
from ingestd.pipeline.counters import Counters, SourceCounters
from ingestd.pipeline.sink import CommitResult


def test_counters_are_one_a_source_and_outlive_what_opened_them() -> None:
    counters = Counters()
    assert counters.of("a") is counters.of("a")
    assert counters.of("a") is not counters.of("b")
    counters.refuse("not_found")
    counters.refuse("not_found")
    assert counters.refused == {"not_found": 2}


def test_a_settled_event_is_stored_or_rejected() -> None:
    source = SourceCounters("demo")
    source.received = source.unstored = 5
    source.settle(3, 300, None)
    source.settle(2, 200, "storage")
    source.reject("overload")
    assert (source.stored, source.stored_bytes, source.unstored) == (3, 300, 0)
    assert source.rejected == {"storage": 2, "overload": 1}
    assert source.received == source.stored + sum(source.rejected.values())


def test_the_result_of_a_commit_is_added_to_its_sources() -> None:
    counters = Counters()
    shares = {"a": Share(2, 200), "b": Share(1, 90)}
    counters.record(CommitResult(delivered={"file": shares}, spooled={"a": 2, "b": 1}))
    counters.record(
        CommitResult(
            delivered={"kafka": {"a": Share(1, 100)}},
            dead_lettered={("a", "MessageSizeTooLargeError"): 1, ("c", "signature"): 4},
            spooled={"a": -2},
            recovered={"b": 7},
        )
    )
    counters.record(CommitResult())
    a, b, c = (counters.of(name) for name in "abc")
    assert (a.delivered, a.delivered_bytes) == ({"file": 2, "kafka": 1}, {"file": 200, "kafka": 100})
    assert (a.spooled, a.dead_lettered) == (0, {"MessageSizeTooLargeError": 1})
    assert (b.delivered, b.delivered_bytes, b.spooled, b.recovered) == ({"file": 1}, {"file": 90}, 1, 7)
    assert c.dead_lettered == {"signature": 4}
    assert (a.stored, b.stored, c.stored) == (0, 0, 0), "that is the flusher's to say"
