"""All sources' counters, added up or column by column, a slice at a time so that the loop turns."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ingestd.pipeline.counters import Counters, SourceCounters

# So many sources are read without a break: about half a millisecond.
SLICE = 500
INTS = ("received", "unstored", "stored", "recovered", "spooled", "duplicates")
DICTS = ("rejected", "delivered", "dead_lettered", "signatures")
# What is read of each source. `essential`: macros left in parameters that the source's events need; others
# a platform may never fill in.
COLUMNS = ("received", "macros", "essential", "bad_signatures", "duplicates", "rejected")
Columns = tuple[list[int], ...]
Rest = Callable[[float], Awaitable[None]]

_ints = [(name, attrgetter(name)) for name in INTS]
_dicts = [(name, attrgetter(name)) for name in DICTS]


@dataclass
class Totals:
    """The sums; `rejected` and `dead_lettered` by reason, `delivered` by sink, `signatures` by result.

    `refused`: requests that belong to no source, by reason.
    """

    received: int = 0
    unstored: int = 0
    stored: int = 0
    recovered: int = 0
    spooled: int = 0
    duplicates: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    delivered: dict[str, int] = field(default_factory=dict)
    dead_lettered: dict[str, int] = field(default_factory=dict)
    signatures: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)

    def add(self, counters: Sequence[SourceCounters]) -> None:
        """Add the counters of several sources to the sums."""
        own = vars(self)
        for name, read in _ints:
            own[name] += sum(map(read, counters))
        for name, read in _dicts:
            total: dict[str, int] = own[name]
            for counted in filter(None, map(read, counters)):
                for key, count in counted.items():
                    total[key] = total.get(key, 0) + count


async def add_up(counters: Counters, rest: Rest = asyncio.sleep) -> Totals:
    """The sums over all sources. Each source's own figures are of one moment, so conservation holds."""
    totals = Totals()
    for several in _slices(counters):
        totals.add(several)
        await rest(0)
    totals.refused = dict(counters.refused)
    return totals


async def read_columns(
    counters: Counters, essential: Mapping[str, frozenset[str]], rest: Rest = asyncio.sleep
) -> Columns:
    """By COLUMNS, then by source in the order of `Counters.by_source`."""
    columns: Columns = tuple([] for _ in COLUMNS)
    received, macros, needed, bad, duplicates, rejected = columns
    nothing: frozenset[str] = frozenset()
    for several in _slices(counters):
        received += [one.received for one in several]
        macros += [sum(one.macros.values()) if one.macros else 0 for one in several]
        needed += [
            sum(one.macros.get(name, 0) for name in essential.get(one.source, nothing)) if one.macros else 0
            for one in several
        ]
        bad += [sum(one.signatures.values()) - one.signatures.get("ok", 0) for one in several]
        duplicates += [one.duplicates for one in several]
        rejected += [sum(one.rejected.values()) if one.rejected else 0 for one in several]
        await rest(0)
    return columns


def _slices(counters: Counters) -> Iterator[list[SourceCounters]]:
    everyone = list(counters.by_source.values())
    for start in range(0, len(everyone), SLICE):
        yield everyone[start : start + SLICE]
