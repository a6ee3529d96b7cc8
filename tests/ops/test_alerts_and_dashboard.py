"""Alert rules by promtool, and every query of rules and dashboard against the metrics there are."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.exposed import exposed_metrics
from tests.support.waiting import FAR

ROOT = Path(__file__).parents[2]
RULES = ROOT / "conf" / "prometheus" / "ingestd.rules.yml"
DASHBOARD: dict[str, Any] = json.loads((ROOT / "conf" / "grafana" / "ingestd.json").read_text("utf-8"))
HISTOGRAM_PARTS = ("_bucket", "_sum", "_count")


def promtool(*arguments: str) -> None:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip(
            "promtool is not on PATH (Debian: apt-get install prometheus): the alert rules are NOT checked"
        )
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=FAR, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def unknown_metrics(text: str) -> set[str]:
    named = set(re.findall(r"\bingestd_[a-z_]+\b", text))
    known = set(exposed_metrics())
    known |= {name + part for name in known for part in HISTOGRAM_PARTS}
    return named - known


def test_promtool_finds_the_alert_rules_well_formed() -> None:
    promtool("check", "rules", str(RULES))


def test_each_alert_fires_on_its_trouble_and_is_silent_without() -> None:
    promtool("test", "rules", str(ROOT / "tests" / "ops" / "ingestd.rules_test.yml"))


def test_the_alert_rules_only_speak_of_metrics_that_exist() -> None:
    assert not unknown_metrics(RULES.read_text("utf-8"))


def test_of_every_alert_there_is_a_test_in_which_it_fires() -> None:
    """promtool would be content with a rule that nobody looks at."""
    cases = (ROOT / "tests" / "ops" / "ingestd.rules_test.yml").read_text("utf-8")
    fires = set(re.findall(r"alertname: (\w+)\n\s+exp_alerts:", cases))
    assert fires == set(re.findall(r"- alert: (\w+)", RULES.read_text("utf-8")))


def test_every_alert_says_what_to_do() -> None:
    text = RULES.read_text("utf-8")
    assert text.count("- alert:") == text.count("summary:") == text.count("action:")


def test_the_dashboard_only_asks_for_metrics_that_exist() -> None:
    queries = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]
    queries += [variable["query"] for variable in DASHBOARD["templating"]["list"]]
    assert len(queries) > 20
    assert not unknown_metrics("\n".join(queries))


def test_the_dashboard_shows_every_metric_an_alert_asks_for() -> None:
    shown = json.dumps(DASHBOARD)
    elsewhere = {  # told by the alert alone
        "ingestd_spool_seconds_to_full",
        "ingestd_kafka_waiting_seconds",
        "ingestd_file_missed_events_total",
        "ingestd_kafka_missed_events_total",
    }
    asked_for = set(re.findall(r"\bingestd_[a-z_]+\b", RULES.read_text("utf-8")))
    assert {name for name in asked_for - elsewhere if name not in shown} == set()
