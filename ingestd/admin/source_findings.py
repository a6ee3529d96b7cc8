"""The sources that misbehave, by their counters of the last ten minutes; found a slice at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ingestd.admin.counter_totals import COLUMNS, Rest
from ingestd.admin.health import Finding, of_source
from ingestd.admin.health_texts import duration

if TYPE_CHECKING:
    from ingestd.admin.history import History
    from ingestd.pipeline.counters import Counters

TEN_MINUTES = 600.0
# A source that sent so much in the hour and nothing for so long is named as silent.
SILENT_SECONDS, SILENT_EVENTS = 900.0, 100
# So many sources are named for the same reason.
NAMED = 3
_at = {name: index for index, name in enumerate(COLUMNS)}


async def find(
    history: History, counters: Counters, essential: Mapping[str, frozenset[str]], now: float, wall: float,
    rest: Rest = asyncio.sleep,
) -> list[Finding]:  # fmt: skip
    """The findings, of the busiest sources first. `now`: monotonic, `wall`: since the epoch; s."""
    sources = history.sources
    snapshot = sources.since(TEN_MINUTES, now)
    columns = []
    for name in ("received", "essential", "bad_signatures", "duplicates"):
        columns.append(sources.column(_at[name], snapshot))
        await rest(0)
    names = list(counters.by_source)
    odd = [
        (came, number)
        for number, (came, macros, bad, repeats) in enumerate(zip(*columns, strict=True))
        if came >= 20 and (macros > 0.2 * came or bad > 0.05 * came or repeats > 0.3 * came)
    ]
    await rest(0)
    found: list[Finding] = []
    for came, number in sorted(odd, reverse=True)[: 10 * NAMED]:
        name = names[number]
        _, macros, bad, repeats = (column[number] for column in columns)
        counted = counters.by_source[name].macros
        worst = max(essential.get(name, ()), key=lambda param, seen=counted: seen.get(param, 0), default="")
        found += of_source(name, came, macros, worst, bad, repeats)
    found += await _silent(history, names, now, wall, rest)
    return _shortened(found)


async def _silent(
    history: History, names: Sequence[str], now: float, wall: float, rest: Rest
) -> list[Finding]:
    sources = history.sources
    if now - history.began < SILENT_SECONDS:
        return []
    hour = sources.column(_at["received"], sources.snapshots[0])
    await rest(0)
    return [
        Finding("source_silent", {"source": names[number], "quiet": duration(wall - seen)})
        for number, (came, seen) in enumerate(zip(hour, sources.seen, strict=True))
        if came >= SILENT_EVENTS and wall - seen > SILENT_SECONDS
    ]


def _shortened(found: Sequence[Finding]) -> list[Finding]:
    """A few of each kind; the last of them says how many more there are."""
    kept: dict[str, list[Finding]] = {}
    for finding in found:
        kept.setdefault(finding.code, []).append(finding)
    shown: list[Finding] = []
    for findings in kept.values():
        more = len(findings) - NAMED
        shown += findings[:NAMED]
        if more > 0:
            shown[-1] = replace(shown[-1], detail=f"... +{more}")
    return shown
