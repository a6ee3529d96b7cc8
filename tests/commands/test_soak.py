"""What the soak's verdict is made of, and a very short one. For an hour: `python -m tests.commands.soak`."""

from __future__ import annotations

import dataclasses
import shutil
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from tests.commands.soak.__main__ import verdict
from tests.commands.soak.plot import PANELS, plot
from tests.commands.soak.run import Soak, Soaked
from tests.commands.soak.sampling import FLAT, Sample, drifts
from tests.support.kafka.broker import KafkaBroker
from tests.support.needs import need_nginx

START = Sample(0, 60.0, 100, 4, 10, 128, 0.1, 0.0, 1.0, 5.0, 0, 0)
COUNT = 100


def samples(**growth: float) -> list[Sample]:
    """A hundred, five seconds apart; what is named grows by so much from one to the next."""
    found = []
    for number in range(COUNT):
        values = {name: getattr(START, name) + number * step for name, step in growth.items()}
        found.append(dataclasses.replace(START, seconds=5.0 * number, **values))
    return found


def test_what_does_not_change_is_flat() -> None:
    """Every measure."""
    assert [one.name for one in drifts(samples()) if one.flat] == list(FLAT)


@pytest.mark.parametrize("name", FLAT)
def test_what_grows_over_the_second_half_is_not(name: str) -> None:
    """Twice what is allowed, spread over the half."""
    allowed = next(one.allowed for one in drifts(samples()) if one.name == name)
    found = {one.name: one for one in drifts(samples(**{name: 3 * allowed / (COUNT / 2)}))}
    assert not found[name].flat
    assert all(one.flat for one in found.values() if one.name != name)


def test_a_few_samples_that_stand_out_are_no_drift() -> None:
    """A broker's restart near the end."""
    found = samples()
    for number in range(COUNT - 12, COUNT - 4):
        found[number] = dataclasses.replace(found[number], p99_ms=900.0, rss_mib=90.0)
    assert all(one.flat for one in drifts(found))


def test_the_verdict_names_what_is_wrong() -> None:
    """A refusal alone is enough."""
    lines, good = verdict("a run", Soaked(samples=samples(), sent=10, replies=9, refused=1, problems=["oh"]))
    assert not good
    assert "PROBLEM: oh" in lines
    assert verdict("a run", Soaked(samples=samples(), sent=10, replies=10))[1]


def test_the_plot_has_a_panel_for_each_measure_and_a_mark_for_each_restart() -> None:
    """And is XML."""
    text = plot("a <run>", samples(rss_mib=1.0), [(10.0, "kafka"), (20.0, "reload"), (30.0, "kafka")])
    root = ElementTree.fromstring(text)
    names = [one.tag.rpartition("}")[2] for one in root]
    assert names.count("polyline") == len(PANELS)
    assert names.count("path") == len(PANELS) * (1 + 2)


def test_a_short_soak_loses_nothing_and_is_sampled(place: Path, kafka: KafkaBroker) -> None:
    """Six seconds: the load, the samples, the counts at the end, the audit."""
    need_nginx()
    if shutil.which("go") is None:
        pytest.skip("NO GO: the load generator cannot be built, no soak was run")
    found = Soak(place, kafka, rate=100, every=1.0).run(6.0, print)
    assert (found.problems, found.refused) == ([], 0)
    assert found.sent == found.stored == found.delivered > 400
    assert {what for _, what in found.done} == {"reload", "rotate"}
    assert len(found.samples) >= 5
    assert found.samples[-1].replies == found.sent
    assert "all there" in found.audit
