"""Where a source's events go."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingestd.config.source import SourceConfig
from ingestd.kafka.topics import Topics
from tests.support.kafka_stand_in import kafka_settings
from tests.support.spooled import line


def test_topics_by_template_and_by_source() -> None:
    topics = Topics("{type}s.{source}", {"own": "mine", "other": "{source}-x"})
    found = [topics.of_line(line(1, source, kind)[:-1]) for source, kind in [
        ("demo", "click"), ("demo2", "impression"), ("own", "click"), ("other", "click"), ("demo", "click")
    ]]  # fmt: skip
    assert found == [
        ("demo", "clicks.demo"), ("demo2", "impressions.demo2"), ("own", "mine"), ("other", "other-x"),
        ("demo", "clicks.demo"),
    ]  # fmt: skip


def test_the_topics_of_a_configuration(tmp_path: Path) -> None:
    sources = [
        SourceConfig(name="demo", path="/c/demo"), SourceConfig(name="own", path="/c/own", topic="{type}s")
    ]  # fmt: skip
    topics = Topics.configured(kafka_settings(tmp_path, topic="all.{source}"), sources)
    assert topics.of_source("demo", "click") == "all.demo"
    assert topics.of_source("own", "postback") == "postbacks"


def test_a_line_that_is_not_an_event_has_no_topic() -> None:
    with pytest.raises(ValueError):
        Topics("clicks").of_line(b"{}")
