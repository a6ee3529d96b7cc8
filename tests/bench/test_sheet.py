"""The capacity sheet, calculated by hand beside."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from bench import capacity
from bench.measure import Result
from bench.report import to_json
from bench.sheet import Given, Measured, Sheet

MEASURED = Measured(
    cpu=40, front=20, line=1000, disk=1250, batch=50, rss=100, request=800, reply=200, kafka=400, zstd=100,
    kafka_cpu=50, partition=10_000, several=1.25, gain=2,
)  # fmt: skip
GIVEN = Given(cores=10, use=0.5, disk_mb=1000, net_gbit=10, memory_gib=64)


def test_processor_time_decides_the_machines_where_it_is_the_scarcest() -> None:
    """100,000/s x (40 us x 1.25 + 20 us) = 7 cores busy; of 10 half may be: 2 machines."""
    sheet = Sheet(MEASURED, GIVEN)
    assert sheet.cores(100_000) == pytest.approx(7)
    assert sheet.machines(100_000) == 2
    assert sheet.breaks_first(100_000)[0] == ("CPU", 0.35)


def test_instances_stand_evenly_on_the_machines() -> None:
    """1,000,000/s x 50 us = 50 cores of daemons, half loaded: 100 at least, on 14 machines 112."""
    sheet = Sheet(MEASURED, GIVEN)
    assert sheet.machines(1_000_000) == 14
    assert sheet.instances(1_000_000) == 112


def test_a_slow_disk_decides_where_it_is_the_scarcest() -> None:
    """100,000/s x 1250 B = 125 MB/s on disks of 25 MB/s, used by half: 10 machines, and they break first."""
    sheet = Sheet(MEASURED, dataclasses.replace(GIVEN, disk_mb=25))
    assert sheet.machines(100_000) == 10
    assert sheet.breaks_first(100_000)[0] == ("disk", 0.5)


def test_cost_that_falls_with_several_instances_is_not_counted_on() -> None:
    """A growth below 1 is noise or luck."""
    assert Sheet(dataclasses.replace(MEASURED, several=0.8), GIVEN).cores(100_000) == pytest.approx(6)


def test_partitions_come_from_what_one_took() -> None:
    """100,000/s, 10,000 each, half loaded."""
    assert Sheet(MEASURED, GIVEN).partitions(100_000) == 20


def test_what_was_not_measured_is_said_and_not_guessed() -> None:
    """No broker in the run: no partitions, no cores for Kafka."""
    bare = dataclasses.replace(
        MEASURED, kafka=None, zstd=None, kafka_cpu=None, partition=None, several=None, gain=None
    )
    text = capacity.markdown(Sheet(bare, GIVEN), ABOUT, (10_000.0,))
    assert "| Kafka partitions that suffice | not measured |" in text
    assert "P not measured" in text


def test_memory_at_worst_has_every_buffer_full() -> None:
    """100 MiB and twice 256 MiB for each of 5 instances on one machine."""
    assert Sheet(MEASURED, GIVEN).memory(50_000, 1) == pytest.approx(5 * 612 / 1024)


ABOUT: dict[str, object] = {
    "date": "today", "commit": "c", "cpu": "2 x any", "kernel": "6", "python": "3", "go": "go",
    "request_bytes": 800.0,
}  # fmt: skip


def run_json(**changed: float) -> str:
    """A run of bench/run with one contender."""
    figures = {
        "sat.cpu_us": 40.0, "sat.front_us": 20.0, "file_bytes": 1000.0, "sat.disk_bytes": 1250.0,
        "sat.batch_events": 50.0, "rss_mib": 100.0, "sat.reply_bytes": 200.0,
    }  # fmt: skip
    return to_json(ABOUT, [Result("ingestd stored", 1, figures | changed)])


def test_the_command_prints_the_sheet_of_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From a file, with the run it is of."""
    (tmp_path / "run.json").write_text(run_json())
    assert capacity.main([str(tmp_path / "run.json"), "--cores", "8"]) == 0
    printed = capsys.readouterr().out
    assert "| machines (M) | 1 | 2 | 13 |" in printed
    assert "machines of 8 cores" in printed
    assert "commit c" in printed


def test_figures_of_a_contender_that_lost_events_give_no_sheet(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit status 2, and why."""
    run = json.loads(run_json())
    run["rounds"][0]["invalid"] = ["5 of 10 answered events are not in the output"]
    (tmp_path / "run.json").write_text(json.dumps(run))
    assert capacity.main([str(tmp_path / "run.json")]) == 2
    assert "no valid sat.cpu_us" in capsys.readouterr().err
