"""The table of `ingestd top`, from two looks at /status."""

from __future__ import annotations

import os
from typing import Any

import pytest

from ingestd.cli import top
from ingestd.cli.admin_client import addresses

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
    found = rows(top.render([("a", before[0], now[0]), ("b", before[1], now[1])], 2.0))
    assert found["host/1"][1:3] == ["10", "<1"]
    assert found["host/2"][1:3] == ["20", "<100"]
    assert found["demo"] == ["demo", "30", "<100", "<100", "2.0", "0", "4.0", "3.0"]


def test_an_instance_that_was_started_anew_has_counted_from_nothing() -> None:
    """Not backwards."""
    before, now = status(1, demo=source(1000, [1000, 0, 0, 0])), status(2, demo=source(30, [30, 0, 0, 0]))
    assert rows(top.render([("a", before, now)], 1.0))["demo"][1] == "30"


def test_the_busiest_source_is_first_below_the_sum() -> None:
    """So that it is seen where not all can be."""
    now = status(idle=source(), busy=source(90), some=source(10))
    lines = top.render([("a", status(), now)], 1.0)
    assert [line.split()[0] for line in lines[-4:]] == ["(all)", "busy", "some", "idle"]


def test_trouble_is_the_last_word_of_an_instances_line() -> None:
    """Kafka's, the disk's, or that there is no answer at all."""
    kafka = {"kafka_connected": 0.0, "error": "no route", "spool_bytes": 4096}
    away = status() | {"sinks": {"kafka": kafka}}
    full = status(node="host/2") | {"ready": False, "not_ready_because": ["storage: no space"]}
    gone = {"error": "cannot reach tcp:h:1: [Errno 111] Connection refused; is ingestd running?"}
    lines = top.render([("a", away, away), ("b", full, full), ("tcp:h:1", gone, gone)], 1.0)
    assert lines[1].endswith("  4 KiB     0 s  ready, KAFKA AWAY: no route")
    assert lines[2].endswith("  NOT READY: storage: no space")
    assert lines[3].endswith("  NO ANSWER: Connection refused; is ingestd running?")


def test_on_a_terminal_the_table_is_cut_to_its_size(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It never scrolls, or one would see the end alone."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((40, 12)))
    many: dict[str, Any] = {f"source-with-a-long-name-{number}": source(number) for number in range(50)}
    top.show(top.render([("a", status(), status(**many))], 1.0))
    shown = capsys.readouterr().out.replace(top.HOME, "").replace(top.TO_SCREEN_END, "")
    lines = [line.removesuffix(top.TO_LINE_END) for line in shown.splitlines()]
    assert (len(lines), max(map(len, lines))) == (11, 40)
    assert "source-with-a-long-name-49" in lines[5]
    assert lines[-1].startswith("... and ")


def test_a_range_of_ports_is_so_many_instances() -> None:
    """As the units number them; a Unix socket's path may end in anything."""
    asked = ("tcp:127.0.0.1:9401-9403", "unix:/run/a:1-2")
    ports = [f"tcp:127.0.0.1:{port}" for port in (9401, 9402, 9403)]
    assert addresses(None, asked) == (*ports, "unix:/run/a:1-2")  # type: ignore[arg-type]
