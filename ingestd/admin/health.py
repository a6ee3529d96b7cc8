"""Is it well? One judgement of an instance, for the status page and whoever else asks.

`judge` looks at figures only and keeps nothing; `Watch` remembers since when each finding has been there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ingestd.admin.health_texts import (
    BAD,
    BEHIND,
    KEPT,
    LANGUAGES,
    NOTE,
    OK,
    ROOM,
    SINCE,
    WARN,
    WORDINGS,
    Text,
    duration,
    number,
    share,
    size,
)

# As the alerts of conf/prometheus/ingestd.rules.yml have them, seconds.
SPOOL_FILLS, BEHIND_BY, CERTIFICATE_ENDS, SENDS_HANG = 3600.0, 600.0, 14 * 86400.0, 60.0
FIVE_MINUTES, A_QUARTER, AN_HOUR = 300.0, 900.0, 3600.0
# Refused because it could not be taken, not because of what it was.
UNABLE = ("overload", "storage", "stalled", "clock", "max_rate")
LEVELS = (BAD, WARN, NOTE, OK)
INFINITE = float("inf")


@dataclass(frozen=True, slots=True)
class Facts:
    """All that an instance is judged by.

    `not_ready`: by cause (draining, storage, clock, overload), in words. `numbers`: gauges and counters by
    their names in `admin.metrics`. `increase`: by how much one has grown in so many seconds. `refused`,
    `dead_lettered`: by reason, in the last five minutes and fifteen. `sinks`: as in /status. `certificates`:
    seconds each has left. `sources`: findings about single sources.
    """

    ack: str
    rate: float
    received: int
    not_ready: Mapping[str, str]
    numbers: Mapping[str, float]
    increase: Callable[[str, float], float]
    sinks: Mapping[str, Mapping[str, Any]]
    spool: bool
    reload_refused: bool = False
    refused: Mapping[str, int] = field(default_factory=dict)
    dead_lettered: Mapping[str, int] = field(default_factory=dict)
    certificates: Mapping[str, float] = field(default_factory=dict)
    sources: Iterable[Finding] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is so. `values` fill the wording's placeholders; `detail`: an error's own words."""

    code: str
    values: Mapping[str, str | Text] = field(default_factory=dict)
    detail: str = ""

    @property
    def level(self) -> str:
        """How bad it is: one of LEVELS."""
        return WORDINGS[self.code].level

    @property
    def key(self) -> tuple[str, str]:
        """The same finding has the same key at the next look."""
        return self.code, str(self.values.get("source", self.values.get("sink", "")))


def judge(facts: Facts) -> list[Finding]:
    """All findings, the worst first; never empty."""
    found = [*_intake(facts), *_kafka(facts), *_disk(facts), *_around(facts), *facts.sources]
    found.sort(key=lambda one: LEVELS.index(one.level))
    if not any(one.level in (BAD, WARN) for one in found):
        found.insert(0, _well(facts))
    return found


def _intake(facts: Facts) -> Iterable[Finding]:
    """Are clicks taken?"""
    causes = facts.not_ready
    if "storage" in causes:
        yield Finding(_storage(causes["storage"]), detail=causes["storage"])
    for code in ("clock", "overload", "draining"):
        if code in causes:
            yield Finding(code, detail=causes[code] if code != "draining" else "")
    unable = {reason: count for reason, count in facts.refused.items() if reason in UNABLE and count}
    if unable and not causes:
        yield Finding("refused_lately", {"count": number(sum(unable.values())), "reasons": _listed(unable)})
    lost = facts.refused.get("not_found", 0)
    if lost >= 10:
        yield Finding("unknown_paths", {"count": number(lost)})


def _storage(error: str) -> str:
    """Which of the ways not to store this is, by the system's words."""
    if "No space left" in error or "quota exceeded" in error:
        return "disk_full"
    if "a commit has taken" in error:
        return "disk_hangs"
    if "another process" in error:
        return "fenced"
    if ": full: " in error:
        return "spool_full"
    return "cannot_store"


def _kafka(facts: Facts) -> Iterable[Finding]:
    numbers = facts.numbers
    if "kafka_connected" not in numbers:
        return
    error = str(facts.sinks.get("kafka", {}).get("error") or "")
    left = numbers.get("spool_seconds_to_full", INFINITE)
    room = {"room": _phrase(ROOM, duration(left)) if left < INFINITE else Text()}
    if not numbers["kafka_connected"] or numbers.get("kafka_waiting_seconds", 0) > SENDS_HANG:
        if left < SPOOL_FILLS:
            yield Finding("spool_fills", {"room_left": duration(left)}, error)
        else:
            yield Finding("kafka_unreachable", room, error)
    elif error and "storage" not in facts.not_ready:
        yield Finding("delivery_failed", room, error)
    elif numbers.get("spool_oldest_age_seconds", 0) > BEHIND_BY:
        yield Finding("delivery_behind", {"delay": duration(numbers["spool_oldest_age_seconds"])})
    if facts.dead_lettered:
        count, reasons = sum(facts.dead_lettered.values()), _listed(facts.dead_lettered)
        yield Finding("dead_letters", {"count": number(count), "reasons": reasons})
    if facts.increase("spool_damaged_ranges", AN_HOUR):
        yield Finding("spool_damaged")


def _disk(facts: Facts) -> Iterable[Finding]:
    if facts.increase("manifest_mismatches", AN_HOUR):
        yield Finding("file_altered")
    failed = facts.increase("commit_failures", FIVE_MINUTES)
    if failed and "storage" not in facts.not_ready:
        yield Finding("commits_failed", {"count": number(failed)})
    for name, status in facts.sinks.items():
        if left_out := status.get("excluded_because"):
            yield Finding("sink_left_out", {"sink": name}, str(left_out))


def _around(facts: Facts) -> Iterable[Finding]:
    """The configuration, and what lies around the daemon."""
    if facts.reload_refused:
        yield Finding("reload_refused")
    if spilled := facts.numbers.get("spill_log_bytes", 0):
        yield Finding("spill_log", {"size": size(spilled)})
    for file, left in facts.certificates.items():
        if left < CERTIFICATE_ENDS:
            yield Finding("certificate", {"left": duration(max(0.0, left)), "file": file})


def _well(facts: Facts) -> Finding:
    if not facts.received:
        return Finding("waiting")
    behind = Text()
    if "kafka_connected" in facts.numbers:
        late = (
            facts.numbers.get(name, 0.0) for name in ("spool_oldest_age_seconds", "kafka_waiting_seconds")
        )
        behind = _phrase(BEHIND, duration(max(late)), "delay")
    return Finding("well", {"rate": number(facts.rate), "kept": _kept(facts), "behind": behind})


def _kept(facts: Facts) -> Text:
    """Where the clicks are that were answered."""
    if facts.ack != "stored":
        unstored = number(facts.numbers.get("unstored_events", 0))
        return Text(*(part.format(unstored=unstored) for part in KEPT["memory"]))
    if "file" in facts.sinks:
        return KEPT["file"]
    return KEPT["spool" if facts.spool else "kafka"]


def _phrase(pattern: Text, time: Text, name: str = "time") -> Text:
    return Text(*(part.format(**{name: one}) for part, one in zip(pattern, time, strict=True)))


def _listed(counts: Mapping[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda one: -one[1])
    return ", ".join(f"{reason} {number(count)}" for reason, count in ordered[:4])


class Watch:
    """Remembers since when each finding has been there. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._since: dict[tuple[str, str], float] = {}

    def tree(self, found: Iterable[Finding], now: float) -> dict[str, Any]:
        """The verdict as JSON: the level, and each finding in both languages with its age in seconds."""
        findings = list(found)
        self._since = {one.key: self._since.get(one.key, now) for one in findings}
        shown = [_finding(one, now - self._since[one.key]) for one in findings]
        worst = next((one.level for one in findings if one.level != NOTE), OK)
        return {"level": worst, "findings": shown}


def _finding(one: Finding, age: float) -> dict[str, Any]:
    wording = WORDINGS[one.code]
    since = _phrase(SINCE, duration(age)) if age >= 10 else Text()

    def filled(text: Text) -> dict[str, str]:
        return {
            language: pattern.format(**_values(one.values, index), since=since[index])
            for index, (language, pattern) in enumerate(zip(LANGUAGES, text, strict=True))
        }

    return {
        "level": one.level,
        "code": one.code,
        "source": str(one.values.get("source", "")),
        "seconds": round(age, 1),
        "says": filled(wording.says),
        "means": dict(zip(LANGUAGES, wording.means, strict=True)),
        "do": dict(zip(LANGUAGES, wording.do, strict=True)),
        "detail": one.detail[:500],
    }


def _values(values: Mapping[str, str | Text], index: int) -> dict[str, str]:
    return {name: value[index] if isinstance(value, Text) else value for name, value in values.items()}


def of_source(source: str, came: int, essential: int, worst: str, bad: int, repeats: int) -> list[Finding]:
    """The findings about a source by its last ten minutes: requests, and how many of them were what.

    `essential`: macros left in parameters the source needs, `worst` the one that has most.
    """
    if came < 20:
        return []
    found = []
    if essential > 0.2 * came:
        values = {"source": source, "share": share(min(1.0, essential / came)), "param": worst}
        found.append(Finding("source_macros", values))
    if bad > 0.05 * came:
        found.append(Finding("source_signatures", {"source": source, "share": share(bad / came)}))
    if repeats > 0.3 * came:
        found.append(Finding("source_repeats", {"source": source, "share": share(repeats / came)}))
    return found
