"""Is it well? Each condition by itself, what is said of it, and in what order."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from typing import Any

import pytest

from ingestd.admin.health import LEVELS, Facts, Finding, Watch, judge, of_source
from ingestd.admin.health_texts import LANGUAGES, WORDINGS, Text, duration, number, size
from ingestd.admin.metrics import (
    COUNTERS,
    FANOUT_COUNTERS,
    FILE_COUNTERS,
    FILE_GAUGES,
    GAUGES,
    KAFKA_COUNTERS,
    KAFKA_GAUGES,
)
from tests.support.documents import rows, section

KAFKA = {"kafka_connected": 1.0, "kafka_waiting_seconds": 0.0, "spool_oldest_age_seconds": 0.3}
FILE: dict[str, dict[str, Any]] = {"file": {}}
DECLARED = {**GAUGES, **COUNTERS, **FILE_GAUGES, **FILE_COUNTERS, **KAFKA_GAUGES, **KAFKA_COUNTERS,
            **FANOUT_COUNTERS}  # fmt: skip


def facts(*, grown: Mapping[str, float] | None = None, **changed: Any) -> Facts:
    def increase(name: str, seconds: float) -> float:
        assert name in DECLARED, f"there is no metric {name}"
        return (grown or {}).get(name, 0.0)

    everything: dict[str, Any] = {
        "ack": "stored", "rate": 1204.0, "received": 1000, "not_ready": {}, "numbers": {}, "sinks": FILE,
        "spool": False, "increase": increase,
    }  # fmt: skip
    return Facts(**{**everything, **changed})


def said(*found: Finding, language: str = "en") -> str:
    [first, *_] = Watch().tree(found, 0.0)["findings"]
    text: str = first["says"][language]
    return text


def test_all_is_well_in_one_sentence() -> None:
    found = judge(facts(numbers=KAFKA, sinks={"file": {}, "kafka": {"error": ""}}))
    assert [one.code for one in found] == ["well"]
    assert said(*found) == "All is well: 1,204 clicks/s, every answered click on disk, Kafka 0.3 s behind."
    assert (
        said(*found, language="zh")
        == "一切正常：每秒 1,204 次点击，已应答的点击全部落盘，Kafka 落后 0.3 秒。"
    )


@pytest.mark.parametrize(
    ("changed", "kept"),
    [
        ({"sinks": {"kafka": {}}, "spool": True}, "every answered click on disk"),
        ({"sinks": {"kafka": {}}}, "every answered click in Kafka"),
        ({"ack": "queued", "numbers": {"unstored_events": 17.0}}, "17 in memory only (queued)"),
    ],
)
def test_where_the_clicks_are_is_not_claimed_but_known(changed: dict[str, Any], kept: str) -> None:
    assert said(*judge(facts(**changed))) == f"All is well: 1,204 clicks/s, {kept}."


def test_a_daemon_that_has_seen_nothing_says_so() -> None:
    assert [one.code for one in judge(facts(received=0))] == ["waiting"]


AWAY = {**KAFKA, "kafka_connected": 0.0, "spool_seconds_to_full": 18_600.0}
CASES: list[tuple[str, dict[str, Any]]] = [
    ("disk_full", {"not_ready": {"storage": "storage: /var/lib/ingestd: No space left on device"}}),
    ("disk_hangs", {"not_ready": {"storage": "storage: a commit has taken more than 2.5 s"}}),
    ("spool_full", {"not_ready": {"storage": "storage: /spool: full: 9 of 10 bytes used, 5 wanted"}}),
    ("cannot_store", {"not_ready": {"storage": "storage: /x: Input/output error"}}),
    ("fenced", {"not_ready": {"storage": "storage: kafka: another process delivers for this instance: x"}}),
    ("clock", {"not_ready": {"clock": "the clock says 1970-01-01T00:00:07Z"}}),
    ("overload", {"not_ready": {"overload": "buffer full: 9 of 9 bytes"}}),
    ("draining", {"not_ready": {"draining": "draining"}}),
    ("refused_lately", {"refused": {"overload": 40, "signature": 3}}),
    ("unknown_paths", {"refused": {"not_found": 10}}),
    ("kafka_unreachable", {"numbers": AWAY}),
    ("kafka_unreachable", {"numbers": {**KAFKA, "kafka_waiting_seconds": 61.0}}),
    ("spool_fills", {"numbers": {**AWAY, "spool_seconds_to_full": 3599.0}}),
    ("delivery_failed", {"numbers": KAFKA, "sinks": {"kafka": {"error": "TopicAuthorizationFailedError"}}}),
    ("delivery_behind", {"numbers": {**KAFKA, "spool_oldest_age_seconds": 601.0}}),
    ("dead_letters", {"numbers": KAFKA, "dead_lettered": {"MessageSizeTooLargeError": 2}}),
    ("spool_damaged", {"numbers": KAFKA, "grown": {"spool_damaged_ranges": 1.0}}),
    ("file_altered", {"grown": {"manifest_mismatches": 1.0}}),
    ("commits_failed", {"grown": {"commit_failures": 3.0}}),
    ("sink_left_out", {"sinks": {"file": {"excluded_because": "no space"}, "kafka": {}}}),
    ("reload_refused", {"reload_refused": True}),
    ("spill_log", {"numbers": {"spill_log_bytes": 2048.0}}),
    ("certificate", {"certificates": {"/etc/tls/a.pem": 5 * 86400.0}}),
]  # fmt: skip


@pytest.mark.parametrize(("code", "changed"), CASES, ids=[code for code, _ in CASES])
def test_each_condition_is_found(code: str, changed: dict[str, Any]) -> None:
    codes = [one.code for one in judge(facts(**changed))]
    assert code in codes
    assert ("well" in codes) == (WORDINGS[code].level == "note"), "nothing is well beside a warning"


def test_every_wording_is_used_and_every_finding_has_one() -> None:
    of_sources = {"source_macros", "source_signatures", "source_repeats", "source_silent"}
    assert set(WORDINGS) == {code for code, _ in CASES} | of_sources | {"well", "waiting"}


def test_nothing_is_wrong_just_short_of_each_condition() -> None:
    numbers = {
        **KAFKA,
        "kafka_waiting_seconds": 60.0,
        "spool_oldest_age_seconds": 600.0,
        "spill_log_bytes": 0.0,
    }
    certificates = {"a.pem": 14 * 86400.0}
    found = judge(facts(numbers=numbers, certificates=certificates, refused={"signature": 5, "not_found": 9}))
    assert [one.code for one in found] == ["well"]


def test_the_worst_comes_first() -> None:
    found = judge(facts(
        numbers={**AWAY}, refused={"not_found": 50}, not_ready={"clock": "the clock says 1970"},
    ))  # fmt: skip
    assert [one.level for one in found] == sorted((one.level for one in found), key=LEVELS.index)
    assert [one.code for one in found] == ["clock", "kafka_unreachable", "unknown_paths"]


def test_how_long_it_has_been_so_is_said_and_starts_again_when_it_returns() -> None:
    watch, away = Watch(), judge(facts(numbers=AWAY))
    assert watch.tree(away, 1000.0)["findings"][0]["says"]["en"] == (
        "Kafka unreachable: clicks are kept, room for 5 h 10 min."
    )
    later = watch.tree(away, 1240.0)
    assert later["level"] == "warn"
    assert later["findings"][0]["says"] == {
        "en": "Kafka unreachable for 4 min: clicks are kept, room for 5 h 10 min.",
        "zh": "Kafka 不可用（已 4 分钟）：点击已保存，空间还够 5 小时 10 分。",
    }
    watch.tree(judge(facts()), 1250.0)
    assert watch.tree(away, 1300.0)["findings"][0]["seconds"] == 0.0


def test_two_sources_with_the_same_fault_have_ages_of_their_own() -> None:
    watch = Watch()
    [first] = of_source("a", 100, 90, "ts", 0, 0)
    [second] = of_source("b", 100, 90, "ts", 0, 0)
    watch.tree([first], 0.0)
    found = watch.tree([first, second], 50.0)["findings"]
    assert [(one["source"], one["seconds"]) for one in found] == [("a", 50.0), ("b", 0.0)]


@pytest.mark.parametrize(
    ("figures", "codes"),
    [
        ((19, 19, 19, 19), []),
        ((100, 20, 5, 30), []),
        ((100, 21, 0, 0), ["source_macros"]),
        ((100, 0, 6, 0), ["source_signatures"]),
        ((100, 0, 0, 31), ["source_repeats"]),
    ],
)
def test_a_source_misbehaves_by_the_share_of_its_last_clicks(
    figures: tuple[int, int, int, int], codes: list[str]
) -> None:
    came, essential, bad, repeats = figures
    assert [one.code for one in of_source("a", came, essential, "ts", bad, repeats)] == codes


def test_what_a_source_sends_is_no_pattern_of_ours() -> None:
    """A parameter's name comes from outside."""
    [finding] = of_source("a", 100, 90, "{since}{0.__class__}", 0, 0)
    assert "{since}{0.__class__}" in said(finding)


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("code", WORDINGS)
def test_both_languages_say_the_same(code: str) -> None:
    wording = WORDINGS[code]
    assert wording.level in LEVELS
    assert placeholders(wording.says.en) == placeholders(wording.says.zh)
    for text in (wording.says, wording.means, wording.do):
        assert bool(text.en) == bool(text.zh)
        assert set(re.findall("`[^`]+`", text.en)) == set(re.findall("`[^`]+`", text.zh))
        assert not text.zh or re.search("[一-鿿]", text.zh)
        assert not re.search("[一-鿿]", text.en)


# Findings that have a row in the table for 3 a.m.; the others are about a single source, or need no table.
IN_THE_TABLE = {
    "disk_full", "disk_hangs", "clock", "overload", "kafka_unreachable", "spool_fills", "delivery_failed",
    "cannot_store", "commits_failed", "reload_refused", "dead_letters", "fenced", "spool_damaged",
    "sink_left_out", "file_altered", "spill_log",
}  # fmt: skip


def plain(cell: str) -> str:
    return re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", cell)


@pytest.mark.parametrize("code", sorted(IN_THE_TABLE))
def test_the_page_says_what_the_table_for_the_night_says(code: str) -> None:
    table = {(plain(row[1]), plain(row[2])) for row in rows(section("systemd/README.md", "## At 3 a.m."))}
    assert len(table) > 10
    assert (WORDINGS[code].means.en, WORDINGS[code].do.en) in table


def test_the_languages_are_those_of_a_text() -> None:
    assert Text._fields == LANGUAGES


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.25, "0.2 s"), (-3, "0.0 s"), (9.96, "10.0 s"), (59.7, "60 s"), (61, "1 min"), (18_600, "5 h 10 min"),
     (200_000, "2 days")],
)  # fmt: skip
def test_a_duration_as_people_say_it(seconds: float, text: str) -> None:
    assert duration(seconds).en == text


def test_numbers_and_sizes() -> None:
    assert [number(value) for value in (0, 0.04, 3.25, 9.96, 1204.4)] == ["0", "0.0", "3.2", "10", "1,204"]
    assert [size(value) for value in (7, 2048, 5 * 2**30, 2**41)] == ["7 B", "2.0 KiB", "5.0 GiB", "2.0 TiB"]
