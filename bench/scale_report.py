"""Tables and plot of bench/scale, from its figures alone."""

from __future__ import annotations

from collections.abc import Sequence

from bench import svg
from bench.axes import Axis, Setting
from bench.report import machine, noise
from bench.stats import Ratio, Spread, Table, spread

COST = "load.cpu_us"
FLAT = 1.1  # times the cost at the smallest setting
GAIN = "waiting.gain"
EXPLAINED = (
    "Medians over the rounds, with the lowest and the highest. `× smallest` is the daemon's CPU an event "
    "over that of the first row, taken within each round."
)


def markdown(about: dict[str, object], axes: Sequence[Axis], table: Table, absent: Sequence[str]) -> str:
    """Return the whole report."""
    parts = [
        f"{machine(about)} {EXPLAINED}",
        *(_section(axis, table) for axis in axes),
    ]
    remarks = [*noise(table), *(f"- left out: {reason}" for reason in absent)]
    for name in table.contenders:
        remarks.extend(f"- INVALID {name}: {reason}" for reason in table.invalid(name))
        remarks.extend(f"- {name}: {note}" for result in table.rounds(name) for note in result.notes)
    if remarks:
        parts.append("\n".join(remarks))
    return "\n\n".join(parts) + "\n"


def _section(axis: Axis, table: Table) -> str:
    flat = axis.flat_to is not None
    heads = [axis.title, *(head for head, _, _ in axis.columns), "× smallest", *(["goal"] if flat else [])]
    lines = ["| " + " | ".join(heads) + " |", "|---:" * len(heads) + "|"]
    for setting in axis.settings:
        if table.rounds(setting.name):
            lines.append("| " + " | ".join(_cells(axis, setting, table)) + " |")
    return f"### {axis.title}\n\n{axis.what[0].upper()}{axis.what[1:]}.\n\n" + "\n".join(lines)


def _cells(axis: Axis, setting: Setting, table: Table) -> list[str]:
    mark = " (INVALID)" if table.invalid(setting.name) else ""
    cells = [setting.label + mark]
    for _, metric, digits in axis.columns:
        found = gain(axis, setting, table) if metric == GAIN else table.spread(setting.name, metric)
        cells.append(found.text(digits) if found else "-")
    ratio = growth(axis, setting, table)
    cells.append(ratio.text(2) if ratio else "-")
    if axis.flat_to is not None:
        cells.append(_goal(axis, setting, ratio))
    return cells


def _goal(axis: Axis, setting: Setting, ratio: Spread | None) -> str:
    if ratio is None or setting == axis.smallest or setting.value > (axis.flat_to or 0):
        return ""
    return f"at most {FLAT:g}: {'reached' if ratio.median <= FLAT else 'missed'}"


def growth(axis: Axis, setting: Setting, table: Table) -> Spread | None:
    """Return the cost of an event over that at the smallest setting, by round."""
    return table.ratio(Ratio("", (setting.name, COST), (axis.smallest.name, COST)))


def gain(axis: Axis, setting: Setting, table: Table) -> Spread | None:
    """Return the memory gained since the smallest setting over the bytes of events gained, by round."""
    least = {result.round: result.metrics for result in table.rounds(axis.smallest.name)}
    values = []
    for result in table.rounds(setting.name):
        base = least.get(result.round)
        if not base or not result.metrics:  # the one or the other could not be measured
            continue
        held = result.metrics["buffer_mib"] - base["buffer_mib"]
        if held > 0:
            values.append((result.metrics["rss_mib"] - base["rss_mib"]) / held)
    return spread(values)


def plot(axes: Sequence[Axis], table: Table) -> str:
    """Return the growth of the cost along every axis, as SVG."""
    parts = []
    for axis in axes:
        rows = []
        for setting in axis.settings:
            found = growth(axis, setting, table)
            if found:
                rows.append(svg.Row(setting.label, found.median, found.low, found.high, found.median))
        if rows:
            parts.append((axis.title, rows))
    return svg.groups("CPU of an event, times that at the smallest setting", parts)
