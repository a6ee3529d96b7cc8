"""`ingestd top`: a live table of one instance or several; a source's figures are those of all of them."""

from __future__ import annotations

import contextlib
import re
import shutil
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from ingestd.cli import admin_client
from ingestd.cli.options import admin_option, config_option
from ingestd.errors import IngestdError

# From the top left corner on, each line to its end: without a moment of emptiness.
HOME, TO_LINE_END, TO_SCREEN_END = "\x1b[H", "\x1b[K", "\x1b[J"
# An instance that hangs must not hold up the others' figures.
TIMEOUT = 2.0
# Counters of a source that are shown as rates, after its events and their waits.
RATES = ("rejected", "duplicates", "bad_signatures", "macros")
Status = dict[str, Any]
Row = tuple[str, ...]


@click.command("top")
@config_option
@admin_option
@click.option("--interval", type=click.FloatRange(0.1), default=1.0, show_default=True, help="Seconds.")
@click.option("-n", "--count", type=click.IntRange(1), help="Show it so many times; default until Ctrl-C.")
def command(config_path: Path, admins: tuple[str, ...], interval: float, count: int | None) -> int:
    """Show live figures: rates by source, buffer, spool, Kafka.

    \b
    Example:
      ingestd top -c /etc/ingestd/ingestd.toml
      ingestd top --admin tcp:127.0.0.1:9401-9404
    """
    with contextlib.suppress(KeyboardInterrupt):
        return run(admin_client.addresses(config_path, admins), interval, count)
    return 0


def run(addresses: Sequence[str], interval: float, count: int | None) -> int:
    """Show the table every `interval` seconds, until interrupted or `count` times.

    Returns the exit status: 1 where an instance did not answer at last.
    """
    with ThreadPoolExecutor(len(addresses)) as pool:
        before, began = list(pool.map(ask, addresses)), time.monotonic()
        shown = 0
        while count is None or shown < count:
            time.sleep(interval)
            now, seconds = list(pool.map(ask, addresses)), time.monotonic() - began
            began += seconds
            show(render(list(zip(addresses, before, now, strict=True)), seconds))
            before, shown = now, shown + 1
    return 0 if all("error" not in one for one in before) else 1


def ask(address: str) -> Status:
    """/status, or why it is not to be had."""
    try:
        return admin_client.status(address, TIMEOUT)
    except IngestdError as error:
        return {"error": str(error)}


def show(lines: list[str]) -> None:
    """On a terminal in its place and cut to its size, else as it is."""
    if not sys.stdout.isatty():
        click.echo("\n".join(lines) + "\n")
        return
    width, height = shutil.get_terminal_size()
    if len(lines) > height - 1:
        cut = len(lines) - height + 2
        lines = [*lines[: height - 2], f"... and {cut} more, less busy"]
    ended = "".join(f"{line[:width]}{TO_LINE_END}\n" for line in lines)
    click.echo(f"{HOME}{ended}{TO_SCREEN_END}", nl=False)


def render(instances: Sequence[tuple[str, Status, Status]], seconds: float) -> list[str]:
    """All of it as lines. Each instance: its address, its status before and now, `seconds` apart."""
    sources: dict[str, Counts] = {}
    rows: list[Row] = []
    kafka = any("kafka" in now.get("sinks", {}) for _, _, now in instances)
    for address, before, now in instances:
        own = {} if "error" in now or "error" in before else counts(before, now)
        for name, one in own.items():
            sources.setdefault(name, Counts(one.bounds)).add(one)
        rows.append(_instance(address, now, total(own.values()), seconds, kafka=kafka))
    heading = ("INSTANCE", "EVENTS/S", "P99 MS", "UNSTORED", "CLIENTS")
    lines = _table([(*heading, *(("SPOOL", "OLDEST") if kafka else ()), "STATE"), *rows], last_is_text=True)
    return [*lines, "", *_table(_sources(sources, seconds, kafka=kafka))]


@dataclass
class Counts:
    """What happened to a source's events between two looks. `waits`: by bucket of `bounds`, seconds."""

    bounds: Sequence[float] = ()
    received: float = 0
    waits: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=lambda: [0.0] * len(RATES))
    spooled: int = 0

    def add(self, other: Counts) -> None:
        """Add another instance's, or source's."""
        self.bounds = self.bounds or other.bounds
        self.received += other.received
        self.spooled += other.spooled
        self.rates = [one + more for one, more in zip(self.rates, other.rates, strict=True)]
        longest = max(len(self.waits), len(other.waits))
        padded = [[*waits, *[0.0] * (longest - len(waits))] for waits in (self.waits, other.waits)]
        self.waits = [one + more for one, more in zip(*padded, strict=True)]

    def within(self, share: float) -> str:
        """The bucket's upper bound, ms, within which this share of the events was stored."""
        reached, events = 0.0, sum(self.waits)
        if not events:
            return "-"
        for bound, count in zip(self.bounds, self.waits, strict=False):
            reached += count
            if reached >= share * events:
                return f"<{bound * 1000:g}"
        return f">{self.bounds[-1] * 1000:g}"


def counts(before: Status, now: Status) -> dict[str, Counts]:
    """An instance's sources. One that was started anew in between has counted from 0."""
    earlier = before["sources"] if before["pid"] == now["pid"] else {}
    found = {}
    for name, source in now["sources"].items():
        old = earlier.get(name, {})
        waits = old.get("waits") or [0] * len(source["waits"])
        found[name] = Counts(
            now["wait_bounds"],
            source["received"] - old.get("received", 0),
            [new - was for new, was in zip(source["waits"], waits, strict=True)],
            [_read(source, key) - _read(old, key) for key in RATES],
            source["spooled"],
        )
    return found


def total(several: Iterable[Counts]) -> Counts:
    """The sum."""
    result = Counts()
    for one in several:
        result.add(one)
    return result


def _read(source: dict[str, Any], key: str) -> float:
    if key == "bad_signatures":
        signatures: dict[str, int] = source.get("signatures", {})
        return sum(number for result, number in signatures.items() if result != "ok")
    value = source.get(key, 0)
    return float(sum(value.values()) if isinstance(value, dict) else value)


def _instance(address: str, now: Status, own: Counts, seconds: float, *, kafka: bool) -> Row:
    if "error" in now:
        why = re.sub(r"^cannot reach .*?: (\[Errno \d+\] )?", "", now["error"])
        return (address, *"-" * (6 if kafka else 4), f"NO ANSWER: {why}")
    state = "ready" if now["ready"] else "NOT READY: " + "; ".join(now["not_ready_because"])
    sink = now["sinks"].get("kafka")
    spool: Row = ("-", "-") if kafka else ()
    if sink is not None:
        spool = (_size(sink.get("spool_bytes", 0)), f"{sink.get('spool_oldest_age_seconds', 0):.0f} s")
        state += "" if sink["kafka_connected"] else f", KAFKA AWAY: {sink['error']}"
    unstored, clients = str(now["unstored_events"]), str(now["connections"])
    return (now["node"], _rate(own.received, seconds), own.within(0.99), unstored, clients, *spool, state)


def _sources(sources: dict[str, Counts], seconds: float, *, kafka: bool) -> list[Row]:
    """The busiest first, so that those are seen where not all can be."""
    heading = ("SOURCE", "EVENTS/S", "P50 MS", "P99 MS", "REFUSED/S", "REPEATS/S", "BADSIG/S", "MACROS/S")
    rows: list[Row] = [(*heading, "SPOOLED") if kafka else heading]
    listed = sorted(sources.items(), key=lambda item: -item[1].received)
    if len(listed) > 1:
        listed.insert(0, ("(all)", total(sources.values())))
    for name, one in listed:
        rates = [_rate(count, seconds) for count in one.rates]
        row = (name, _rate(one.received, seconds), one.within(0.5), one.within(0.99), *rates)
        rows.append((*row, str(one.spooled)) if kafka else row)
    return rows


def _table(rows: Sequence[Row], *, last_is_text: bool = False) -> list[str]:
    """Columns as wide as they must be: the first to the left, figures to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        cells[0] = row[0].ljust(widths[0])
        if last_is_text:
            cells[-1] = row[-1]
        lines.append("  ".join(cells))
    return lines


def _rate(number: float, seconds: float) -> str:
    rate = number / seconds
    return f"{rate:.1f}" if 0 < rate < 9.95 else f"{rate:.0f}"


def _size(number: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if number < 1024:
            return f"{number:.0f} {unit}"
        number /= 1024
    return f"{number:.1f} GiB"
