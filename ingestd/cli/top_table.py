"""The lines of `ingestd top`: totals and Kafka, a row for each instance, a row for each source."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

from ingestd.cli.top_figures import Figures, Status, between, total

Row = tuple[str, ...]
Instance = tuple[str, Status, Status]
# Columns that a narrow terminal does without, in this order.
INSTANCES_WITHOUT = ("CLIENTS", "OLDEST", "UNSTORED", "SPOOL", "P99 MS")
SOURCES_WITHOUT = ("P50 MS", "DUPL/S", "SPOOLED", "BADSIG/S", "MACROS/S", "DEAD", "REJECT/S", "P99 MS")
SHORTEST_NAME, SHORTEST_TEXT = 8, 16


def render(instances: Sequence[Instance], seconds: float, width: int | None = None) -> list[str]:
    """Everything as lines of at most `width` characters; None: as wide as they need to be.

    An instance is its address and its /status `seconds` ago and now; `{"error": ...}` for no response.
    """
    sources: dict[str, Figures] = {}
    rows: list[Row] = []
    kafka = any("kafka" in now.get("sinks", {}) for _, _, now in instances)
    for address, before, now in instances:
        own = {} if "error" in now or "error" in before else between(before, now)
        for name, one in own.items():
            sources.setdefault(name, Figures(one.bounds)).add(one)
        rows.append(_instance(address, now, total(own.values()), seconds, kafka=kafka))
    everything = total(sources.values())
    spool = ("SPOOL", "OLDEST") if kafka else ()
    heading = ("INSTANCE", "EVENTS/S", "P99 MS", "UNSTORED", "CLIENTS", *spool, "STATE")
    lines = [*_totals(everything, width), *(_kafka(instances, everything, width) if kafka else ()), ""]
    lines += _table([heading, *rows], width, INSTANCES_WITHOUT, last_is_text=True)
    return [*lines, "", *_table(_sources(sources, everything, seconds, kafka=kafka), width, SOURCES_WITHOUT)]


def _totals(everything: Figures, width: int | None) -> list[str]:
    counted = everything.totals
    return _wrapped("TOTAL", width, [
        f"{counted['received']:,} received", f"{counted['rejected']:,} rejected",
        f"{counted['duplicates']:,} duplicates", f"{counted['dead_lettered']:,} dead letters",
    ])  # fmt: skip


def _kafka(instances: Sequence[Instance], everything: Figures, width: int | None) -> list[str]:
    """Whether Kafka is reachable from every instance, and how far it is behind."""
    sinks = [now["sinks"]["kafka"] for _, _, now in instances if "kafka" in now.get("sinks", {})]
    away = [sink for sink in sinks if not sink["kafka_connected"]]
    state = f"unreachable from {len(away)} of {len(sinks)}" if away else "connected"
    counted = everything.totals
    oldest = max(sink.get("spool_oldest_age_seconds", 0) for sink in sinks)
    waiting = f"{counted['spooled']:,} in the spool"
    if counted["spooled"]:
        waiting += f" ({_size(sum(sink.get('spool_bytes', 0) for sink in sinks))}, oldest {oldest:.0f} s)"
    return _wrapped("KAFKA", width, [state, f"{counted['delivered']:,} delivered", waiting])


def _wrapped(label: str, width: int | None, parts: Sequence[str]) -> list[str]:
    text = f"{label:<7}" + ", ".join(parts)
    if width is None:
        return [text]
    return textwrap.wrap(text, max(width, 20), subsequent_indent=" " * 7, drop_whitespace=True)


def _instance(address: str, now: Status, own: Figures, seconds: float, *, kafka: bool) -> Row:
    if "error" in now:
        why = re.sub(r"^cannot reach .*?: (\[Errno \d+\] )?", "", now["error"])
        return (address, *"-" * (6 if kafka else 4), f"NO RESPONSE: {why}")
    state = "ready" if now["ready"] else "NOT READY: " + "; ".join(now["not_ready_because"])
    sink = now["sinks"].get("kafka")
    spool: Row = ("-", "-") if kafka else ()
    if sink is not None:
        spool = (_size(sink.get("spool_bytes", 0)), f"{sink.get('spool_oldest_age_seconds', 0):.0f} s")
        state += "" if sink["kafka_connected"] else f", KAFKA UNREACHABLE: {sink['error']}"
    unstored, clients = str(now["unstored_events"]), str(now["connections"])
    return (now["node"], _rate(own.received, seconds), own.within(0.99), unstored, clients, *spool, state)


def _sources(sources: dict[str, Figures], everything: Figures, seconds: float, *, kafka: bool) -> list[Row]:
    """The busiest first, so that those are seen where not all can be; dead letters only if there are any."""
    dead = kafka or everything.totals["dead_lettered"] > 0
    heading = ("SOURCE", "EVENTS/S", "P50 MS", "P99 MS", "REJECT/S", "DUPL/S", "BADSIG/S", "MACROS/S")
    rows: list[Row] = [heading + (("SPOOLED",) if kafka else ()) + (("DEAD",) if dead else ())]
    listed = sorted(sources.items(), key=lambda item: -item[1].received)
    if len(listed) > 1:
        listed.insert(0, ("(all)", everything))
    for name, one in listed:
        rates = [_rate(count, seconds) for count in one.rates]
        row = (name, _rate(one.received, seconds), one.within(0.5), one.within(0.99), *rates)
        row += (str(one.totals["spooled"]),) if kafka else ()
        rows.append(row + ((str(one.totals["dead_lettered"]),) if dead else ()))
    return rows


def _table(
    rows: Sequence[Row], width: int | None, without: Sequence[str], *, last_is_text: bool = False
) -> list[str]:
    """Columns as wide as their cells: the first to the left, figures to the right.

    Where that is wider than `width`, columns of `without` go; the last line names them.
    """
    columns = list(zip(*rows, strict=True))
    hidden = []
    for heading in without:
        if width is None or _needed(columns, last_is_text=last_is_text) <= width:
            break
        hidden += [heading for column in columns if column[0] == heading]
        columns = [column for column in columns if column[0] != heading]
    widths = [max(map(len, column)) for column in columns]
    if width is not None:
        widths[0] = max(
            SHORTEST_NAME, widths[0] - max(0, _needed(columns, last_is_text=last_is_text) - width)
        )
    lines = []
    for row in zip(*columns, strict=True):
        cells = [cell.rjust(space) for cell, space in zip(row, widths, strict=True)]
        cells[0] = _cut(row[0], widths[0]).ljust(widths[0])
        if last_is_text:
            cells[-1] = row[-1]
        lines.append(_cut("  ".join(cells), width))
    if hidden:
        lines.append(_cut(f"(not shown here: {', '.join(hidden)})", width))
    return lines


def _needed(columns: Sequence[Sequence[str]], *, last_is_text: bool) -> int:
    widths = [max(map(len, column)) for column in columns]
    if last_is_text:
        widths[-1] = min(widths[-1], SHORTEST_TEXT)
    return sum(widths) + 2 * (len(widths) - 1)


def _cut(text: str, width: int | None) -> str:
    return text if width is None or len(text) <= width else text[: max(width - 1, 0)] + "…"


def _rate(number: float, seconds: float) -> str:
    rate = number / seconds
    return f"{rate:.1f}" if 0 < rate < 9.95 else f"{rate:.0f}"


def _size(number: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if number < 1024:
            return f"{number:.0f} {unit}"
        number /= 1024
    return f"{number:.1f} GiB"
