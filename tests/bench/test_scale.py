"""What grows in bench/scale: its traffic, its settings, its table."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from bench import fleet, scale, scale_report, svg, traffic
from bench.axes import GIB, Setting, axes
from bench.measure import Result
from bench.paths import BENCH
from bench.procs import BenchError
from bench.stats import Spread, Table

AXES = {axis.name: axis for axis in axes(20 * GIB)}


def parameters(target: str) -> int:
    """How many a target's query has."""
    return urlsplit(target).query.count("=")


@pytest.mark.parametrize("size", [256, 1024, 4096, 16384])
def test_a_query_of_so_many_bytes_has_exactly_those(size: int) -> None:
    """In 16 parameters, whatever the size."""
    made = traffic.build("bytes", size)
    assert {len(urlsplit(request.target).query) for request in made.requests} == {size}
    assert {parameters(request.target) for request in made.requests} == {traffic.PARAMETERS}


@pytest.mark.parametrize("size", [4, 16, 64])
def test_a_query_of_so_many_parameters_has_those(size: int) -> None:
    """And each is decoded into one of its own."""
    made = traffic.build("parameters", size)
    assert {parameters(request.target) for request in made.requests} == {size}
    assert {len(json.loads(request.decoded)[0]) for request in made.requests} == {size}


def test_every_source_is_called_alike_by_as_many_requests() -> None:
    """One source or a thousand: the generator sends the same number of different requests."""
    one, many = traffic.build("sources", 1), traffic.build("sources", 1000)
    assert len(one.requests) == len(many.requests) == traffic.SPREAD
    called = [urlsplit(request.target).path for request in many.requests]
    assert set(Counter(called).values()) == {traffic.SPREAD // 1000}
    assert many.sources(Path()).count("[[source]]") == 1000


def test_requests_are_the_same_on_every_run_and_differ_from_one_another() -> None:
    """So that two runs can be compared, and no cache helps."""
    first, again = (traffic.build("parameters", 16).requests for _ in range(2))
    assert first == again
    assert len({request.wire for request in first}) == traffic.VARIED


def test_every_setting_has_a_name_of_its_own() -> None:
    """Results are found by it."""
    names = [setting.name for axis in AXES.values() for setting in axis.settings]
    assert len(names) == len(set(names))
    assert "backlog=21474836480" in names


def test_on_every_axis_one_thing_grows_from_the_least() -> None:
    """The first is what the others are held against."""
    for axis in AXES.values():
        values = [setting.value for setting in axis.settings]
        assert values == sorted(values)
        assert len(values) > 1


def test_the_readme_of_the_benchmarks_lists_what_grows_and_nothing_else() -> None:
    """A name that `--only` takes stands in the table."""
    table = (BENCH / "README.md").read_text("utf-8").partition("## What grows")[2].partition("\n\nEach")[0]
    rows = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    assert [name for row in rows for name in re.findall(r"`(\w+)`", row)] == list(AXES)


def test_a_quick_run_keeps_the_least_and_one_more_of_each() -> None:
    """It shows that everything works, and takes no big ones."""
    for axis in AXES.values():
        short = scale.shortened(axis)
        assert len(short.settings) == 2
        assert short.smallest == axis.smallest


def test_a_backlog_is_made_of_links_to_as_many_segments_as_it_needs(tmp_path: Path) -> None:
    """And of no more: the rest belongs to the greater backlogs."""
    (tmp_path / "all").mkdir()
    for number in range(4):
        (tmp_path / "all" / f"{number:016d}.spool").write_bytes(bytes(100))
    fleet.link_segments(tmp_path / "all", tmp_path / "some", 150)
    assert sorted(file.name for file in (tmp_path / "some").iterdir()) == [f"{n:016d}.spool" for n in (0, 1)]


def test_a_setting_beyond_the_descriptors_is_left_out_with_its_reason() -> None:
    """Not measured half; what fits stays."""
    axis, absent = scale.within(AXES["idle"], 5000)
    assert [setting.value for setting in axis.settings] == [64, 512, 2000]
    assert absent == ["idle=10000: 11564 descriptors needed, ulimit -n is 5000"]
    assert scale.within(AXES["idle"], 12_000) == (AXES["idle"], [])


def test_through_nginx_as_many_clients_as_its_descriptors_allow_stand_for_more() -> None:
    """It has two descriptors for each."""
    axis, [absent] = scale.within(AXES["clients"], 20_000)
    assert axis.settings[-1] == Setting("clients", 9000, connections=9000, load="clients")
    assert "clients=9000 instead" in absent


def test_something_unknown_that_should_grow_is_an_error() -> None:
    """And says where the names are."""
    with pytest.raises(BenchError, match="--list"):
        scale.choose(scale.arguments(["--only", "sauces"]))


def results(costs: dict[str, list[float]]) -> Table:
    """A run with costs by setting and round."""
    return Table(
        [
            Result(name, number, {scale_report.COST: cost, "rss_mib": cost, "buffer_mib": cost / 2})
            for name, values in costs.items()
            for number, cost in enumerate(values, 1)
        ]
    )


def test_growth_is_taken_within_a_round_and_held_against_its_goal() -> None:
    """A slow second round is slow for both."""
    run = results({"sources=1": [10, 20], "sources=10": [10.5, 21], "sources=10000": [12, 24]})
    text = scale_report.markdown(ABOUT, [AXES["sources"]], run, [])
    assert "| 1.05 | at most 1.1: reached |" in text
    assert "| 1.20 | at most 1.1: missed |" in text
    assert "| 1 | 15.0 [10.0-20.0] |" in text


def test_no_goal_is_held_against_what_lies_beyond_it() -> None:
    """Flat to 2,000 connections: 10,000 are measured and not judged."""
    run = results({"idle=64": [10], "idle=2000": [10], "idle=10000": [30]})
    last = scale_report.markdown(ABOUT, [AXES["idle"]], run, []).splitlines()[-1]
    assert last.startswith("| 10,000 |")
    assert last.endswith("| 3.00 |  |")


def test_memory_gained_is_held_against_the_bytes_gained() -> None:
    """Twice the bytes, by the figures above."""
    run = results({"waiting=1000": [10], "waiting=100000": [110]})
    axis = AXES["waiting"]
    [setting] = [setting for setting in axis.settings if setting.value == 100_000]
    assert scale_report.gain(axis, setting, run) == Spread(2, 2, 2)
    assert scale_report.gain(axis, axis.smallest, run) is None


def test_a_round_that_failed_is_told_and_costs_no_table() -> None:
    """It has a reason and no figures."""
    run = results({"waiting=1000": [10], "waiting=10000": [20]})
    run.results.append(Result("waiting=10000", 2, invalid=["round 2: it did not start"]))
    text = scale_report.markdown(ABOUT, [AXES["waiting"]], run, ["idle=10000: too many"])
    assert "- INVALID waiting=10000: round 2: it did not start" in text
    assert "- left out: idle=10000: too many" in text


def test_the_plot_has_a_bar_for_each_setting_under_its_heading() -> None:
    """And says so where there is none."""
    drawn = scale_report.plot([AXES["sources"]], results({"sources=1": [10], "sources=10": [12]}))
    assert drawn.count("<path") == 2
    assert "Sources configured" in drawn
    assert "no valid figures" in svg.groups("nothing", [])


ABOUT: dict[str, object] = {
    "date": "today", "commit": "c", "cpu": "2 x any", "kernel": "6", "python": "3", "go": "go",
}  # fmt: skip
