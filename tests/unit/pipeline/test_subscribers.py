"""Subscribers: the events they are given, and the number of those they missed."""

from __future__ import annotations

import asyncio

import orjson
import pytest

from ingestd.pipeline.subscribers import MAX_SUBSCRIBERS, MAX_WAITING, Subscriber, Subscribers, needles
from tests.support.fakes import Pump
from tests.support.loop import turns
from tests.support.sinks_under_test import batch_of


def line(**params: object) -> bytes:
    """What of an event's line a filter looks at."""
    return orjson.dumps({"params": params, "flags": ["macro:imei", "stale"]})


@pytest.mark.parametrize(
    ("flags", "params", "found"),
    [
        (["macro"], [], True),
        (["macro:imei", "stale"], [], True),
        (["future"], [], False),
        ([], ["a"], True),
        ([], ["a=1"], True),
        ([], ["a=2"], False),
        ([], ["b"], False),
        ([], ["名=值"], True),  # not plain: it is not looked for here, and the reader decides
        ([], ['a="'], True),
    ],
)
def test_a_line_without_what_is_asked_for_is_passed_over(
    flags: list[str], params: list[str], found: bool
) -> None:
    """Never one that has it, in whatever form the line has it."""
    assert all(needle in line(a=["0", "1"]) for needle in needles(flags, params)) == found


async def test_subscribers_are_shown_what_is_stored_and_nothing_else() -> None:
    async with Pump(acks=True) as pump:
        subscriber = Subscriber("demo")
        await pump.put(b"before\n")
        pump.subscribers.active.add(subscriber)
        await pump.put(b"stored\n")
        await pump.put(b"of another\n", "other")
        pump.sink.failing = "no space left"
        await pump.put(b"refused\n")
        assert await subscriber.next() == (b"stored\n", 0)
        subscriber.offer(pump.entries[:1])
        assert await subscriber.next() == (b"before\n", 0)


async def test_a_follower_who_does_not_read_is_told_how_many_it_missed() -> None:
    subscriber = Subscriber(None, [b"7"])
    entries = batch_of(*range(3)).entries
    entries[0].data = b"of no interest"
    entries[1].data = b"7" * MAX_WAITING
    entries[2].data, entries[2].count = b"77", 5
    subscriber.offer(entries)
    assert await subscriber.next() == (b"7" * MAX_WAITING, 5)
    subscriber.offer(entries[2:])
    assert await subscriber.next() == (b"77", 0), "it has room again"


async def test_followers_are_bounded_and_one_that_stops_makes_room() -> None:
    subscribers = Subscribers()
    entries = batch_of(1).entries
    streams = [subscribers.subscribe(None) for _ in range(MAX_SUBSCRIBERS)]
    waiting = [asyncio.ensure_future(anext(stream)) for stream in streams]
    await turns()
    assert subscribers.full
    subscribers.offer(entries)
    assert await asyncio.gather(*waiting) == [(entries[0].data, 0)] * MAX_SUBSCRIBERS
    for stream in streams:
        await stream.aclose()
    assert subscribers.active == set()
