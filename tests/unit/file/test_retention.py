"""Finished files are removed by age and size, nothing else ever is, and no file because a clock jumped."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from ingestd import config
from ingestd.file.listing import FinishedFile
from ingestd.file.retention import MAX_BY_AGE, Retention
from ingestd.system.clock import SteadyClock

DAY = 86_400.0
RECENT = 0.1  # days: a file so old confirms the clock


class Days:
    """Files of 100 bytes, each so many days old on day 1000, and retention over them."""

    def __init__(self, ages: list[float], ahead: float = 0.0, **settings: Any) -> None:
        self.files = [self.file(age) for age in sorted(ages, reverse=True)]
        self.seconds = 0.0  # monotonic, since the start
        self.ahead = ahead  # seconds by which the wall clock is
        parsed = config.FileConfig.model_validate(settings)
        self.retention = Retention(
            parsed, lambda: self.seconds, lambda: 1000 * DAY + self.seconds + self.ahead
        )  # fmt: skip

    def file(self, age: float) -> FinishedFile:
        return FinishedFile(int((1000 - age) * DAY * 1e9), f"{age:g}", 100)

    def due(self) -> list[float]:
        """The ages of those that are to be removed now."""
        return list(map(float, self.retention.due(self.files)))

    def after(self, seconds: int) -> list[float]:
        """As seconds pass, each with its look at the clock: what would have been removed, all in all."""
        found: set[float] = set()
        for _ in range(seconds):
            self.seconds += 1
            self.retention.look()
            found.update(self.due())
        return sorted(found)


@pytest.mark.parametrize(("age", "goes"), [(6.9, False), (7.1, True)])
def test_files_go_when_they_are_older_than_their_days_and_not_before(age: float, goes: bool) -> None:
    days = Days([RECENT, age], keep_days=7)
    assert days.due() == [age] * goes
    assert days.retention.doubt == ""


@pytest.mark.parametrize(("keep", "left"), [(400, 4), (399, 3), (300, 3), (299, 2), (1, 0), (0, 4)])
def test_the_oldest_files_go_past_the_bytes_to_keep(keep: int, left: int) -> None:
    assert Days([1, 2, 3, 4], keep_bytes=f"{keep}B").due() == [4, 3, 2, 1][: 4 - left]


def test_past_bytes_and_days_every_file_is_named_once() -> None:
    assert Days([RECENT, 1, 2, 8, 9, 10], keep_days=7, keep_bytes="500B").due() == [10, 9, 8]


def test_without_limits_everything_is_kept() -> None:
    assert Days([RECENT, 400]).due() == []


# the clock


def test_a_clock_that_is_ahead_for_a_minute_removes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """By it every file is past 7 days. Nothing is removed until the clock has been right for a while."""
    days = Days([RECENT, 1, 2, 6], keep_days=7)
    assert days.after(60) == []
    days.ahead = 30 * DAY
    assert days.after(60) == []
    days.ahead = 0.0
    days.files.insert(0, days.file(8))
    assert days.after(60) == []
    said = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert said == ["files past file.keep_days are kept until the clock is confirmed"]
    assert "was set by +2592000 s" in vars(caplog.records[0])["error"]
    days.seconds += SteadyClock.SETTLE
    assert days.due() == [8]


def test_a_clock_that_stays_ahead_is_believed_in_the_end(caplog: pytest.LogCaptureFixture) -> None:
    """It was the earlier one that was wrong."""
    days = Days([RECENT, 1], keep_days=7)
    days.ahead = 30 * DAY
    assert days.after(1) == []
    days.seconds += SteadyClock.SETTLE - 1
    assert days.due() == []
    days.seconds += 1
    with caplog.at_level(logging.INFO):
        assert days.due() == [1, RECENT]
    assert caplog.messages[-1] == "the clock is confirmed: files past file.keep_days are removed"
    assert days.retention.doubt == ""


def test_a_process_that_starts_under_a_wrong_clock_removes_nothing() -> None:
    """It has not seen the jump; but by that clock no file was written in the last day, bar the last hour."""
    days = Days([-30 + 0.001, 1, 2, 3], ahead=30 * DAY, keep_days=7)
    assert days.due() == []
    assert "watched for less than 60 minutes" in days.retention.doubt
    days.seconds += SteadyClock.SETTLE
    assert days.due() == [3, 2, 1]


def test_a_file_of_another_instance_does_not_confirm_a_clock_that_was_seen_to_jump() -> None:
    days = Days([1, 2], keep_days=7)
    days.ahead = 30 * DAY
    days.files.append(days.file(-29.9))
    assert days.after(60) == []


def test_bytes_are_kept_whatever_the_clock_says() -> None:
    assert Days([RECENT, 1, 2], ahead=30 * DAY, keep_days=7, keep_bytes="200B").due() == [2]


@pytest.mark.parametrize("step", [-290.0, 10.0, 290.0])
def test_the_steps_of_ntp_do_not_matter(step: float) -> None:
    days = Days([RECENT, 8], keep_days=7)
    days.after(1)
    days.ahead = step
    assert days.after(1) == [8]


def test_only_some_files_go_by_age_in_one_round(caplog: pytest.LogCaptureFixture) -> None:
    """A clock may be wrong all the same, and somebody may read what the log says."""
    days = Days([RECENT, *(10 + number / 1000 for number in range(MAX_BY_AGE + 7))], keep_days=7)
    assert days.due() == [float(file.name) for file in days.files[:MAX_BY_AGE]]
    assert vars(caplog.records[0])["left"] == 7
    del days.files[:MAX_BY_AGE]
    assert len(days.due()) == 7
