"""The dashboard and the rules on a real Prometheus that scrapes a real daemon: each query gives data."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.commands.dashboard import MAY_BE_EMPTY, shown
from tests.support.daemon import ROOT
from tests.support.kafka.broker import KafkaBroker
from tests.support.prometheus import why_not

pytestmark = pytest.mark.kafka


def test_every_query_of_the_dashboard_gives_data_and_every_rule_can_be_evaluated(
    kafka: KafkaBroker, topic: str, place: Path
) -> None:
    if reason := why_not():
        pytest.skip(f"NO PROMETHEUS ({reason}): the dashboard's queries are NOT tried")
    if shutil.which("openssl") is None:
        pytest.skip("NO OPENSSL: the dashboard's queries are NOT tried")
    found = shown(place, kafka, topic)
    assert len(found) > 40
    assert [title for title, _, series in found if not series and title not in MAY_BE_EMPTY] == []


def test_every_runbook_an_alert_names_is_there() -> None:
    rules = (ROOT / "conf" / "prometheus" / "ingestd.rules.yml").read_text("utf-8")
    lines = [line for line in rules.splitlines() if "runbook_url" in line and "documents_url }}" in line]
    assert len(lines) == rules.count("- alert:")
    for line in lines:
        document, _, anchor = line.partition("}}/")[2].strip('"').partition("#")
        titles = [one for one in (ROOT / document).read_text("utf-8").splitlines() if one.startswith("#")]
        anchors = {one.strip("# ").lower().replace(".", "").replace(" ", "-") for one in titles}
        assert anchor in anchors, line
