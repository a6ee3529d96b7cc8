"""The table of `ingestd top`, from two looks at /status."""

from __future__ import annotations

import os
from typing import Any

import pytest

from ingestd.cli import top
from ingestd.cli.admin_client import addresses
from ingestd.cli.top_table import render

BOUNDS = [0.001, 0.01, 0.1]


def source(received: int = 0, waits: list[int] | None = None, **more: Any) -> dict[str, Any]:
    return {
        "received": received, "waits": waits or [0, 0, 0, 0], "rejected": {}, "duplicates": 0,
        "signatures": {}, "macros": {}, "spooled": 0, **more,
    }  # fmt: skip


def status(pid: int = 1, node: str = "host/1", **sources: dict[str, Any]) -> dict[str, Any]:
    return {
        "node": node, "pid": pid, "ready": True, "not_ready_because": [], "unstored_events": 0,
        "connections": 3, "sinks": {"file": {}}, "sources": sources, "wait_bounds": BOUNDS,
    }  # fmt: skip


def rows(lines: list[str]) -> dict[str, list[str]]:
    """Every line's words, by its first."""
    return {line.split()[0]: line.split() for line in lines if line}


def test_a_sources_figures_are_those_of_all_instances() -> None:
    """Rates and waits are added; each instance has a line of its own."""
    before = [status(demo=source()), status(2, "host/2", demo=source(100))]
    now = [
        status(demo=source(20, [20, 0, 0, 0], rejected={"overload": 4})),
        status(2, "host/2", demo=source(140, [0, 0, 40, 0], macros={"imei": 6}, signatures={"bad": 8})),
    ]
    found = rows(render([("a", before[0], now[0]), ("b", before[1], now[1])], 2.0))
    assert found["host/1"][1:3] == ["10", "<1"]
    assert found["host/2"][1:3] == ["20", "<100"]
    assert found["demo"] == ["demo", "30", "<100", "<100", "2.0", "0", "4.0", "3.0"]


def test_an_instance_that_was_started_anew_has_counted_from_nothing() -> None:
    """Not backwards."""
    before, now = status(1, demo=source(1000, [1000, 0, 0, 0])), status(2, demo=source(30, [30, 0, 0, 0]))
    assert rows(render([("a", before, now)], 1.0))["demo"][1] == "30"


def test_the_busiest_source_is_first_below_the_sum() -> None:
    """So that it is seen where not all can be."""
    now = status(idle=source(), busy=source(90), some=source(10))
    lines = render([("a", status(), now)], 1.0)
    assert [line.split()[0] for line in lines[-4:]] == ["(all)", "busy", "some", "idle"]


def test_a_fault_is_the_last_word_of_an_instances_line() -> None:
    """Kafka's, the disk's, or that there is no response at all."""
    kafka = {"kafka_connected": 0.0, "error": "no route", "spool_bytes": 4096}
    away = status() | {"sinks": {"kafka": kafka}}
    full = status(node="host/2") | {"ready": False, "not_ready_because": ["storage: no space"]}
    gone = {"error": "cannot reach tcp:h:1: [Errno 111] Connection refused; is ingestd running?"}
    lines = render([("a", away, away), ("b", full, full), ("tcp:h:1", gone, gone)], 1.0)
    assert lines[4].endswith("  4 KiB     0 s  ready, KAFKA UNREACHABLE: no route")
    assert lines[5].endswith("  NOT READY: storage: no space")
    assert lines[6].endswith("  NO RESPONSE: Connection refused; is ingestd running?")


def test_totals_are_those_of_all_instances_since_their_start() -> None:
    """Not of the last interval; dead letters are told by source, too."""
    more: dict[str, Any] = {
        "rejected": {"overload": 2, "max_rate": 1},
        "duplicates": 4,
        "dead_lettered": {"signature": 5},
    }
    one = status(demo=source(1_000_000, **more), idle=source())
    two = status(2, "host/2", demo=source(500, **more))
    lines = render([("a", one, one), ("b", two, two)], 1.0)
    assert lines[0] == "TOTAL  1,000,500 received, 6 rejected, 8 duplicates, 10 dead letters"
    assert lines[1] == "", "without Kafka nothing is said of it"
    assert rows(lines)["demo"][-1] == "10"
    assert rows(lines)["idle"][-1] == "0"
    assert "DEAD" not in " ".join(render([("a", status(demo=source()), status(demo=source()))], 1.0))


def test_kafka_is_summed_up_in_a_line_of_its_own() -> None:
    def of(pid: int, connected: float, spooled: int) -> dict[str, Any]:
        kafka = {"kafka_connected": connected, "error": "no route", "spool_bytes": 512 * 1024 * spooled,
                 "spool_oldest_age_seconds": 7.4}  # fmt: skip
        demo = source(10, spooled=spooled, delivered={"kafka": 2000, "file": 1})
        return status(pid, f"host/{pid}", demo=demo) | {"sinks": {"kafka": kafka}}

    well, away, other = of(1, 1.0, 0), of(2, 0.0, 3), of(3, 1.0, 1)
    assert render([("a", well, well)], 1.0)[1] == "KAFKA  connected, 2,000 delivered, 0 in the spool"
    lines = render([("a", well, well), ("b", away, away), ("c", other, other)], 1.0)
    assert lines[1] == ("KAFKA  unreachable from 1 of 3, 6,000 delivered, 4 in the spool (2 MiB, oldest 7 s)")
    assert rows(lines)["demo"][-2:] == ["4", "0"]


@pytest.mark.parametrize("width", [30, 40, 60, 80, 100, 200])
def test_no_line_is_wider_than_the_terminal_and_what_is_left_out_is_named(width: int) -> None:
    """Source, rate and state are always there."""
    kafka = {"kafka_connected": 0.0, "error": "no route to any of the brokers", "spool_bytes": 4096}
    now = status(node="a-host-with-a-name.example.com/1", demo=source(90), other=source(5))
    now |= {"sinks": {"kafka": kafka}}
    lines = render([("a", now, now)], 1.0, width)
    assert max(map(len, lines)) <= width
    shown = "\n".join(lines)
    for words in ("TOTAL", "KAFKA", "INSTANCE", "EVENTS/S", "STATE", "ready", "SOURCE", "demo", "other"):
        assert words in shown, shown
    assert ("(not shown here: " in shown) == (width < 200)


def test_on_a_terminal_the_table_is_cut_to_its_height(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It never scrolls, or one would see the end alone."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((40, 14)))
    many: dict[str, Any] = {f"source-with-a-long-name-{number}": source(number) for number in range(50)}
    top.show(render([("a", status(), status(**many))], 1.0, 40))
    shown = capsys.readouterr().out.replace(top.HOME, "").replace(top.TO_SCREEN_END, "")
    lines = [line.removesuffix(top.TO_LINE_END) for line in shown.splitlines()]
    assert len(lines) == 13
    assert max(map(len, lines)) <= 40
    assert "source-with-a-long-name-49" in shown
    assert lines[-1].startswith("... and ")


def test_a_range_of_ports_is_so_many_instances() -> None:
    """As the units number them; a Unix socket's path may end in anything."""
    asked = ("tcp:127.0.0.1:9401-9403", "unix:/run/a:1-2")
    ports = [f"tcp:127.0.0.1:{port}" for port in (9401, 9402, 9403)]
    assert addresses(None, asked) == (*ports, "unix:/run/a:1-2")  # type: ignore[arg-type]
