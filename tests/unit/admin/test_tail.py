"""`/tail`: credentials are masked, and a subscriber takes only a little of the loop's time."""

from __future__ import annotations

import asyncio
import itertools

import orjson
import pytest

from ingestd.admin.server import Stream
from ingestd.admin.tail import Tail, paced
from ingestd.http.responses import Reply
from ingestd.pipeline.subscribers import MAX_SUBSCRIBERS, Subscriber, Subscribers
from tests.support.fakes import make_source
from tests.support.sinks_under_test import batch_of


async def test_a_subscriber_rests_a_hundred_times_as_long_as_it_works() -> None:
    """Masking takes 10 ms by this clock; the reader gets the next events a second later."""
    ticks = itertools.count()
    rests: list[float] = []

    async def rest(seconds: float) -> None:
        rests.append(seconds)

    subscribers = Subscribers()
    events = paced(subscribers, None, (), lambda line: line + b"\n", lambda: next(ticks) * 0.01, rest)
    first = asyncio.ensure_future(anext(events))
    while not subscribers.active:
        await asyncio.to_thread(lambda: None)
    entries = batch_of(*range(120)).entries
    for entry in entries:
        entry.data = orjson.dumps({"source": "demo", "params": {}}) + b"\n"
    subscribers.offer(entries)
    shown = [await first, await anext(events), await anext(events)]
    assert [piece.count(b"\n") for piece in shown] == [50, 50, 20]
    await events.aclose()
    assert rests == pytest.approx([0.99, 0.99])


async def test_the_credentials_masked_are_those_of_the_configuration_in_force() -> None:
    """A reload may declare one more; what is masked everywhere is masked for a source that is gone, too."""
    line = orjson.dumps({"source": "demo", "params": {"secret_id": "a", "callback": "b", "n": "1"}})
    sources = [make_source()]
    tail = Tail(Subscribers(), lambda: sources)
    assert orjson.loads(tail.masked(line))["params"] == {"secret_id": "a", "callback": "***", "n": "1"}
    sources = [make_source(credentials=["secret_id"])]
    assert orjson.loads(tail.masked(line))["params"] == {"secret_id": "***", "callback": "***", "n": "1"}
    sources = []
    assert orjson.loads(tail.masked(line))["params"] == {"secret_id": "a", "callback": "***", "n": "1"}


async def test_an_unknown_source_and_one_subscriber_too_many_are_told_why() -> None:
    subscribers = Subscribers()
    tail = Tail(subscribers, lambda: [make_source()])
    assert isinstance(await tail.handle("source=demo"), Stream)
    unknown = await tail.handle("source=dem")
    assert isinstance(unknown, Reply)
    assert (unknown.status, b"demo" in unknown.close) == (404, True)
    subscribers.active = {Subscriber(None) for _ in range(MAX_SUBSCRIBERS)}
    full = await tail.handle("")
    assert isinstance(full, Reply)
    assert (full.status, b"too many subscribers" in full.close) == (503, True)
