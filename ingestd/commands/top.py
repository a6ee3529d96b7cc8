"""`ingestd top`: a live table of one instance or several."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from ingestd.commands import asking
from ingestd.errors import IngestdError

CLEAR = "\x1b[H\x1b[2J"
Row = tuple[str, ...]


def run(config_path: Path, admins: tuple[str, ...], interval: float, count: int | None) -> int:
    """Show the table every `interval` seconds, until interrupted or `count` times."""
    addresses = asking.addresses(config_path, admins)
    before = [ask(address) for address in addresses]
    began = time.monotonic()
    shown = 0
    while count is None or shown < count:
        time.sleep(interval)
        now = [ask(address) for address in addresses]
        seconds = time.monotonic() - began
        began += seconds
        table = render(list(zip(addresses, before, now, strict=True)), seconds)
        click.echo((CLEAR if sys.stdout.isatty() else "") + table)
        before, shown = now, shown + 1
    return 0 if all("error" not in one for one in before) else 1


def ask(address: str) -> dict[str, Any]:
    """/status, or why it is not to be had."""
    try:
        return asking.status(address)
    except IngestdError as error:
        return {"error": str(error)}


def render(instances: Sequence[tuple[str, dict[str, Any], dict[str, Any]]], seconds: float) -> str:
    """All of it as text. Each instance: its address, its status before and now, `seconds` apart."""
    lines: list[str] = []
    sources: list[Row] = [
        (
            "SOURCE",
            "EVENTS/S",
            "P50 MS",
            "P99 MS",
            "REFUSED/S",
            "REPEATS/S",
            "BAD SIGN/S",
            "MACROS/S",
            "SPOOLED",
        )
    ]
    for address, before, now in instances:
        lines.append(_heading(address, now))
        if "error" not in now and "error" not in before:
            sources += _rows(before, now, seconds)
    widths = [max(map(len, column)) for column in zip(*sources, strict=True)]
    for row in sources:
        cells = [
            row[0].ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)),
        ]
        lines.append("  ".join(cells))
    return "\n".join(lines) + "\n"


def _heading(address: str, now: dict[str, Any]) -> str:
    if "error" in now:
        return f"{address}  {now['error']}"
    parts = [
        now["node"],
        "ready" if now["ready"] else "NOT READY: " + "; ".join(now["not_ready_because"]),
        f"unstored {now['unstored_events']} events {_size(now['buffer_bytes'])}",
        f"{now['connections']} connections",
    ]
    kafka = now["sinks"].get("kafka")
    if kafka is not None:
        there = "kafka connected" if kafka["kafka_connected"] else f"KAFKA AWAY: {kafka['error']}"
        parts += [
            there,
            f"spool {_size(kafka.get('spool_bytes', 0))}",
            f"oldest {kafka.get('spool_oldest_age_seconds', 0):.0f} s",
        ]
    return "  ".join(parts)


def _rows(before: dict[str, Any], now: dict[str, Any], seconds: float) -> list[Row]:
    rows = []
    for name, account in now["sources"].items():
        old = before["sources"].get(name, {})

        def rate(key: str, account: dict[str, Any] = account, old: dict[str, Any] = old) -> str:
            return f"{(_total(account[key]) - _total(old.get(key, 0))) / seconds:.0f}"

        waits = [new - was for new, was in zip(account["waits"], old.get("waits", [0] * 99), strict=False)]
        bad = {result: number for result, number in account["signatures"].items() if result != "ok"}
        was_bad = {result: number for result, number in old.get("signatures", {}).items() if result != "ok"}
        rows.append((
            name, rate("received"), *(_quantile(now["wait_bounds"], waits, share) for share in (0.5, 0.99)),
            rate("rejected"), rate("duplicates"), f"{(_total(bad) - _total(was_bad)) / seconds:.0f}",
            rate("macros"), str(account["spooled"]),
        ))  # fmt: skip
    return rows


def _total(value: Any) -> float:
    return sum(value.values()) if isinstance(value, dict) else value


def _quantile(bounds: Sequence[float], counts: Sequence[int], share: float) -> str:
    """The bucket's upper bound, ms, within which this share of the events was."""
    total, seen = sum(counts), 0
    if not total:
        return "-"
    for bound, count in zip(bounds, counts, strict=False):
        seen += count
        if seen >= share * total:
            return f"<{bound * 1000:g}"
    return f">{bounds[-1] * 1000:g}"


def _size(number: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if number < 1024:
            return f"{number:.0f} {unit}"
        number /= 1024
    return f"{number:.1f} GiB"
